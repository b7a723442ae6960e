"""ECDSA on secp256k1 by coincurve (libsecp256k1), where it has wheels. Same three functions as secp256k1_wally."""

import coincurve


def public_key(secret: bytes) -> bytes:
    """The public key of a 32-byte secret: 64 bytes, x and y. ValueError when the secret is out of range."""
    return coincurve.PrivateKey(secret).public_key.format(compressed=False)[1:]


def sign(digest: bytes, secret: bytes) -> bytes:
    """A deterministic low-s signature of a 32-byte digest: 65 bytes, r, s and the recovery id (0 or 1)."""
    return coincurve.PrivateKey(secret).sign_recoverable(digest, hasher=None)


def recover(digest: bytes, signature: bytes) -> bytes:
    """The public key (64 bytes) that made `signature` (65 bytes, as `sign` makes it, high s too) over a 32-byte
    digest. ValueError when there is none."""
    return coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None).format(compressed=False)[1:]
