"""What a receipt says, and that others than us can check it."""

import hashlib
from decimal import ROUND_CEILING, Decimal
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.client.errors import ReceiptError
from tollway.client.receipts import verify
from tollway.domain.price import Price, Rates, Tariff
from tollway.domain.record import CallRecord
from tollway.domain.usage import Usage
from tollway.egress.receipts import TYPE, Receipts, signing_key
from tollway.metering.cost import sell_of
from tollway.wire import json

SECRET = bytes(range(32))
ISSUER = "https://router.example.com"
NOW_S = 1_767_225_600
TARIFF = Tariff(buy=Price(rates=Rates(input=2_500_000, output=10_000_000, cached_input=1_250_000)), markup_bps=333)
USAGE = Usage(prompt=1000, completion=200, cached=400)
REQUEST = b'{"model":"m"}'


def record(**fields: Any) -> CallRecord:
    known: dict[str, Any] = {
        "id": "0198c0de-0000-7000-8000-000000000001",
        "account": "eip155:0x3150b3f4430a614858e81a9d3644c4176e74760e",
        "created_ms": NOW_S * 1000,
        "ended_ms": NOW_S * 1000 + 500,
        "model_asked": "m",
        "stream": False,
        "ended": "complete",
        "delivery": "complete",
        "provider": "p",
        "model": "vendor/m",
        "usage": USAGE,
        "usage_origin": "provider",
        "price": sell_of(USAGE, (), TARIFF),
        "cost": 1,
        "tariff": TARIFF,
        "request_hash": hashlib.sha256(REQUEST).hexdigest(),
    }
    return CallRecord(**(known | fields))


def keys(receipts: Receipts) -> bytes:
    return json.encode(receipts.keys)


def receipts(**options: Any) -> Receipts:
    return Receipts(ISSUER, SECRET, **options)


def test_it_says_who_paid_whom_for_what_and_how_much():
    claims = verify(receipts().receipt(record(), NOW_S), keys(receipts()))
    assert claims["iss"] == ISSUER
    assert claims["sub"] == record().account
    assert claims["jti"] == record().id
    assert claims["iat"] == NOW_S
    assert claims["usage"]["prompt"] == 1000
    assert claims["usage_origin"] == "provider"
    assert claims["cost_nano_usd"] == record().price
    assert claims["transfer"] == {"id": record().id, "kind": "post"}
    assert "cost" not in claims, "what the provider is owed is the operator's business"
    assert "buy" not in str(claims)


def test_the_price_it_names_comes_to_the_cost_it_names():
    """Anybody can reckon it: exact decimal USD per token, rounded up once to a nano-USD."""
    claims = verify(receipts().receipt(record(), NOW_S), keys(receipts()))
    price = {name: Decimal(rate) for name, rate in claims["price"].items()}
    usd = 600 * price["input"] + 400 * price["cached_input"] + 200 * price["output"]
    assert int((usd * 10**9).to_integral_value(ROUND_CEILING)) == claims["cost_nano_usd"]


def test_a_call_that_cost_nothing_has_a_receipt_that_says_so():
    free = record(
        ended="provider_failed", usage=None, usage_origin=None, price=0, model=None, provider=None, tariff=None
    )
    claims = verify(receipts().receipt(free, NOW_S), keys(receipts()))
    assert (claims["cost_nano_usd"], claims["transfer"]["kind"]) == (0, "void")
    assert claims["price"] is None


def test_a_call_that_the_ledger_failed_was_given_back_though_it_was_counted():
    failed = record(ended="ledger_failed", price=0, cost=0)
    claims = verify(receipts().receipt(failed, NOW_S), keys(receipts()))
    assert (claims["cost_nano_usd"], claims["transfer"]["kind"]) == (0, "void")


def test_a_jose_library_checks_it():
    known = receipts(current=3)
    text = known.receipt(record(), NOW_S)
    found = {key.key_id: key for key in jwt.PyJWKSet.from_dict(json.decode(keys(known))).keys}
    assert len(found) == 3
    kid = jwt.get_unverified_header(text)["kid"]
    token = jwt.decode_complete(text, found[kid], algorithms=["EdDSA"], issuer=ISSUER)
    assert token["header"]["typ"] == "tollway-receipt+jwt"
    assert token["payload"]["cost_nano_usd"] == record().price


def test_what_a_key_signed_holds_after_a_rotation():
    before = receipts(current=1).receipt(record(), NOW_S)
    after = receipts(current=2)
    assert verify(before, keys(after))["jti"] == record().id
    assert jwt.get_unverified_header(before)["kid"] != after.keys.keys[0].kid


def test_what_a_withdrawn_key_signed_holds_no_more():
    before = receipts(current=1).receipt(record(), NOW_S)
    with pytest.raises(ReceiptError, match="no key of this set"):
        verify(before, keys(receipts(current=2, withdrawn=(1,))))


def test_another_routers_keys_do_not_vouch_for_it():
    with pytest.raises(ReceiptError, match="no key of this set"):
        verify(receipts().receipt(record(), NOW_S), keys(Receipts(ISSUER, bytes(32))))


@given(st.data())
def test_a_receipt_that_was_changed_does_not_hold(data: st.DataObject):
    text = receipts().receipt(record(), NOW_S)
    at = data.draw(st.integers(0, len(text) - 1))
    other = text[:at] + data.draw(st.sampled_from("AZaz09-_.")) + text[at + 1 :]
    if other != text:
        with pytest.raises(ReceiptError):
            verify(other, keys(receipts()))


def test_a_key_under_anothers_name_does_not_vouch():
    own, foreign = receipts().keys.keys[0], Receipts(ISSUER, bytes(32)).keys.keys[0]
    forged = json.encode({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": foreign.x, "kid": own.kid}]})
    with pytest.raises(ReceiptError, match="signature doesn't hold"):
        verify(receipts().receipt(record(), NOW_S), forged)


def test_other_kinds_of_keys_in_a_set_are_no_hindrance():
    mixed = {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, *json.decode(keys(receipts()))["keys"]]}
    assert verify(receipts().receipt(record(), NOW_S), json.encode(mixed))


@pytest.mark.parametrize("text", [b"", b"[]", b'{"keys": 1}', b"\xff"])
def test_what_is_no_key_set_is_said_to_be_none(text: bytes):
    with pytest.raises(ReceiptError, match="no key set"):
        verify(receipts().receipt(record(), NOW_S), text)


def test_another_token_of_the_same_key_is_no_receipt():
    with pytest.raises(ReceiptError, match="type"):
        verify(signing_key(SECRET, 1).sign(b"{}", "JWT"), keys(receipts()))


def test_a_signed_text_that_is_no_object_is_no_receipt():
    with pytest.raises(ReceiptError, match="no JSON object"):
        verify(signing_key(SECRET, 1).sign(b"[]", TYPE), keys(receipts()))


def test_it_is_for_one_request_and_no_other():
    text = receipts().receipt(record(), NOW_S)
    assert verify(text, keys(receipts()), request=REQUEST)
    with pytest.raises(ReceiptError, match="another request"):
        verify(text, keys(receipts()), request=REQUEST + b" ")
