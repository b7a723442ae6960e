"""Overrides from the environment."""

import pytest

from helpers.configs import PROVIDER, read, refusal, refusals
from tollway.config import Address

TWO = PROVIDER + PROVIDER.replace('"openai"', '"open-ai.eu"')


def test_a_variable_overrides_the_file() -> None:
    config = read('[server]\nlisten = "127.0.0.1:1"\n' + PROVIDER, {"TOLLWAY_SERVER__LISTEN": "[::1]:8081"})
    assert config.server.listen == Address("::1", 8081)


def test_numbers_and_switches_are_read_from_text() -> None:
    environ = {"TOLLWAY_SERVER__MAX_DEPTH": "50", "TOLLWAY_SERVER__INSECURE": "True"}
    server = read(PROVIDER, environ).server
    assert (server.max_depth, server.insecure) == (50, True)
    assert read(PROVIDER, {"TOLLWAY_SERVER__INSECURE": "0"}).server.insecure is False


def test_text_is_no_number_or_switch_in_the_file() -> None:
    problems = refusals('[server]\nmax_depth = "50"\ninsecure = "true"\n' + PROVIDER)
    assert [problem.key for problem in problems] == ["server.max_depth", "server.insecure"]


@pytest.mark.parametrize("text", ["a.example,b.example", " a.example , b.example,", '["a.example", "b.example"]'])
def test_an_array_is_comma_separated_or_json(text: str) -> None:
    assert read(PROVIDER, {"TOLLWAY_AUTH__DOMAINS": text}).auth.domains == ("a.example", "b.example")


def test_an_array_that_starts_as_json_must_be_json() -> None:
    problem = refusal(PROVIDER, {"TOLLWAY_AUTH__DOMAINS": '["a.example"'})
    assert (problem.key, problem.variable) == ("auth.domains", "TOLLWAY_AUTH__DOMAINS")


def test_an_item_of_an_array_has_a_number() -> None:
    environ = {"TOLLWAY_AUTH__DOMAINS__1": "b.example", "TOLLWAY_AUTH__DOMAINS__0": "a.example"}
    assert read(PROVIDER, environ).auth.domains == ("a.example", "b.example")


def test_an_empty_value_is_a_value() -> None:
    assert read('[ops]\nlisten = "127.0.0.1:1"\n' + PROVIDER, {"TOLLWAY_OPS__LISTEN": ""}).ops.listen is None


def test_a_provider_is_named_by_its_number() -> None:
    config = read(TWO, {"TOLLWAY_PROVIDERS__1__BASE_URL": "http://b"})
    assert [provider.base_url for provider in config.providers] == ["https://api.openai.com/v1", "http://b"]


def test_a_provider_is_named_by_its_id() -> None:
    config = read(TWO, {"TOLLWAY_PROVIDERS__OPEN_AI_EU__BASE_URL": "http://b"})
    assert [provider.base_url for provider in config.providers] == ["https://api.openai.com/v1", "http://b"]


def test_a_model_is_named_by_its_id() -> None:
    name = "TOLLWAY_PROVIDERS__OPENAI__MODELS__OPENAI_GPT_4O__CONTEXT_LENGTH"
    assert read(PROVIDER, {name: "64000"}).providers[0].models[0].context_length == 64_000


def test_a_table_is_set_key_by_key_or_as_json() -> None:
    environ = {
        "TOLLWAY_PROVIDERS__OPENAI__TIMEOUTS__IDLE": "1s",
        "TOLLWAY_PROVIDERS__OPENAI__HEADERS": '{"X-Team": "search"}',
    }
    provider = read(PROVIDER, environ).providers[0]
    assert provider.timeouts.idle == 1.0
    assert provider.headers == {"x-team": "search"}


def test_everything_may_come_from_the_environment() -> None:
    config = read(
        "",
        {
            "TOLLWAY_PROVIDERS__0__ID": "openai",
            "TOLLWAY_PROVIDERS__0__BASE_URL": "https://api.openai.com/v1",
            "TOLLWAY_PROVIDERS__OPENAI__API_KEY_ENV": "OPENAI_API_KEY",
            "TOLLWAY_PROVIDERS__0__MODELS__0__ID": "openai/gpt-4o",
            "TOLLWAY_PROVIDERS__0__MODELS__0__PRICE__INPUT": "2.50",
            "TOLLWAY_PROVIDERS__0__MODELS__0__PRICE__OUTPUT": "10",
            "TOLLWAY_PROVIDERS__0__MODELS__0__CONTEXT_LENGTH": "128000",
            "OPENAI_API_KEY": "sk-1",
        },
    )
    provider = config.providers[0]
    assert provider.api_key is not None
    assert provider.api_key.reveal() == "sk-1"
    assert provider.models[0].price.rates.input == 2_500_000


