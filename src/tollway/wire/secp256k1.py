"""ECDSA on secp256k1 with public-key recovery, by whichever binding of libsecp256k1 has a wheel for this Python."""

import sys

# Only one branch can run on one Python; the tests run both bindings where both are installed.
if sys.version_info >= (3, 14):  # pragma: no cover
    from tollway.wire.secp256k1_wally import public_key, recover, sign
else:  # pragma: no cover
    from tollway.wire.secp256k1_coincurve import public_key, recover, sign

__all__ = ["public_key", "recover", "sign"]
