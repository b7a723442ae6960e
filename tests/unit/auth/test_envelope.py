"""Two envelopes, base64 in any dialect, and everything that is neither."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.sign_ins import EVM, SOLANA, URL, WALLETS, encoded, fields_form, text
from tollway.auth.envelope import HEADER_BYTES_MAX, open_envelope
from tollway.auth.message import parse_message
from tollway.client.wallet import Wallet
from tollway.domain.errors import InvalidSignIn, SignInError, UnsupportedChain

CARRIER = "Sign-In-With-X header"


def refusal(value: bytes) -> str:
    with pytest.raises(InvalidSignIn) as caught:
        open_envelope(value, CARRIER)
    return caught.value.message


def test_the_text_form_carries_the_signed_text_untouched() -> None:
    envelope = open_envelope(encoded({"message": "naïve\r\n €", "signature": "s", "other": 3.5}), CARRIER)
    assert (envelope.text, envelope.signature, envelope.kind) == ("naïve\r\n €", "s", "text")


@given(st.text(max_size=40))
def test_base64_is_standard_or_url_safe_with_or_without_padding(message: str) -> None:
    data = json.dumps({"message": message, "signature": "s"}, ensure_ascii=False).encode()
    standard, url_safe = base64.b64encode(data), base64.urlsafe_b64encode(data)
    for value in (standard, url_safe, standard.rstrip(b"="), url_safe.rstrip(b"=")):
        assert open_envelope(value, CARRIER).text == message


@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
def test_the_fields_form_is_rebuilt_to_the_text_its_client_signed(wallet: Wallet) -> None:
    envelope = open_envelope(encoded(fields_form(wallet)), CARRIER)
    lines = envelope.text.split("\n")
    assert envelope.kind == "fields"
    assert lines.index(f"URI: {URL}") == (4 if wallet is EVM else 3)
    assert f"Chain ID: {wallet.chain.partition(':')[2]}" in lines
    assert parse_message(envelope.text).chain == wallet.chain


OPTIONAL = {
    "statement": "Use it.",
    "expirationTime": "2026-01-01T00:04:00Z",
    "notBefore": "2026-01-01T00:00:00Z",
    "requestId": "r-1",
    "resources": ["urn:a", "urn:b"],
}


@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
def test_every_optional_field_has_its_line(wallet: Wallet) -> None:
    message = parse_message(open_envelope(encoded(fields_form(wallet) | OPTIONAL), CARRIER).text)
    assert (message.statement, message.request_id, message.resources) == ("Use it.", "r-1", ("urn:a", "urn:b"))
    assert message.expires_ms is not None
    assert message.not_before_ms is not None


@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
def test_null_is_absent(wallet: Wallet) -> None:
    absent = dict.fromkeys(OPTIONAL)
    bare, null = (encoded(fields_form(wallet) | extra) for extra in ({}, absent))
    assert open_envelope(bare, CARRIER).text == open_envelope(null, CARRIER).text


def test_empty_lists_and_ids_are_written_where_eip_4361_writes_them() -> None:
    empty = {"requestId": "", "resources": []}
    assert open_envelope(encoded(fields_form(EVM) | empty), CARRIER).text.endswith("\nRequest ID: \nResources:")
    assert open_envelope(encoded(fields_form(SOLANA) | empty), CARRIER).text.endswith("Z")


@pytest.mark.parametrize("name", ["domain", "address", "uri", "version", "chainId", "type", "nonce", "issuedAt"])
def test_a_missing_field_is_named(name: str) -> None:
    fields = fields_form()
    del fields[name]
    assert f"lacks {name}." in refusal(encoded(fields))


@pytest.mark.parametrize(("wallet", "type"), [(EVM, "ed25519"), (SOLANA, "eip191"), (EVM, "eip712")])
def test_the_signature_type_must_be_the_chains(wallet: Wallet, type: str) -> None:
    assert "type must be" in refusal(encoded(fields_form(wallet) | {"type": type}))


@pytest.mark.parametrize("chain", ["", "8453", "bip122:1", "eip155:", "eip155:0x1", "solana:a b"])
def test_the_fields_form_names_its_chain_whole(chain: str) -> None:
    with pytest.raises(UnsupportedChain, match="chainId"):
        open_envelope(encoded(fields_form() | {"chainId": chain}), CARRIER)


@pytest.mark.parametrize("name", ["domain", "address", "uri", "version", "nonce", "issuedAt", "statement"])
@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
def test_no_field_can_smuggle_in_a_line(wallet: Wallet, name: str) -> None:
    fields = fields_form(wallet)
    smuggled = fields | {name: f"{fields.get(name, 'x')}\nNonce: 12345678"}
    assert "control character" in refusal(encoded(smuggled))


def test_a_repeated_key_is_read_once() -> None:
    """Whichever of the two counts, the text that is verified is the text that is acted on."""
    data = b'{"message":"one","signature":"s","message":"two"}'
    assert open_envelope(base64.b64encode(data), CARRIER).text == "two"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (b"!!!", "is not base64"),
        (b"=", "is not base64"),
        (b"AAAAA", "is not base64"),
        (b"AAAA AAAA", "is not base64"),
        ("é".encode(), "is not base64"),
        (b"aGVsbG8", "is not base64 of JSON"),
        (base64.b64encode(b"\xff\xfe{}"), "is not base64 of JSON"),
        (base64.b64encode(b'{"message":"\xff","signature":""}'), "is not base64 of JSON"),
        (base64.b64encode(b'{"unread\xff":1,"message":"","signature":""}'), "is not base64 of JSON"),
        (base64.b64encode(b'{"message":"\\ud800","signature":""}'), "is not base64 of JSON"),
        (base64.b64encode(b"[" * 6000), "is not base64 of JSON"),
        (base64.b64encode(b'{"deep":' + b"[" * 6000), "is not base64 of JSON"),
        (encoded([]), "wrong shape"),
        (encoded("text"), "wrong shape"),
        (encoded(None), "wrong shape"),
        (encoded({}), "has no 'signature'"),
        (encoded({"message": "x"}), "has no 'signature'"),
        (encoded({"message": "x", "signature": None}), "has no 'signature'"),
        (encoded({"message": 1, "signature": "s"}), "wrong shape: Expected `str | null`, got `int` - at `$.message`"),
        (encoded({"message": "x", "signature": ["s"]}), "wrong shape"),
        (encoded(fields_form() | {"resources": [1]}), "wrong shape"),
        (encoded(fields_form() | {"nonce": 12345678}), "wrong shape"),
        (encoded({"signature": "s"}), "lacks domain, address, uri, version, chainId, type, nonce, issuedAt"),
        (b"A" * 9 * 1024, f"is longer than {HEADER_BYTES_MAX} bytes"),
    ],
)
def test_everything_else_is_refused_with_what_to_send(value: bytes, complaint: str) -> None:
    said = refusal(value)
    assert complaint in said
    assert "Sign-In-With-X: base64(" in said


def test_a_header_of_8_kib_is_still_read() -> None:
    longest = HEADER_BYTES_MAX * 3 // 4 - len(json.dumps({"message": "", "signature": "s"}))
    value = encoded({"message": "x" * longest, "signature": "s"})
    assert len(value) == HEADER_BYTES_MAX
    assert len(open_envelope(value, CARRIER).text) == longest


@given(st.binary(max_size=300))
@example(base64.b64encode(text().encode()))
def test_no_bytes_make_it_fail_otherwise(value: bytes) -> None:
    with pytest.raises(SignInError):
        open_envelope(value, CARRIER)
    with pytest.raises(SignInError):
        open_envelope(base64.b64encode(value), CARRIER)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["message", *fields_form()]), json_values))
def test_no_json_makes_it_fail_otherwise(content: dict[str, object]) -> None:
    try:
        envelope = open_envelope(encoded(content), CARRIER)
    except SignInError as error:
        assert error.status == 401
    else:
        assert envelope.signature == content["signature"]
