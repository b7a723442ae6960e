"""From genai-prices to rows: what it spells out and bills by tokens, exactly; what it doesn't say stays unknown."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from helpers.genai import either, equals, model, price, provider, starts_with, when
from helpers.price_books import row, tier
from tollway.cli.price_source import GENAI, HOURS, genai_matches, genai_rows, pico
from tollway.metering.price_book import PriceRow, checked
from tollway.metering.price_files import shipped

TODAY = dt.date(2026, 11, 1)
PLAIN = {"input_mtok": "2.50", "output_mtok": "10"}
MILLION = 10**6


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets genai-prices say something else, and answers the rows that are read."""

    def reading(*models: Any, id: str = "openai") -> dict[str, PriceRow]:
        monkeypatch.setattr("genai_prices.data.providers", [provider(id, *models), provider("unknown", *models)])
        return {read.model: read for read in genai_rows({"openai": "openai", "google": "google"}, TODAY)[1]}

    return reading


def test_every_rate_of_a_token_is_read_exactly(says: Any) -> None:
    stated = price(
        **PLAIN,
        cache_read_mtok="0.003625",
        cache_write_mtok="3",
        output_reasoning_mtok="4",
        input_audio_mtok="5",
        output_audio_mtok="6",
        web_searches_kcount="10",
    )
    assert says(model("m", stated))["m"] == row(
        "m",
        input=2_500_000,
        output=10 * MILLION,
        cached_input=3625,
        cache_write=3 * MILLION,
        reasoning=4 * MILLION,
        audio_input=5 * MILLION,
        audio_output=6 * MILLION,
    )


def test_a_fraction_of_a_pico_usd_is_rounded_up(says: Any) -> None:
    assert says(model("m", price(input_mtok="0.0000012", output_mtok="1")))["m"].rates.input == 2


def test_a_tier_has_every_rate_what_it_does_not_change_stays(says: Any) -> None:
    stated = price(
        input_mtok=("1", {100: "2", 300: "3"}),
        output_mtok=("4", {200: "5"}),
        cache_read_mtok="0.1",
        cache_write_mtok="0",
    )
    assert says(model("m", stated))["m"].tiers == (
        tier(100, 2 * MILLION, 4 * MILLION, cached_input=100_000),
        tier(200, 2 * MILLION, 5 * MILLION, cached_input=100_000),
        tier(300, 3 * MILLION, 5 * MILLION, cached_input=100_000),
    )


def test_only_names_that_are_spelled_out_are_read(says: Any) -> None:
    match = either(equals("m-2"), starts_with("m"), either(equals("m-3")))
    assert says(model("m", price(**PLAIN), match)).keys() == {"m", "m-2", "m-3"}


def test_a_name_belongs_to_the_first_model_that_spells_it(says: Any) -> None:
    assert (
        says(model("m", price(**PLAIN)), model("M", price(input_mtok="9", output_mtok="9")))["m"].rates.input
        == 2_500_000
    )


@pytest.mark.parametrize(
    "stated",
    [
        {"input_mtok": "1"},
        {"output_mtok": "1"},
        {"input_mtok": "0", "output_mtok": "1"},
        {"input_mtok": "0", "output_mtok": "0"},
        {**PLAIN, "requests_kcount": "5"},
        {**PLAIN, "output_image_mtok": "30"},
    ],
)
def test_what_is_not_billed_by_tokens_both_ways_is_unknown(says: Any, stated: dict[str, str]) -> None:
    assert says(model("m", price(**stated))) == {}


def test_a_special_rate_of_zero_is_unknown(says: Any) -> None:
    assert says(model("m", price(**PLAIN, cache_write_mtok="0")))["m"].rates.cache_write is None


def test_what_a_name_calls_free_is_free(says: Any) -> None:
    found = says(model("m:free", price(input_mtok="0", output_mtok="0", cache_read_mtok="0")))["m:free"]
    assert found == row("m:free", input=0, output=0, free=True)
    assert says(model("m:free", price(**PLAIN)))["m:free"].free is False


@pytest.mark.parametrize("name", ["text-embedding-4", "gpt-image-2", "whisper-1", "gpt-realtime", "ft:gpt-4o"])
def test_models_that_do_not_chat_are_left_out(says: Any, name: str) -> None:
    assert says(model(name, price(**PLAIN))) == {}


def test_googles_own_models_are_geminis_and_gemmas(says: Any) -> None:
    models = [model(name, price(**PLAIN)) for name in ("gemini-4", "gemma-4", "claude-sonnet-4-5")]
    assert says(*models, id="google").keys() == {"gemini-4", "gemma-4"}


def test_of_dated_prices_the_one_in_force_counts(says: Any) -> None:
    prices = [
        when(price(input_mtok="1", output_mtok="1")),
        when(price(input_mtok="2", output_mtok="2"), start_date=TODAY),
        when(price(input_mtok="3", output_mtok="3"), start_date=TODAY + dt.timedelta(days=1)),
    ]
    found = says(model("m", prices))["m"]
    assert (found.rates.input, found.note) == (2 * MILLION, "")


def test_of_hourly_prices_the_highest_counts_and_is_noted(says: Any) -> None:
    prices = [
        when(price(input_mtok="1", output_mtok="1")),
        when(price(input_mtok=("3", {}), output_mtok="3"), start_time=dt.time(1), end_time=dt.time(4)),
        when(price(input_mtok="2"), start_time=dt.time(4), end_time=dt.time(9)),
    ]
    found = says(model("m", prices))["m"]
    assert (found.rates.input, found.note) == (3 * MILLION, HOURS)


def test_a_pattern_is_good_for_a_comparison(says: Any) -> None:
    says(model("a", price(**PLAIN), starts_with("m-")), model("b", price(input_mtok="1"), starts_with("n-")))
    asked = [row("m-2026"), row("n-2026"), row("o"), row("m-1", provider="nobody")]
    assert genai_matches({"openai": "openai"}, TODAY, asked) == {
        ("openai", "m-2026"): row("m-2026", input=2_500_000, output=10 * MILLION)
    }


def test_what_a_binary_fraction_left_behind_is_dropped() -> None:
    assert pico(Decimal("1.0000000000000001e-06"), 1) == MILLION
    assert pico(Decimal("2.7999999999999998e-07"), 1) == 280_000


def test_the_real_reading_makes_a_sound_book_with_well_known_models() -> None:
    version, rows = genai_rows(shipped().sources[GENAI].provides, TODAY)
    assert version.startswith("0.2.")
    found = {read.key: read for read in rows}
    assert len(found) == len(rows) > 1000
    assert ("openai", "gpt-4o") in found
    for read in rows:
        assert read.source == GENAI
        assert read.date == "2026-11-01"
    checked(type(shipped())(rows=rows))
