"""ECDSA on secp256k1 by wallycore (libsecp256k1), where coincurve has no wheel. Same three functions as
secp256k1_coincurve."""

import warnings

# Its SWIG types have no __module__; CPython warns, and with warnings made errors the import crashes the process.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import wallycore  # type: ignore[import-untyped, import-not-found, unused-ignore]  # not on every Python

# Bitcoin's header byte of a recoverable signature: 27, plus 4 when the key is written compressed, plus the recovery id.
_HEADER = 31


def public_key(secret: bytes) -> bytes:
    """The public key of a 32-byte secret: 64 bytes, x and y. ValueError when the secret is out of range."""
    return _uncompressed(wallycore.ec_public_key_from_private_key(secret))


def sign(digest: bytes, secret: bytes) -> bytes:
    """A deterministic low-s signature of a 32-byte digest: 65 bytes, r, s and the recovery id (0 or 1)."""
    flags = wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_RECOVERABLE
    signature = bytes(wallycore.ec_sig_from_bytes(secret, digest, flags))
    return signature[1:] + bytes([signature[0] - _HEADER])


def recover(digest: bytes, signature: bytes) -> bytes:
    """The public key (64 bytes) that made `signature` (65 bytes, as `sign` makes it, high s too) over a 32-byte
    digest. ValueError when there is none."""
    return _uncompressed(wallycore.ec_sig_to_public_key(digest, bytes([_HEADER + signature[64]]) + signature[:64]))


def _uncompressed(key: bytes) -> bytes:
    return bytes(wallycore.ec_public_key_decompress(key))[1:]
