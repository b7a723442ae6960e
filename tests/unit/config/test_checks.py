"""Rules between keys."""

from pathlib import Path

import pytest

from helpers.configs import BASE, MODEL, PROVIDER, read, refusal, refusals
from tollway.config import Secret
from tollway.domain.parameters import KEPT

ACCOUNT = "eip155:8453:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def provider(name: str, *models: str) -> str:
    return f'[[providers]]\nid = "{name}"\nbase_url = "https://{name}.example"\n' + "".join(models)


def model(name: str, more: str = "") -> str:
    return MODEL.replace("openai/gpt-4o", name) + more + "\n"


# --- public listeners


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "router.internal:80"])
@pytest.mark.parametrize(
    ("public", "reason"),
    [
        ("", "is loopback"),
        ('public_url = "http://router.example.com"', "is plain http"),
        ('public_url = "https://localhost"', "is loopback"),
        ('public_url = "https://127.0.0.1:8443"', "is loopback"),
    ],
)
def test_a_public_listener_needs_a_public_https_url(listen: str, public: str, reason: str) -> None:
    text = f'[server]\nlisten = "{listen}"\n{public}\n' + PROVIDER
    if not public and not listen.startswith(("0.0.0.0", "[::]")):
        reason = "is plain http"
    problem = refusal(text)
    assert problem.key == "server.public_url"
    assert problem.expected.startswith(reason)
    assert "server.insecure = true" in problem.expected
    assert read(text.replace("[server]", "[server]\ninsecure = true")).server.insecure


def test_a_public_listener_with_a_public_https_url_starts() -> None:
    assert read('[server]\nlisten = "0.0.0.0:80"\npublic_url = "https://router.example.com"\n' + PROVIDER)


def test_a_loopback_listener_may_have_any_url() -> None:
    assert read('[server]\nlisten = "[::1]:80"\npublic_url = "http://router.example.com"\n' + PROVIDER)


@pytest.mark.parametrize("wrong", ['public_url = "x"', "insecure = 3"])
def test_a_wrong_value_is_not_reported_twice(wrong: str) -> None:
    refusal(f'[server]\nlisten = "0.0.0.0:80"\n{wrong}\n' + PROVIDER)


# --- billing


def test_metered_needs_an_allow_list() -> None:
    problem = refusal('[billing]\nmode = "metered"\n' + PROVIDER)
    assert problem.key == "billing.mode"
    assert "auth.accounts" in problem.expected


def test_metered_with_an_allow_list_starts() -> None:
    config = read(f'[billing]\nmode = "metered"\n[auth]\naccounts = ["{ACCOUNT}"]\n' + PROVIDER)
    assert config.auth.accounts == ("eip155:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",)


def test_a_wrong_allow_list_is_reported_once() -> None:
    assert refusal('[billing]\nmode = "metered"\n[auth]\naccounts = []\n' + PROVIDER).key == "auth.accounts"
    assert refusal('auth = 3\n[billing]\nmode = "metered"\n' + PROVIDER).key == "auth"


def test_a_welcome_credit_needs_a_total() -> None:
    problem = refusal('[billing]\nwelcome_credit_usd = "0.50"\n' + PROVIDER)
    assert problem.key == "billing.welcome_credit_total_usd"
    assert "at least one welcome credit (0.50)" in problem.expected


def test_a_welcome_credit_with_a_total_starts() -> None:
    billing = read('[billing]\nwelcome_credit_usd = "0.5"\nwelcome_credit_total_usd = "0.5"\n' + PROVIDER).billing
    assert billing.welcome_credit_usd == billing.welcome_credit_total_usd == 500_000_000


def test_a_wrong_total_is_reported_once() -> None:
    text = '[billing]\nwelcome_credit_usd = "0.5"\nwelcome_credit_total_usd = 5\n'
    assert refusal(text + PROVIDER).key == "billing.welcome_credit_total_usd"


# --- providers and their keys


def test_a_router_without_providers_is_refused_once() -> None:
    assert refusal("").key == "providers"
    assert refusal("providers = []").key == "providers"
    assert refusal("providers = 3").key == "providers"


