from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.config import names

EVM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:4Nd1mYw4r1xN6mHcFVb2yzbDHNYxPAzDKrcdJjnWdmTC"


@pytest.mark.parametrize("text", ["openai", "0", "open-ai_2.eu", "a" * 64])
def test_a_provider_id_is_lower_case(text: str) -> None:
    assert names.provider_id(text) == text


@pytest.mark.parametrize("text", ["", "OpenAI", "a:b", "a/b", "-a", "a" * 65, "a\n"])
def test_a_provider_id_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters"):
        names.provider_id(text)


def test_a_model_may_have_any_visible_character() -> None:
    assert names.model_name("deepseek/r1:free") == "deepseek/r1:free"
    for text in ("", "a b", "modèle", "a" * 257):
        with pytest.raises(ValueError, match="without spaces"):
            names.model_name(text)


def test_a_variable_is_in_capitals_so_that_a_key_is_no_variable() -> None:
    assert names.variable_name("OPENAI_API_KEY") == "OPENAI_API_KEY"
    for text in ("", "sk-proj-abc", "gsk_AbC", "A B", "1A"):
        with pytest.raises(ValueError, match="never the key itself"):
            names.variable_name(text)


def test_a_file_has_a_name() -> None:
    assert names.file_name("/run/secrets/a b") == "/run/secrets/a b"
    for text in ("", "a\nb", "a\0"):
        with pytest.raises(ValueError, match="name of a file"):
            names.file_name(text)


def test_a_feature_is_in_lower_case() -> None:
    assert names.feature_name("web_search") == "web_search"
    with pytest.raises(ValueError, match="lower case"):
        names.feature_name("Web Search")


def test_a_header_is_in_lower_case() -> None:
    assert names.header_name("X-Team") == "x-team"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x_team", "letters, digits"),
        ("", "letters, digits"),
        ("x team", "letters, digits"),
        ("Authorization", "api_key_env"),
        ("api-key", "api_key_env"),
        ("Cookie", "api_key_env"),
        ("Host", "writes this header itself"),
        ("transfer-encoding", "writes this header itself"),
        ("sign-in-with-x", "writes this header itself"),
    ],
)
def test_a_header_carries_no_key_and_is_not_the_routers_own(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        names.header_name(name)


def test_a_headers_value_is_what_a_header_can_carry() -> None:
    assert names.header_value("a b") == "a b"
    assert names.header_value("a") == "a"
    for text in ("", " a", "a ", "a\r\nb: c", "ä", "a" * 5000):
        with pytest.raises(ValueError, match="printable ASCII"):
            names.header_value(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eip155:8453", "eip155:8453"),
        ("eip155:*", "eip155:*"),
        ("solana:*", "solana:*"),
        ("eip155", "eip155:*"),
        ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
    ],
)
def test_a_chain_is_a_caip_2_id_or_all_of_a_kind(text: str, expected: str) -> None:
    assert names.chain(text) == expected


@pytest.mark.parametrize("text", ["", "bitcoin:*", "eip155:", "eip155:base", "eip155:eip155:1", "solana:a b", "*"])
def test_what_is_no_chain_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match="CAIP-2"):
        names.chain(text)


@pytest.mark.parametrize("text", [f"eip155:8453:{EVM}", f"eip155:{EVM}", f"eip155:1:{EVM.lower()}"])
def test_an_evm_key_is_one_account_on_every_chain(text: str) -> None:
    assert names.account(text) == f"eip155:{EVM.lower()}"


def test_a_solana_key_is_an_account_of_its_network() -> None:
    assert names.account(SOLANA) == SOLANA


@pytest.mark.parametrize("text", ["", "*", EVM, "eip155:8453:0x12", "solana:abc", f"bitcoin:1:{EVM}"])
def test_what_is_no_account_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match="expected an account such as"):
        names.account(text)


def test_everybody_is_an_account_only_where_it_may_be() -> None:
    assert names.account_or_all("*") == "*"
    assert names.account_or_all(SOLANA) == SOLANA


@pytest.mark.parametrize(
    "parse",
    [
        names.provider_id,
        names.model_name,
        names.feature_name,
        names.variable_name,
        names.file_name,
        names.header_name,
        names.header_value,
        names.chain,
        names.account,
    ],
)
@given(text=st.text() | st.from_regex(r"(eip155|solana):[0-9a-zA-Z:*]{0,50}"))
def test_any_text_is_a_name_or_a_value_error_on_one_line(parse: Callable[[str], str], text: str) -> None:
    try:
        assert parse(text)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