def test_a_list_of_tables_may_come_as_json_and_be_refined() -> None:
    model = '{"id": "a/b", "price": {"input": "1", "output": "1"}, "context_length": 10}'
    environ = {
        "TOLLWAY_PROVIDERS": f'[{{"id": "a", "base_url": "http://a", "models": [{model}]}}]',
        "TOLLWAY_PROVIDERS__A__BASE_URL": "http://b",
    }
    assert read("", environ).providers[0].base_url == "http://b"


def test_an_item_that_json_left_null_is_filled() -> None:
    environ = {"TOLLWAY_AUTH__CHAINS": "[null]", "TOLLWAY_AUTH__CHAINS__0": "eip155:1"}
    assert read(PROVIDER, environ).auth.chains == ("eip155:1",)


def test_a_wrong_value_names_its_variable() -> None:
    problem = refusal(PROVIDER, {"TOLLWAY_SERVER__DRAIN": "30"})
    assert str(problem).startswith("server.drain = '30' (from TOLLWAY_SERVER__DRAIN): expected a number and its unit")


def test_a_wrong_value_inside_json_names_its_variable() -> None:
    problem = refusal(PROVIDER, {"TOLLWAY_PROVIDERS__0__TIMEOUTS": '{"idle": 5}'})
    assert (problem.key, problem.variable) == ("providers[0].timeouts.idle", "TOLLWAY_PROVIDERS__0__TIMEOUTS")


def test_an_unknown_key_names_its_variable_and_the_near_key() -> None:
    problem = refusal(PROVIDER, {"TOLLWAY_SERVER__LISEN": "x"})
    assert (problem.key, problem.variable) == ("server.lisen", "TOLLWAY_SERVER__LISEN")
    assert 'did you mean "listen"?' in problem.expected


def test_an_unknown_section_names_its_variable_and_the_near_section() -> None:
    problem = refusal(PROVIDER, {"TOLLWAY_SEVER__LISTEN": "x"})
    assert (problem.key, problem.variable) == ("sever", "TOLLWAY_SEVER__LISTEN")
    assert 'did you mean "server"?' in problem.expected


def test_one_underscore_where_two_belong_is_not_ignored() -> None:
    problem = refusal(PROVIDER, {"TOLLWAY_LEDGER_URL": "memory:"})
    assert str(problem) == "TOLLWAY_LEDGER_URL: write TOLLWAY_LEDGER__URL (two underscores)"


def test_variables_of_others_are_ignored() -> None:
    environ = {"TOLLWAY_CONFIG": "x", "TOLLWAY_PORT": "tcp://10.0.0.1", "TOLLWAY_SERVICE_HOST": "x", "PATH": "x"}
    assert read(PROVIDER, environ) == read(PROVIDER)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("TOLLWAY_SERVER__listen", "in capitals"),
        ("TOLLWAY_PROVIDERS__3__ID", "the next free number is 2"),
        ("TOLLWAY_PROVIDERS__00__ID", "no id is spelled '00' here"),
        ("TOLLWAY_PROVIDERS__OPENIA__ID", 'did you mean "OPENAI"?'),
        ("TOLLWAY_PROVIDERS__0__ID__X", "inside of what is a single value"),
        ("TOLLWAY_PROVIDERS__A\nB__ID", "no id is spelled"),
    ],
)
def test_a_variable_without_a_place_says_why(name: str, reason: str) -> None:
    problem = refusal(TWO, {name: "x"})
    assert problem.key.strip("'").replace("\\n", "\n") == name
    assert reason in problem.expected
    assert len(str(problem).splitlines()) == 1


def test_ids_that_are_spelled_alike_are_told_apart_by_number() -> None:
    text = TWO.replace('"openai"', '"open.ai-eu"')
    assert (
        "write a number instead, 0 for the first" in refusal(text, {"TOLLWAY_PROVIDERS__OPEN_AI_EU__ID": "x"}).expected
    )


def test_an_item_without_an_id_is_only_found_by_number() -> None:
    environ = {"TOLLWAY_AUTH__DENY": '[3, {"id": 4}]', "TOLLWAY_AUTH__DENY__X": "x"}
    assert "known here: none" in refusals(PROVIDER, environ)[0].expected


def test_json_that_is_too_deep_or_not_unicode_is_text() -> None:
    for text in ("[" * 100_000, '["\udcff"]'):
        assert refusal(PROVIDER, {"TOLLWAY_AUTH__DOMAINS": text}).key == "auth.domains"