def test_a_provider_without_models_is_refused() -> None:
    assert refusal(provider("a")).expected == "is missing: write at least one [[providers.models]]"


def test_a_provider_id_is_unique() -> None:
    problem = refusal(provider("a", model("x/1")) + provider("a", model("x/2")))
    assert (problem.key, problem.value) == ("providers[1].id", "'a'")


def test_a_key_comes_from_one_place() -> None:
    text = PROVIDER.replace(MODEL, f'api_key_env = "KEY"\napi_key_file = "key"\n{MODEL}')
    problem = refusal(text, {"KEY": "sk-1"})
    assert problem.key == "providers[0].api_key_file"
    assert "keep one of the two" in problem.expected


def test_a_key_is_found_in_the_environment() -> None:
    text = PROVIDER.replace(MODEL, f'api_key_env = "KEY"\n{MODEL}')
    assert read(text, {"KEY": "sk-1"}).providers[0].api_key == Secret("sk-1")
    problem = refusal(text)
    assert problem.key == "providers[0].api_key_env"
    assert "the environment variable KEY is not set" in problem.expected


def test_a_key_is_found_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    text = PROVIDER.replace(MODEL, f'api_key_file = "key"\n{MODEL}')
    assert read(text, base=tmp_path).providers[0].api_key == Secret("sk-1")
    problem = refusal(text, base=BASE / "gone")
    assert problem.key == "providers[0].api_key_file"
    assert "/etc/tollway/gone/key" in problem.expected


def test_a_provider_may_have_no_key() -> None:
    assert read(PROVIDER).providers[0].api_key is None


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "sk-hidden"',
        'apikey = "sk-hidden"',
        'api_key_env = "sk-hidden"',
        'api_key_env = ["sk-hidden"]',
        'headers = { authorization = "Bearer sk-hidden" }',
        'headers = { x-team = "sk-hidden\\n" }',
        'headers = { x-api-key = "sk-hidden" }',
    ],
)
def test_a_key_in_the_file_is_refused_and_not_shown(line: str) -> None:
    problem = refusal(PROVIDER.replace(MODEL, f"{line}\n{MODEL}"))
    assert problem.key.startswith(f"providers[0].{line.split(' ')[0]}")
    assert "hidden" not in str(problem)


def test_a_literal_key_is_answered_with_where_keys_belong() -> None:
    for environ in ({}, {"TOLLWAY_PROVIDERS__OPENAI__API_KEY": "sk-hidden"}):
        text = PROVIDER if environ else PROVIDER.replace(MODEL, f'api_key = "sk-hidden"\n{MODEL}')
        problem = refusal(text, environ)
        assert "api_key_env" in problem.expected
        assert "api_key_file" in problem.expected
        assert "hidden" not in str(problem)


def test_a_finished_configuration_does_not_print_keys() -> None:
    text = PROVIDER.replace(MODEL, f'api_key_env = "KEY"\n{MODEL}')
    assert "sk-hidden" not in repr(read(text, {"KEY": "sk-hidden"}))


# --- names of models


def test_the_same_model_may_have_several_providers_and_share_aliases() -> None:
    both = model("openai/gpt-4o", 'aliases = ["gpt-4o"]')
    assert len(read(provider("a", both) + provider("b", both)).providers) == 2


def test_a_model_stands_once_at_a_provider() -> None:
    problem = refusal(provider("a", model("x/1"), model("x/1")))
    assert problem.key == "providers[0].models[1].id"


@pytest.mark.parametrize("alias", ["x/1", "x/2"])
def test_an_alias_is_no_models_id(alias: str) -> None:
    problem = refusal(provider("a", model("x/1", f'aliases = ["{alias}"]')) + provider("b", model("x/2")))
    assert problem.key == "providers[0].models[0].aliases[0]"
    assert "the id of a model" in problem.expected


def test_an_alias_stands_for_one_model() -> None:
    problem = refusal(
        provider("a", model("x/1", 'aliases = ["one"]')) + provider("b", model("x/2", 'aliases = ["two", "one"]'))
    )
    assert problem.key == "providers[1].models[0].aliases[1]"
    assert "an alias of 'x/1' already" in problem.expected


