"""What is read as a CAIP-122 message, and what is refused."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sign_ins import DOMAIN, EVM, HOUR_MS, NOW_MS, SOLANA, URL, WALLETS, text
from tollway.auth.message import SignInMessage, parse_message
from tollway.client.wallet import Wallet
from tollway.domain.errors import InvalidSignIn, SignInError, UnsupportedChain

OPENING = f"{DOMAIN} wants you to sign in with your Ethereum account:"


def refusal(message: str) -> str:
    with pytest.raises(InvalidSignIn) as caught:
        parse_message(message)
    return caught.value.message


def test_the_message_of_deployed_clients_has_no_nonce_and_no_issue_time() -> None:
    assert parse_message(text(SOLANA)) == SignInMessage(
        domain=DOMAIN,
        namespace="solana",
        address=SOLANA.address,
        statement=None,
        uri=URL,
        chain=SOLANA.chain,
        nonce=None,
        issued_at_ms=None,
        expires_ms=NOW_MS + HOUR_MS,
        not_before_ms=None,
        request_id=None,
        resources=(),
    )


def test_every_line_of_the_template_is_read() -> None:
    message = parse_message(
        text(
            EVM,
            opening=(OPENING, EVM.address, "", "Use the router, naïvely: URI: no", ""),
            nonce="12345678",
            issued="2026-01-01T00:00:00Z",
            not_before="2026-01-01T00:00:01Z",
            request_id="r-1",
            resources="urn:tollway:scope:keys https://example.com/a?b#c",
        )
    )
    assert message.statement == "Use the router, naïvely: URI: no"
    assert (message.nonce, message.request_id) == ("12345678", "r-1")
    assert (message.issued_at_ms, message.not_before_ms) == (NOW_MS, NOW_MS + 1000)
    assert message.resources == ("urn:tollway:scope:keys", "https://example.com/a?b#c")


@pytest.mark.parametrize(
    ("between", "statement"),
    [([""], None), (["", ""], None), (["", "Hello.", ""], "Hello.")],
    ids=["one blank line", "two blank lines", "statement"],
)
@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
def test_a_statement_may_be_left_out_with_one_blank_line_or_two(
    wallet: Wallet, between: list[str], statement: str | None
) -> None:
    opening = [f"{DOMAIN} wants you to sign in with your {wallet.account_name} account:", wallet.address, *between]
    assert parse_message(text(wallet, opening=opening)).statement == statement


@pytest.mark.parametrize(
    ("wallet", "spelling"),
    [(EVM, "eip155:8453"), (EVM, "8453"), (SOLANA, SOLANA.chain), (SOLANA, SOLANA.chain.removeprefix("solana:"))],
)
def test_the_chain_is_named_whole_or_by_its_reference(wallet: Wallet, spelling: str) -> None:
    assert parse_message(text(wallet, chain=spelling)).chain == wallet.chain


@pytest.mark.parametrize(
    ("time", "offset_ms"),
    [
        ("2026-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00.5Z", 500),
        ("2026-01-01T00:00:00.000Z", 0),
        ("2026-01-01T00:00:00.123456+00:00", 123),
        ("2026-01-01T00:00:00.123999999-00:00", 123),
        ("2026-01-01T02:30:00+02:30", 0),
        ("2025-12-31T19:00:00-05:00", 0),
        ("2026-01-01t00:00:01z", 1000),
        ("2026-03-01T00:00:00Z", 59 * 86_400_000),
    ],
)
def test_times_are_rfc_3339_with_any_fraction_and_offset(time: str, offset_ms: int) -> None:
    assert parse_message(text(expires=time)).expires_ms == NOW_MS + offset_ms


@pytest.mark.parametrize(
    "time",
    [
        "", "now", "2026-01-01", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-1-1T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0000", "2026-01-01T00:00:00+00:60", "2026-01-01T00:00:00Z ", "２026-01-01T00:00:00Z",
        "1767225600",
    ],
)  # fmt: skip
def test_any_other_time_is_refused(time: str) -> None:
    assert "Expiration Time must be an RFC 3339 time" in refusal(text(expires=time))


FULL = text(
    EVM,
    opening=(OPENING, EVM.address, "", "Hello.", ""),
    nonce="12345678",
    issued="2026-01-01T00:00:00Z",
    not_before="2026-01-01T00:00:00Z",
    request_id="r-1",
    resources="urn:a urn:b",
).split("\n")
FIRST_RESOURCE = FULL.index("Resources:") + 1


def joined(*parts: Sequence[str]) -> str:
    return "\n".join(line for part in parts for line in part)


@pytest.mark.parametrize("index", range(FIRST_RESOURCE), ids=lambda i: FULL[i])
def test_no_line_may_come_twice(index: int) -> None:
    refusal(joined(FULL[: index + 1], FULL[index:]))


@pytest.mark.parametrize("index", range(FIRST_RESOURCE), ids=lambda i: FULL[i])
def test_no_two_lines_may_change_places(index: int) -> None:
    refusal(joined(FULL[:index], [FULL[index + 1], FULL[index]], FULL[index + 2 :]))


@pytest.mark.parametrize("index", range(len(FULL) + 1))
@pytest.mark.parametrize("line", ["Chain: 1", "Scheme: https", "nonce: 12345678", " "])
def test_no_unknown_line_may_be_added(index: int, line: str) -> None:
    refusal(joined(FULL[:index], [line], FULL[index:]))


@pytest.mark.parametrize("name", ["URI", "Version", "Chain ID"])
def test_no_required_line_may_be_left_out(name: str) -> None:
    assert f"must be '{name}: ...'" in refusal(joined([line for line in FULL if not line.startswith(f"{name}: ")]))


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("", "line 1 must be"),
        ("hello", "line 1 must be"),
        (OPENING, "line 2: an Ethereum address"),
        (f"{OPENING}\n{EVM.address}", "line 3 must be blank"),
        (f"{OPENING}\n{EVM.address}\n", "line 4 must be 'URI: ...'"),
        (f"{OPENING}\n{EVM.address}\n\n", "line 5 must be 'URI: ...'"),
        (f"{OPENING}\n{EVM.address}\n\nHello.", "a statement is one line"),
        (f"{OPENING}\n{EVM.address}\n\nHello.\nURI: {URL}", "a statement is one line"),
        (f"{OPENING}\n{EVM.address}\n\nURI: {URL}", "line 5 must be 'Version: ...'"),
        (text(EVM) + " ", "Expiration Time must be"),
        (text(EVM) + "\n", "line 8 is unknown"),
        (text(EVM) + "\nResources:\nurn:a", "line 9 must be a resource"),
        (text(EVM) + "\nResources:\n- no uri", "line 9 must be a resource"),
        (text(EVM) + "\nResources: ", "line 8 is unknown"),
        (text(EVM, version="2"), "Version must be 1"),
        (text(EVM, version=""), "Version must be 1"),
        (text(EVM, chain="solana:x"), "Chain ID: not a chain id of eip155"),
        (text(SOLANA, chain="eip155:8453"), "Chain ID: not a chain id of solana"),
        (text(EVM, uri="/api/v1"), "URI must be an absolute URI"),
        (text(EVM, uri="https://a b"), "URI must be an absolute URI"),
        (text(EVM, nonce="1234567"), "Nonce must be 8 to 128"),
        (text(EVM, nonce="1234-5678"), "Nonce must be 8 to 128"),
        (text(EVM, nonce="1" * 129), "Nonce must be 8 to 128"),
        (text(EVM, nonce="１２３４５６７８"), "Nonce must be 8 to 128"),
        (text(EVM).replace(EVM.address, SOLANA.address), "line 2: an Ethereum address"),
        (text(SOLANA).replace(SOLANA.address, EVM.address), "line 2: "),
        (text(EVM).replace(EVM.address, EVM.address[:-1] + "a"), "EIP-55"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(message: str, complaint: str) -> None:
    assert complaint in refusal(message)


@pytest.mark.parametrize("character", ["\0", "\t", "\r", "\x0b", "\x1b", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize("place", [0, 5, -1])
def test_control_characters_are_refused_wherever_they_are(character: str, place: int) -> None:
    message = text()
    assert "control character" in refusal(message[:place] + character + message[place:])


def test_an_account_of_another_kind_is_told_which_are_accepted() -> None:
    with pytest.raises(UnsupportedChain, match="Solana or Ethereum"):
        parse_message(text().replace("your Solana account", "your Bitcoin account"))


@given(st.text())
def test_no_text_makes_the_parser_fail_otherwise(message: str) -> None:
    with pytest.raises(SignInError):
        parse_message(message)


@given(st.data())
def test_no_damaged_message_makes_the_parser_fail_otherwise(data: st.DataObject) -> None:
    message = text(EVM, nonce="12345678", issued="2026-01-01T00:00:00Z", resources="urn:a")
    start = data.draw(st.integers(0, len(message)))
    stop = data.draw(st.integers(start, min(len(message), start + 8)))
    damaged = message[:start] + data.draw(st.text(max_size=8)) + message[stop:]
    try:
        parse_message(damaged)
    except SignInError as error:
        assert error.status == 401
