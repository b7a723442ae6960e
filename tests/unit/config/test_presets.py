"""Ready-made providers: the data file keeps its rules, and a configuration that names one gets what it says."""

from pathlib import Path
from typing import Any

import pytest

from helpers.configs import MODEL, read, refusal, refusals
from tollway.config import Provider, Secret
from tollway.config.presets import PRESETS, Preset, parse
from tollway.metering.price_files import shipped

PAGE = (Path(__file__).parents[3] / "docs" / "providers.md").read_text()

ROW = """
[[providers]]
id = "house"
name = "House"
base_url = "https://llm.house.example/v1"
keys = ["HOUSE_API_KEY"]
key_url = "https://llm.house.example/keys"
source = "https://llm.house.example/docs"
checked = 2026-11-22
"""


def configured(preset: str, *more: str) -> str:
    lines = "\n".join(more)
    return f'[[providers]]\npreset = "{preset}"\n{lines}\n{MODEL}'


def provider(preset: str, *more: str, environ: dict[str, str] | None = None) -> Provider:
    (found,) = read(configured(preset, *more), environ if environ is not None else ENVIRON).providers
    return found


ENVIRON = {name: f"key-of-{name}" for preset in PRESETS.values() for name in preset.keys}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_a_preset_is_a_whole_provider(preset: Preset) -> None:
    more = () if preset.base_url else (f'base_url = "{preset.base_url_example}"',)
    found = provider(preset.id, *more)
    assert (found.id, found.base_url) == (preset.id, preset.base_url or preset.base_url_example)
    assert found.api_key_env == (preset.keys[0] if preset.keys else None)
    assert (found.auth_header, found.query) == (preset.auth_header, preset.query)
    assert (found.price_book, found.quirks) == (preset.price_book, preset.quirks)
    assert found.user == (preset.user or "hash")
    assert found.models[0].unsupported == preset.unsupported


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_a_preset_names_its_provider_in_the_price_book(preset: Preset) -> None:
    known = set(shipped().providers())
    assert preset.price_book is None or preset.price_book in known
    assert preset.id not in known or preset.price_book == preset.id


def test_what_is_written_counts_whole() -> None:
    found = provider(
        "mistral",
        'id = "mine"',
        'base_url = "https://proxy.example/v1"',
        'api_key_env = "MINE"',
        "quirks = []",
        'unsupported = ["seed"]',
        'user = "forward"',
        environ={"MINE": "my-key"},
    )
    assert (found.id, found.base_url, found.api_key) == ("mine", "https://proxy.example/v1", Secret("my-key"))
    assert (found.quirks, found.unsupported, found.user) == ((), ("seed",), "forward")
    assert found.price_book == "mistral"


