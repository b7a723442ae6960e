"""What `tollway init` writes: models that are priced and there, and a text that loads whatever was chosen."""

import json
import re
from pathlib import Path

import pytest

from tollway.cli.init.choose import Known, Unpriced, choose, named, public_id
from tollway.cli.init.found import Found, Listed, key, read_models, usable
from tollway.cli.init.questions import provider, provider_names, ready_made
from tollway.cli.init.suggested import SUGGESTED
from tollway.cli.init.write import Plan, save, text
from tollway.config.load import loads
from tollway.config.places import Address
from tollway.config.presets import PRESETS
from tollway.metering.price_files import shipped
from tollway.metering.price_list import price_list

KNOWN = Known(shipped().index(), shipped().size_index())
HOSTED = sorted(SUGGESTED)
LOCAL = sorted(preset.id for preset in PRESETS.values() if preset.local)


def found(id: str, *models: Listed | str, **fields: object) -> Found:
    """A preset whose list has these models; without any its list could not be had."""
    listed = tuple(Listed(name=model) if isinstance(model, str) else model for model in models)
    return Found(preset=PRESETS[id], models=listed or None, **fields)  # type: ignore[arg-type]


def written(*chosen: Found, simulator: bool = False) -> str:
    plan = Plan(
        listen=Address("127.0.0.1", 8080),
        ops=Address("127.0.0.1", 9464),
        public_url="http://127.0.0.1:8080",
        providers=tuple((each, choose(each, KNOWN)) for each in chosen),
        simulator=simulator,
    )
    return text(plan)


# --- what is suggested


@pytest.mark.parametrize("id", sorted(ready_made()))
def test_every_ready_made_provider_has_models_to_begin_with_unless_it_is_local(id: str) -> None:
    assert (id in SUGGESTED) != PRESETS[id].local


@pytest.mark.parametrize("id", HOSTED)
def test_the_book_knows_price_and_size_of_each_suggested_model(id: str) -> None:
    book = PRESETS[id].price_book
    assert book is not None
    keys = [(book, name.lower()) for name in SUGGESTED[id]]
    assert [key for key in keys if key not in KNOWN.rows or key not in KNOWN.sizes] == []


# --- the text


@pytest.mark.parametrize("id", HOSTED)
def test_the_text_of_any_hosted_provider_loads_with_its_key(id: str) -> None:
    config = loads(written(found(id)), {PRESETS[id].keys[0]: "sk-1"}, Path())
    assert [each.id for each in config.providers] == [id]
    assert len(price_list(config)) == len(choose(found(id), KNOWN)) > 0


@pytest.mark.parametrize("id", LOCAL)
def test_the_text_of_any_local_server_loads_without_a_key_whatever_it_calls_its_models(id: str) -> None:
    servers = found(id, "llama3.1:8b", "org/model-7b.gguf", "a/b/c", "Qwen3 8B", 'a"b')
    config = loads(written(servers), {}, Path())
    assert [model.upstream for model in config.providers[0].models] == ["llama3.1:8b", "org/model-7b.gguf", "a/b/c"]
    assert {listed.price.rates.output for listed in price_list(config).values()} == {0}


def test_the_text_of_all_of_them_and_the_simulator_loads() -> None:
    everything = [found(each) for each in HOSTED] + [found(each, "a-model") for each in LOCAL]
    keys = {PRESETS[each].keys[0]: "sk-1" for each in HOSTED}
    config = loads(written(*everything, simulator=True), keys, Path())
    assert [each.id for each in config.providers] == [*HOSTED, *LOCAL, "simulator"]
    price_list(config)


def test_another_address_is_written_and_every_line_that_is_commented_out_is_a_default() -> None:
    own = found("vllm", "m", base_url="http://gpu.internal:8000/v1")
    said = written(own)
    assert loads(said, {}, Path()).providers[0].base_url == "http://gpu.internal:8000/v1"
    opened, count = re.subn(r"^# (?=[a-z_]+ = )", "", said, flags=re.MULTILINE)
    assert count > 6
    before, after = loads(said, {}, Path()), loads(opened, {}, Path())
    assert (before.server, before.auth, before.billing) == (after.server, after.auth, after.billing)


