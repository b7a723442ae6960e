"""Nonces the router hands out: single use, five minutes, kept nowhere until they are used up.

A nonce carries its own expiry, and an HMAC over it proves that it is ours. Whether it was used is the ledger's to say.
"""

import hmac
import os

LIFETIME_MS = 5 * 60 * 1000

_EXPIRY_HEX = 10
_RANDOM_BYTES = 10
_BODY_CHARACTERS = _EXPIRY_HEX + 2 * _RANDOM_BYTES
_TAG_HEX = 32  # 128 bits of the HMAC
_KEY_BYTES_MIN = 32
_CONTEXT = b"tollway sign-in nonce 1:"


class Nonces:
    def __init__(self, key: bytes) -> None:
        """`key` is secret and shared by every process on one ledger. ValueError when it is short."""
        if len(key) < _KEY_BYTES_MIN:
            raise ValueError(f"the nonce key must have {_KEY_BYTES_MIN} bytes")
        self._key = key

    def issue(self, now_ms: int) -> tuple[str, int]:
        """A fresh nonce (EIP-4361: letters and digits) and when it expires, in Unix seconds."""
        expires_s = (now_ms + LIFETIME_MS) // 1000
        body = f"{expires_s:0{_EXPIRY_HEX}x}{os.urandom(_RANDOM_BYTES).hex()}"
        return body + self._tag(body), expires_s

    def expiry_ms(self, nonce: str) -> int | None:
        """When `nonce` expires, in Unix milliseconds; None when it is not one of ours. Its text is what is
        authenticated, so that one nonce has one spelling."""
        body, tag = nonce[:_BODY_CHARACTERS], nonce[_BODY_CHARACTERS:]
        if not hmac.compare_digest(self._tag(body).encode(), tag.encode()):
            return None
        return int(body[:_EXPIRY_HEX], 16) * 1000

    def _tag(self, body: str) -> str:
        return hmac.digest(self._key, _CONTEXT + body.encode(), "sha256").hex()[:_TAG_HEX]