def test_a_key_in_a_file_is_the_only_one(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    (found,) = read(configured("groq", 'api_key_file = "key"'), {"GROQ_API_KEY": "other"}, base=tmp_path).providers
    assert (found.api_key, found.api_key_env) == (Secret("from-a-file"), None)


def test_of_several_variables_the_first_that_is_set_has_the_key() -> None:
    assert provider("google", environ={"GOOGLE_API_KEY": "g"}).api_key == Secret("g")
    assert provider("google", environ={"GOOGLE_API_KEY": "g", "GEMINI_API_KEY": "first"}).api_key == Secret("first")
    missing = refusal(configured("google"), {})
    assert (missing.key, "GEMINI_API_KEY is not set" in missing.expected) == ("providers[0].api_key_env", True)


def test_a_local_server_needs_no_key_and_is_sent_one_that_is_set() -> None:
    assert provider("vllm", environ={}).api_key is None
    assert provider("vllm", environ={"VLLM_API_KEY": "mine"}).api_key == Secret("mine")


def test_a_model_may_take_what_its_provider_mostly_refuses() -> None:
    (found,) = read(configured("xai") + 'supports = ["presence_penalty"]\nunsupported = ["stop"]', ENVIRON).providers
    assert found.models[0].unsupported == ("stop", "frequency_penalty")


def test_the_environment_finds_a_provider_by_its_preset() -> None:
    environ = {"TOLLWAY_PROVIDERS__GROQ__BASE_URL": "https://proxy.example/v1", "GROQ_API_KEY": "k"}
    assert provider("groq", environ=environ).base_url == "https://proxy.example/v1"


def test_an_unknown_preset_is_told_the_nearest_and_nothing_else_is_missed() -> None:
    found = refusal(configured("grok"))
    assert (found.key, found.value, found.expected) == ("providers[0].preset", "'grok'", 'did you mean "groq"?')
    every = refusal(configured("no-such"))
    assert all(name in every.expected for name in ("openai", "lmstudio"))


def test_a_preset_whose_customers_have_addresses_of_their_own_asks_for_one() -> None:
    found = refusal(configured("azure"), ENVIRON)
    assert found.key == "providers[0].base_url"
    assert "https://my-resource.openai.azure.com/openai/v1" in found.expected


def test_a_provider_without_a_preset_has_to_say_what_and_where_it_is() -> None:
    found = refusals(f"[[providers]]{MODEL}")
    assert [problem.key for problem in found] == ["providers[0].id", "providers[0].base_url"]
    assert "preset" in found[0].expected
    assert "groq" in found[1].expected


@pytest.mark.parametrize(
    ("more", "key", "said"),
    [
        ('auth_header = "Content-Type"', "auth_header", "writes this header itself"),
        ('auth_header = "sk 12"', "auth_header", "never the key"),
        ('auth_header = "x-key"\nheaders = { x-key = "1" }', "headers.x-key", "carries the key"),
        ('query = { api-key = "1" }', "query.api-key", "must not stand in the configuration"),
        ('query = { "a b" = "1" }', 'query."a b"', "letters, digits"),
        ('query = { v = "1 2" }', "query.v", "without spaces"),
        ('quirks = ["no_stream_option"]', "quirks[0]", 'did you mean "no_stream_options"?'),
        ('quirks = ["max_tokens", "max_completion_tokens"]', "quirks", "keep one"),
        ('unsupported = ["messages"]', "unsupported[0]", "has to take this field"),
    ],
)
def test_what_a_provider_is_written_with_is_checked(more: str, key: str, said: str) -> None:
    text = f'[[providers]]\nid = "a"\nbase_url = "https://a.example/v1"\n{more}\n{MODEL}'
    found = refusal(text)
    assert found.key.replace("'", '"') == f"providers[0].{key}"
    assert said in found.expected


def test_a_header_for_the_key_is_taken_in_any_case() -> None:
    text = f'[[providers]]\nid = "a"\nbase_url = "https://a.example"\nauth_header = "Api-Key"\n{MODEL}'
    assert read(text).providers[0].auth_header == "api-key"


# --- the data file


def test_a_row_of_the_data_file_is_read() -> None:
    house = parse(ROW)["house"]
    assert (house.name, house.key_variable({}), house.quirks) == ("House", "HOUSE_API_KEY", ())


def test_a_row_says_which_api_its_provider_speaks() -> None:
    house = parse(ROW.replace("checked", 'dialect = "openai"\nchecked'))["house"]
    assert house.written({})["dialect"] == "openai"
    assert "dialect" not in parse(ROW)["house"].written({})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("House", "Other"), None),
        (('id = "house"', 'id = "Not An Id"'), "lower-case"),
        (('base_url = "https://llm.house.example/v1"', ""), "needs base_url"),
        (("/v1", "/v1/"), "write https://llm.house.example/v1"),
        (("HOUSE_API_KEY", "house-key"), "in capitals"),
        (('keys = ["HOUSE_API_KEY"]', ""), "needs keys"),
        (("checked", 'unsupported = ["model"]\nchecked'), "has to take this field"),
        (("checked", 'quirks = ["no_such"]\nchecked'), "Invalid enum value"),
        (("checked", 'dialect = "no_such"\nchecked'), "Invalid enum value"),
        (("checked", 'quirks = ["max_tokens"]\nchecked'), "sources says nothing about max_tokens"),
        (("checked", 'sources = { seed = "https://a.example" }\nchecked'), "speaks of seed"),
        (("checked", "no_such = 1\nchecked"), "unknown field"),
        (("checked = 2026-11-22", ""), "missing required field"),
    ],
)
def test_a_wrong_row_says_what_is_wrong(change: tuple[str, str], said: str | None) -> None:
    text = ROW.replace(*change)
    if said is None:
        assert parse(text)
        return
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_a_provider_stands_once_in_the_data_file() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse(ROW + ROW)


# --- the page


def row_of(preset: Preset) -> str:
    """How the page shows it."""

    def code(words: Any) -> str:
        return ", ".join(f"`{word}`" for word in words)

    keys = code(preset.keys) + (", if set" if preset.local else "") if preset.keys else "none"
    address = f"`{preset.base_url}`" if preset.base_url else f"yours, such as `{preset.base_url_example}`"
    refused = code((*preset.unsupported, *(["user"] if preset.user == "omit" else [])))
    name = f"[{preset.name}]({preset.key_url or preset.source})"
    cells = (f"`{preset.id}`", name, address, keys, code(preset.quirks), refused)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def test_the_pages_table_is_the_data() -> None:
    table = PAGE.partition("| Preset |")[2].partition("\n\n")[0]
    assert table.splitlines()[2:] == [row_of(preset) for preset in PRESETS.values()]


def test_the_page_has_every_note() -> None:
    notes = [line for line in PAGE.splitlines() if line.startswith("- `")]
    assert notes == [f"- `{preset.id}`: {preset.note}" for preset in PRESETS.values() if preset.note]


def test_the_pages_configurations_are_some_and_its_row_is_one() -> None:
    blocks = [block.partition("```")[0] for block in PAGE.split("```toml\n")[1:]]
    *configurations, row = blocks
    assert len(configurations) == 4
    for text in configurations:
        assert read(text, ENVIRON | {"HOUSE_API_KEY": "k"}).providers[0].models
    assert list(parse(row)) == ["house"]