def test_no_key_stands_in_the_text() -> None:
    with_key = found("openai", key="OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in written(with_key)
    assert "api_key" not in written(with_key)


# --- which models


def test_of_what_is_suggested_only_what_the_provider_lists_is_written() -> None:
    there = SUGGESTED["openai"][-1]
    (only,) = choose(found("openai", "something-else", there.upper()), KNOWN)
    assert only.upstream == there


def test_where_nothing_suggested_is_listed_the_newest_that_has_a_price_are() -> None:
    listed = [
        Listed(name=name, created=day) for day, name in enumerate(("gpt-4o", "gpt-4.1", "o3", "gpt-5", "unknown"))
    ]
    assert [model.upstream for model in choose(found("openai", *listed), KNOWN)] == ["gpt-5", "o3", "gpt-4.1"]


def test_what_the_provider_says_of_a_context_counts_and_a_guess_is_small_and_marked() -> None:
    sure, unsure = choose(found("vllm", Listed(name="a", context_length=40_960), "b"), KNOWN)
    assert (sure.context_length, sure.sure, unsure.context_length, unsure.sure) == (40_960, True, 4_096, False)
    assert "# not known" in written(found("vllm", "b"))


def test_models_that_do_not_chat_are_left_out_of_a_local_servers() -> None:
    listed = ("nomic-embed-text:latest", "bge-m3", "whisper-1", "llama3.2")
    assert [model.upstream for model in choose(found("ollama", *listed), KNOWN)] == ["llama3.2"]


def test_a_model_without_a_price_is_refused_with_the_near_one() -> None:
    with pytest.raises(Unpriced, match='did you mean "gpt-4o"'):
        named(found("openai"), "gpt-4oo", KNOWN)
    with pytest.raises(Unpriced, match="without spaces"):
        named(found("ollama"), "a model", KNOWN)


@pytest.mark.parametrize(
    ("provider", "name", "local", "id"),
    [
        ("openai", "gpt-4o", False, "openai/gpt-4o"),
        ("groq", "openai/gpt-oss-120b", False, "openai/gpt-oss-120b"),
        ("fireworks", "accounts/fireworks/models/x", False, "fireworks/accounts/fireworks/models/x"),
        ("ollama", "hf.co/model", True, "ollama/hf.co/model"),
    ],
)
def test_a_name_with_its_maker_stands_for_the_model_at_every_provider(
    provider: str, name: str, local: bool, id: str
) -> None:
    assert public_id(provider, name, local=local) == id


# --- what is found


def test_a_key_is_found_by_its_variable_and_an_empty_one_is_none() -> None:
    google = PRESETS["google"]
    assert key(google, {"GOOGLE_API_KEY": "x"}) == "GOOGLE_API_KEY"
    assert key(google, {"GOOGLE_API_KEY": "x", "GEMINI_API_KEY": "y"}) == "GEMINI_API_KEY"
    assert key(google, {"GEMINI_API_KEY": " "}) is None
    assert set(usable({"GEMINI_API_KEY": "y", "AZURE_OPENAI_API_KEY": "z"})) == {"google", *LOCAL}


def test_lists_are_read_with_the_context_that_each_kind_of_server_tells() -> None:
    data = [
        {"id": "models/gemini-9", "inputTokenLimit": 5},
        {"id": "vllm", "max_model_len": 6},
        {"id": "llamacpp", "meta": {"n_ctx_train": 8, "n_ctx": 7}},
        {"id": "groq", "context_window": 8, "created": 99},
        {"id": "odd", "context_length": -1, "created": "now"},
        {"name": "no id"},
    ]
    models = read_models(json.dumps({"object": "list", "data": data}).encode())
    assert models is not None
    assert [(model.name, model.context_length, model.created) for model in models] == [
        ("gemini-9", 5, 0),
        ("vllm", 6, 0),
        ("llamacpp", 7, 0),
        ("groq", 8, 99),
        ("odd", None, 0),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"data":[{"id":"a/b","pricing":{},"providers":[],"architecture":{}}]}',  # a Tollway router's
    ],
)
def test_what_is_no_list_of_a_model_server_is_none(body: bytes) -> None:
    assert read_models(body) is None


# --- what is answered


def test_names_of_providers_are_read_with_an_address_of_their_own() -> None:
    assert provider_names("OpenAI, vllm=http://gpu:8000/v1/ ,simulator") == {
        "openai": None,
        "vllm": "http://gpu:8000/v1",
        "simulator": None,
    }


@pytest.mark.parametrize(
    ("text", "said"), [("opnai", "did you mean"), ("azure", "docs/providers.md"), ("vllm=gpu", "http://")]
)
def test_a_name_that_can_not_be_written_says_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        provider(text)


# --- the file


def test_a_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    save(tmp_path / "tollway.toml", "one", force=False)
    save(tmp_path / "tollway.toml", "two", force=True)
    assert (tmp_path / "tollway.toml").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["tollway.toml"]


def test_a_file_that_appears_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "tollway.toml").write_text("theirs")
    with pytest.raises(Exception, match="is there already"):
        save(tmp_path / "tollway.toml", "ours", force=False)
    assert (tmp_path / "tollway.toml").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["tollway.toml"]
