"""The shipped book keeps its promises, and an operator's file is read whole or refused with the reason."""

import datetime as dt
import json
from pathlib import Path

import pytest

from helpers.price_books import book, row
from tollway.metering.price_book import BOOK_BYTES_MAX, RATES, checked, dump
from tollway.metering.price_files import known, read_book, shipped, write_book

SHIPPED = shipped()
DATA = Path(__file__).parents[3] / "src/tollway/metering/data/prices.json"
BYTES_MAX = 800_000


def test_the_shipped_book_is_a_sound_one() -> None:
    assert checked(SHIPPED) is SHIPPED
    assert len(SHIPPED.rows) > 1000


def test_every_row_has_a_source_of_the_book_and_a_date() -> None:
    assert len(SHIPPED.sources) == 2
    for listed in SHIPPED.rows:
        assert listed.source in SHIPPED.sources
        assert dt.date.fromisoformat(listed.date) <= dt.date.fromisoformat(SHIPPED.sources[listed.source].date)
        assert {*listed.filled.values(), listed.confirmed_by or listed.source} <= SHIPPED.sources.keys()


def test_every_figure_in_the_file_is_an_integer() -> None:
    def refuse(text: str) -> None:
        pytest.fail(f"{text} is a fraction")

    json.loads(DATA.read_bytes(), parse_float=refuse, parse_constant=refuse)


def test_a_shipped_model_is_free_only_where_its_source_names_it_so() -> None:
    free = [listed.model for listed in SHIPPED.rows if listed.free]
    assert free
    assert all(model.endswith(":free") for model in free)


def test_the_shipped_file_is_in_order_and_small() -> None:
    assert DATA.read_bytes() == dump(SHIPPED)
    assert DATA.stat().st_size < BYTES_MAX


def test_a_tier_of_the_shipped_book_has_every_rate_of_its_row() -> None:
    for listed in SHIPPED.rows:
        for step in listed.tiers:
            assert all(
                getattr(step.rates, name) is not None for name in RATES if getattr(listed.rates, name) is not None
            ), listed


def test_every_disagreement_lists_what_each_source_says_and_the_row_has_its_own_sources() -> None:
    doubtful = [listed for listed in SHIPPED.rows if listed.disagreements]
    assert doubtful
    for listed in doubtful:
        assert listed.confirmed_by is None
        for name, said in listed.disagreements.items():
            assert len(set(said.values())) == len(said) == 2
            if ">" not in name:
                assert said[listed.source] == getattr(listed.rates, name)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("deepseek", "deepseek-chat"),
        ("groq", "llama-3.3-70b-versatile"),
        ("openrouter", "openai/gpt-4o"),
    ],
)
def test_well_known_models_are_in_the_shipped_book(provider: str, model: str) -> None:
    assert (provider, model) in SHIPPED.index()


def test_models_that_are_not_billed_by_tokens_are_not() -> None:
    names = " ".join(listed.model for listed in SHIPPED.rows)
    assert not any(name in names for name in ("whisper", "dall-e", "embedding", "gpt-image", "realtime"))


# --- an operator's file


def test_a_book_is_written_and_read_again(tmp_path: Path) -> None:
    path, listed = tmp_path / "prices.json", book(row(source="operator"))
    write_book(path, book(row("older")))
    write_book(path, listed)
    assert read_book(path) == listed
    assert [file.name for file in tmp_path.iterdir()] == ["prices.json"]


def test_an_operators_book_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    write_book(tmp_path / "prices.json", book(row("gpt-4o", input=7, source="operator"), row("house-model")))
    found = known(tmp_path / "prices.json").index()
    assert found["openai", "gpt-4o"].rates.input == 7
    assert ("openai", "house-model") in found
    assert found["google", "gemini-2.5-pro"] == SHIPPED.index()["google", "gemini-2.5-pro"]


def test_without_an_operators_book_the_shipped_one_counts() -> None:
    assert known(None) == SHIPPED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "can't be read"),
        (b"{}" + b" " * BOOK_BYTES_MAX, "is over"),
        (b"prices", "is no price book"),
        (dump(book(row(input=0))), "input 0"),
    ],
    ids=["missing", "too large", "no JSON", "a rate of 0"],
)
def test_a_file_that_is_no_price_book_is_refused_with_the_reason(
    data: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "prices.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=reason) as refused:
        read_book(path)
    assert "prices.json" in str(refused.value)


def test_a_shipped_size_is_of_a_model_with_a_price_and_from_a_source_of_the_book() -> None:
    rows = SHIPPED.index()
    assert len(SHIPPED.sizes) > 1000
    for listed in SHIPPED.sizes:
        assert listed.key in rows
        assert {listed.source, *listed.others} <= SHIPPED.sources.keys()
        assert all(tokens < listed.context_length for tokens in listed.others.values())
