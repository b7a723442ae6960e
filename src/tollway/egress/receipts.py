"""Receipts: what a call came to, signed, so that anybody with the router's public keys can check it offline.

Made when asked for, never on the path of a call. A receipt is a JWS (RFC 7515) whose payload is a JWT's claims; its
keys are derived from one secret in the books, so that every replica signs alike and a rotation needs no new secret.
"""

import hashlib
import hmac
from collections.abc import Collection

import msgspec

from tollway.domain.money import format_usd
from tollway.domain.pricing import Pricing, pricing
from tollway.domain.record import CallRecord
from tollway.domain.usage import Usage
from tollway.wire import json
from tollway.wire.jws import Jwk, SigningKey

TYPE = "tollway-receipt+jwt"  # explicit, so that no other token of anybody passes for a receipt (RFC 8725, 3.11)


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Which entry of the statement it is: GET /session/transactions shows it by this id and kind."""

    id: str
    kind: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The claims. `iss`, `sub`, `jti` and `iat` are a JWT's (RFC 7519); times in Unix milliseconds but for `iat`
    (seconds), as is the custom. `price` is what the wallet paid by when the call was made: decimal USD per token."""

    iss: str  # the router's public URL
    sub: str  # the account that paid
    jti: str  # the call
    iat: int  # when the receipt was made
    created_at: int
    ended_at: int
    ended: str
    model_asked: str
    model: str | None
    provider: str | None
    request_sha256: str  # of the request's body as it came
    response_id: str | None
    usage: Usage | None
    usage_origin: str | None
    flags: tuple[str, ...]
    price: Pricing | None
    features: tuple[str, ...]  # priced by the call
    cost_nano_usd: int
    cost_usd: str
    transfer: Transfer


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """A JWK Set (RFC 7517, 5): GET /.well-known/jwks.json."""

    keys: tuple[Jwk, ...]


class Receipts:
    """Signs receipts as `issuer` with key number `current`, and publishes the keys from 1 to it but for `withdrawn`."""

    def __init__(self, issuer: str, secret: bytes, *, current: int = 1, withdrawn: Collection[int] = ()) -> None:
        self._issuer = issuer
        self._key = signing_key(secret, current)
        numbers = [number for number in range(current, 0, -1) if number not in withdrawn]
        self.keys = KeySet(keys=tuple(signing_key(secret, number).public for number in numbers))

    def receipt(self, record: CallRecord, now_s: int) -> str:
        """The signed receipt of a finished call, whatever it came to."""
        return self._key.sign(json.encode(_claims(record, self._issuer, now_s)), TYPE)


def signing_key(secret: bytes, number: int) -> SigningKey:
    """Key `number`. One says nothing of another, nor of the secret."""
    return SigningKey(hmac.digest(secret, b"receipt key %d" % number, hashlib.sha256))


def _claims(record: CallRecord, issuer: str, now_s: int) -> Receipt:
    # What the ledger could not book was counted, and given back whole.
    posted = record.usage is not None and record.ended != "ledger_failed"
    return Receipt(
        iss=issuer,
        sub=record.account,
        jti=record.id,
        iat=now_s,
        created_at=record.created_ms,
        ended_at=record.ended_ms,
        ended=record.ended,
        model_asked=record.model_asked,
        model=record.model,
        provider=record.provider,
        request_sha256=record.request_hash,
        response_id=record.response_id,
        usage=record.usage,
        usage_origin=record.usage_origin,
        flags=record.flags,
        price=None if record.tariff is None else pricing(record.tariff),
        features=() if record.asked is None else record.asked.features,
        cost_nano_usd=record.price,
        cost_usd=format_usd(record.price),
        transfer=Transfer(id=record.id, kind="post" if posted else "void"),
    )
