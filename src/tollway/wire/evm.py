"""Ethereum's spelling of things: keccak-256, addresses (EIP-55) and the hash a wallet signs for text (EIP-191).

No keys and no signatures here: those are wire/secp256k1.py's.
"""

import re

import sha3  # type: ignore[import-untyped]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")


def keccak_256(data: bytes) -> bytes:
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


def checksum_address(address: str) -> str:
    """EIP-55: a letter is upper case where the hash of the lower-case address says so. `address` must be valid."""
    digits = address[2:].lower()
    nibbles = keccak_256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if nibble >= "8" else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )


def parse_address(text: str) -> str:
    """An address in its EIP-55 form. All lower or all upper case carries no checksum; mixed case must carry the right
    one. ValueError otherwise."""
    if not _ADDRESS.match(text):
        raise ValueError("an Ethereum address is 0x and 40 hex digits")
    address = checksum_address(text)
    digits = text[2:]
    if text != address and digits not in (digits.lower(), digits.upper()):
        raise ValueError("the address's mixed case is no valid EIP-55 checksum")
    return address


def address_of(public_key: bytes) -> str:
    """The EIP-55 address of an uncompressed public key: 64 bytes, x and y."""
    return checksum_address("0x" + keccak_256(public_key)[-20:].hex())


def text_hash(message: bytes) -> bytes:
    """What `personal_sign` signs for `message` (EIP-191, version 0x45)."""
    return keccak_256(b"\x19Ethereum Signed Message:\n%d%b" % (len(message), message))
