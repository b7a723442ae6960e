"""Chains and accounts as text: CAIP-2 chain ids, CAIP-10 account ids, and the ids the ledger keeps accounts under.

A stored id is `solana:<network>:<base58>`, `eip155:0x<lower-case hex>` (a key: one owner on every EVM chain) or
`eip155:<chain>:0x<lower-case hex>` (a contract: another owner may hold the same address elsewhere).
"""

import re
from typing import Literal

from tollway.wire import base58, evm

Namespace = Literal["solana", "eip155"]

NAMESPACES: tuple[Namespace, ...] = ("solana", "eip155")
SOLANA_MAINNET = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
BASE_MAINNET = "eip155:8453"
SOLANA_KEY_BYTES = 32

# CAIP-2 references. eip155's are decimal without leading zeros, so that a chain has one spelling.
_REFERENCES = {"solana": re.compile(r"[-_a-zA-Z0-9]{1,32}\Z"), "eip155": re.compile(r"[1-9][0-9]{0,31}\Z")}


def namespace_of(chain: str) -> Namespace:
    """The namespace of a CAIP-2 id. ValueError when it is none of ours."""
    prefix = chain.partition(":")[0]
    for namespace in NAMESPACES:
        if prefix == namespace:
            return namespace
    raise ValueError("a chain id starts with solana: or eip155:")


def parse_chain(text: str, namespace: Namespace) -> str:
    """The CAIP-2 id of a chain written whole (`eip155:8453`) or as its bare reference (`8453`, EIP-4361).
    ValueError when it is no chain of `namespace`."""
    reference = text.removeprefix(f"{namespace}:")
    if not _REFERENCES[namespace].match(reference):
        raise ValueError(f"not a chain id of {namespace}")
    return f"{namespace}:{reference}"


def parse_address(text: str, namespace: Namespace) -> str:
    """An address in its one canonical form: base58 of 32 bytes, or EIP-55. ValueError when it is not valid."""
    if namespace == "eip155":
        return evm.parse_address(text)
    if len(base58.decode(text)) != SOLANA_KEY_BYTES:
        raise ValueError("a Solana address is base58 of 32 bytes")
    return text


def account_id(chain: str, address: str, *, contract: bool = False) -> str:
    """The stored id of a valid address that signed in on `chain` (CAIP-2)."""
    if namespace_of(chain) == "solana":
        return f"{chain}:{address}"
    return f"{chain}:{address.lower()}" if contract else f"eip155:{address.lower()}"


def parse_account(text: str, *, contract: bool = False) -> str:
    """The stored id of an account written as CAIP-10 (`eip155:8453:0xAb...`, any case) or as a stored id.

    An EVM address means the key; with `contract` its chain must be named. ValueError says what would be right."""
    head, _, address = text.rpartition(":")
    if head == "eip155":
        if contract:
            raise ValueError("a contract's account names its chain: eip155:<chain>:<address>")
        return account_id(BASE_MAINNET, evm.parse_address(address))
    if ":" not in head:
        raise ValueError("an account is solana:<network>:<base58> or eip155:<chain>:<address>")
    namespace = namespace_of(head)
    chain = parse_chain(head, namespace)
    return account_id(chain, parse_address(address, namespace), contract=contract)