@pytest.mark.parametrize("name", ["a:x/1", "a:1", "a:one"])
def test_a_name_that_reads_as_another_providers_pin_is_refused(name: str) -> None:
    pinned = provider("a", model("x/1", 'aliases = ["one"]'))
    as_id = refusal(pinned + provider("b", model(name)))
    assert (as_id.key, as_id.value) == ("providers[1].models[0].id", f"'{name}'")
    as_alias = refusal(pinned + provider("b", model("x/2", f'aliases = ["{name}"]')))
    assert as_alias.key == "providers[1].models[0].aliases[0]"
    assert "also means a model of the provider a" in as_alias.expected


def test_a_colon_that_pins_nothing_is_part_of_a_name() -> None:
    config = read(provider("a", model("deepseek/r1:free", 'aliases = ["a:other", "r1:free"]')))
    assert config.providers[0].models[0].upstream == "r1:free"


def test_an_answer_fits_the_context() -> None:
    problem = refusal(provider("a", model("x/1", "max_output_tokens = 128001")))
    assert problem.key == "providers[0].models[0].max_output_tokens"


# --- several at once


def test_every_mistake_is_reported_at_once() -> None:
    text = f"""
    [server]
    lisen = "127.0.0.1:80"
    max_body = 20
    [ledger]
    url = "postgresql://me:hidden@db/tollway"
    [billing]
    mode = "prepayed"
    [[providers]]
    base_url = "https://a.example"
    {MODEL}
    [[providers]]
    id = "b"
    base_url = "https://me:hidden@b.example"
    api_key_env = "KEY"
    {model("x/1", 'aliases = ["y/1", 3]')}
    [[providers]]
    id = "c"
    base_url = "https://c.example"
    api_key_env = "KEY"
    {model("y/1", 'aliases = ["z", 5]')}
    {model("y/2").replace("price", "prise")}
    {model("y/3", 'aliases = ["z"]')}
    """
    problems = refusals(text)
    assert [problem.key for problem in problems] == [
        "server.lisen",
        "server.max_body",
        "ledger.url",
        "billing.mode",
        "providers[0].id",
        "providers[1].base_url",
        "providers[1].models[0].aliases[1]",
        "providers[2].models[0].aliases[1]",
        "providers[2].models[1].prise",
        "providers[2].models[2].aliases[0]",
        "providers[2].api_key_env",
    ]
    assert not any("hidden" in str(problem) for problem in problems)


def test_what_a_model_takes_is_in_one_of_the_two_lists() -> None:
    more = 'supports = ["tools", "vision"]\nunsupported = ["logprobs", "tools"]'
    found = refusal(f"{PROVIDER}{more}")
    assert (found.key, found.value) == ("providers[0].models[0].unsupported[1]", "'tools'")
    (provider,) = read(f'{PROVIDER}supports = ["tools"]\nunsupported = ["logprobs"]').providers
    assert (provider.models[0].supports, provider.models[0].unsupported) == (("tools",), ("logprobs",))


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_field_that_is_never_left_out_can_not_be_unsupported(name: str) -> None:
    found = refusal(f'{PROVIDER}unsupported = ["{name}"]')
    assert found.key == "providers[0].models[0].unsupported[0]"


def test_the_key_that_signs_receipts_can_not_be_withdrawn() -> None:
    problem = refusal("[receipts]\nkey = 2\nwithdrawn = [1, 2]\n" + PROVIDER)
    assert problem.key == "receipts.withdrawn"
    assert "raise receipts.key" in problem.expected


def test_all_bodies_at_once_may_be_no_less_than_one() -> None:
    problem = refusal('[server]\nmax_body = "2MB"\nmax_bodies = "1MB"\n' + PROVIDER)
    assert problem.key == "server.max_bodies"
    assert "server.max_body" in problem.expected
    assert refusal('[server]\nmax_body = 3\nmax_bodies = "1MB"\n' + PROVIDER).key == "server.max_body"
    assert read('[server]\nmax_body = "1MB"\nmax_bodies = "1MB"\n' + PROVIDER).server.max_bodies == 1_000_000
