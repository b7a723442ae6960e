"""Does a Solana key vouch for a message? By PyNaCl: libsodium refuses small-order keys and non-canonical encodings,
with which OpenSSL's Ed25519 accepts one signature for any message."""

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from tollway.wire import base58

SIGNATURE_BYTES = 64


def verify(address: str, message: bytes, signature: str) -> bool:
    """`address` is base58 of 32 bytes (already checked), `signature` base58 of 64."""
    try:
        signed = base58.decode(signature)
        if len(signed) != SIGNATURE_BYTES:
            return False
        crypto_sign_open(signed + message, base58.decode(address))
    except (ValueError, BadSignatureError):
        return False
    return True
