"""How an operator may spell an account, and the stored id it means. Pure.

Which accounts are valid is wire/chains.py's to say, for operators as for those who sign in.
"""

from tollway.wire import chains

SHOWN_CHARS_MAX = 100  # of a text that is no account: the longest one has about 90


def stored_account(text: str) -> str:
    """The stored id of an account spelled as CAIP-10, as it is stored, or as a bare EVM address.

    ValueError says what would be right. A checksum that doesn't hold is refused: what is credited to a mistyped
    account is out of everybody's reach."""
    text = text.strip()
    try:
        return chains.parse_account(text if ":" in text else f"eip155:{text}")
    except ValueError as error:
        raise ValueError(
            f"account: {text[:SHOWN_CHARS_MAX]!r} is none ({error}); write eip155:<chain id>:0x<40 hex digits>, a bare "
            "0x address, or solana:<network>:<base58 address>"
        ) from None
