"""How an operator may spell an account, and the stored id it means (SIWX: one account a key, not one a chain). Pure."""

import re

# Base58 of 32 bytes has 32 to 44 characters; the alphabet leaves out 0, O, I and l.
_SOLANA = re.compile(r"solana:([-_a-zA-Z0-9]{1,32}):([1-9A-HJ-NP-Za-km-z]{32,44})\Z")
_EVM = re.compile(r"(?:eip155:(?:([0-9]{1,32}):)?)?(0x[0-9a-fA-F]{40})\Z")


def stored_account(text: str, *, contract: bool = False) -> str:
    """The stored id: `solana:<network>:<base58>`, `eip155:<lowercase hex>` for a key, `eip155:<chain>:<lowercase hex>`
    for a contract. Takes stored ids, CAIP-10 ids and bare EVM addresses; ValueError says what would be right.

    `contract`: the address is a contract wallet's, which is another account on every chain."""
    text = text.strip()
    if match := _SOLANA.match(text):
        if contract:
            raise ValueError(f"account: {text!r} is a Solana key; contract accounts are EVM addresses")
        return f"solana:{match[1]}:{match[2]}"
    if match := _EVM.match(text):
        address = match[2].lower()
        if not contract:
            return f"eip155:{address}"
        if match[1] is None:
            raise ValueError(f"account: {text!r} names no chain; a contract's account is eip155:<chain id>:0x...")
        return f"eip155:{match[1]}:{address}"
    raise ValueError(
        f"account: {text[:100]!r} is not an account; write eip155:<chain id>:0x<40 hex digits>, a bare 0x address, or "
        "solana:<network>:<base58 address>"
    )
