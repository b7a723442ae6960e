"""Check a receipt offline: by the router's public keys, and against the request that was sent.

It trusts the keys it is given and nothing in the receipt before its signature holds. Where keys come from is its
caller's matter.
"""

import hashlib
from typing import Any

import msgspec

from tollway.client.errors import ReceiptError
from tollway.wire import json, jws

TYPE = "tollway-receipt+jwt"
KEYS_MAX = 1_000  # of a key set; a router publishes one a rotation


class Keys(msgspec.Struct, frozen=True):
    """A JWK Set; keys of other kinds than Ed25519 are no hindrance."""

    keys: tuple[dict[str, Any], ...]


def verify(receipt: str, keys: bytes, *, request: bytes | None = None) -> dict[str, Any]:
    """The receipt's claims, once `keys` (a JWK Set, as GET /.well-known/jwks.json answers it) vouch for them.

    `request` is the body that was sent: the receipt must be for exactly it. Raises ReceiptError."""
    try:
        signed = jws.parse(receipt.strip())
    except ValueError as error:
        raise ReceiptError(f"this is no receipt: {error}") from None
    if signed.header.typ != TYPE:
        raise ReceiptError(f"this is no receipt: its type is {signed.header.typ[:40]!r}, not {TYPE!r}")
    named = [key for key in _keys(keys) if key.kid == signed.header.kid]
    if not named:
        raise ReceiptError("no key of this set has the receipt's name: take the set of the router that signed it, anew")
    if not any(jws.verify(signed, key) for key in named):
        raise ReceiptError("the signature doesn't hold: this receipt was changed, or never signed by this router")
    try:
        claims = json.decode_as(signed.payload, dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ReceiptError("this is no receipt: what is signed is no JSON object") from None
    if request is not None and claims.get("request_sha256") != hashlib.sha256(request).hexdigest():
        raise ReceiptError("the signature holds, but the receipt is for another request than this one")
    return claims


def _keys(text: bytes) -> list[jws.Jwk]:
    try:
        found = json.decode_as(text, Keys).keys
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ReceiptError('this is no key set: JSON with "keys", as /.well-known/jwks.json answers it') from None
    usable = []
    for key in found[:KEYS_MAX]:
        try:
            usable.append(msgspec.convert(key, jws.Jwk))
        except msgspec.ValidationError:
            continue  # another kind of key, which can't have signed a receipt
    return usable
