import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire import jws

# RFC 8037, appendix A: the key, its thumbprint, and what it signs.
SEED = jws.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
EXAMPLE = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
KEY = jws.SigningKey(SEED)


def rewritten(text: str, **header: object) -> jws.Signed:
    """The same text with other members in its header, and the signature as it was."""
    signed = jws.parse(text)
    members = {"alg": signed.header.alg, "kid": signed.header.kid, "typ": signed.header.typ} | header
    head = jws.encode(json.dumps(members).encode())
    return jws.parse(".".join([head, *text.split(".")[1:]]))


def test_it_reads_the_standards_example():
    signed = jws.parse(EXAMPLE)
    assert signed.payload == b"Example of Ed25519 signing"
    assert jws.verify(signed, jws.Jwk(x=X))


def test_a_key_is_named_by_its_thumbprint():
    assert jws.SigningKey(SEED).public == jws.Jwk(x=X, kid=THUMBPRINT)
    assert KEY.kid == THUMBPRINT


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_is_signed_is_read_back_and_holds(payload: bytes, typ: str):
    signed = jws.parse(KEY.sign(payload, typ))
    assert (signed.payload, signed.header.kid, signed.header.typ) == (payload, KEY.kid, typ)
    assert jws.verify(signed, KEY.public)


@given(st.binary(max_size=60), st.data())
def test_no_other_text_holds(payload: bytes, data: st.DataObject):
    text = KEY.sign(payload, "t")
    at = data.draw(st.integers(0, len(text) - 1))
    other = text[:at] + data.draw(st.characters(max_codepoint=0x7F)) + text[at + 1 :]
    if other == text:
        return
    try:
        signed = jws.parse(other)
    except ValueError:
        return
    assert not jws.verify(signed, KEY.public)


def test_another_key_vouches_for_nothing():
    assert not jws.verify(jws.parse(KEY.sign(b"x", "t")), jws.SigningKey(bytes(32)).public)


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"crit": ["exp"]}])
def test_no_other_algorithm_and_no_extension_is_taken(header: dict[str, object]):
    assert not jws.verify(rewritten(KEY.sign(b"x", "t"), **header), KEY.public)


@pytest.mark.parametrize(
    "key",
    [
        jws.Jwk(x=X, kty="EC"),
        jws.Jwk(x=X, crv="X25519"),
        jws.Jwk(x=X[:-2]),
        jws.Jwk(x=""),
        jws.Jwk(x="not base64url!"),
        jws.Jwk(x=jws.encode(bytes(32))),  # a key of small order: any signature might hold
    ],
)
def test_a_key_of_another_kind_or_size_vouches_for_nothing(key: jws.Jwk):
    assert not jws.verify(jws.parse(EXAMPLE), key)


def test_a_signature_of_another_size_does_not_hold():
    head, payload, signature = EXAMPLE.split(".")
    short = jws.encode(jws.decode(signature)[:-1])
    assert not jws.verify(jws.parse(f"{head}.{payload}.{short}"), jws.Jwk(x=X))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        ("e30.é.e30", "base64url"),
        ("e30.e30=.e30", "base64url"),
        ("e30.e31.e30", "base64url"),  # bits that encode nothing: a second text for one value
        ("e30.e.e30", "base64url"),
        ("W10.e30.e30", "header"),
        ("_w.e30.e30", "header"),
        ("eyJhbGciOjF9.e30.e30", "header"),
        ("e30." + "A" * jws.TEXT_MAX + ".e30", "characters long"),
    ],
)
def test_whatever_is_no_compact_form_is_refused_with_a_reason(text: str, why: str):
    with pytest.raises(ValueError, match=why):
        jws.parse(text)
