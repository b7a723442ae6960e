"""scripts/prices: two readings become one book, which says where they differ."""

import json
import zipfile
from datetime import date
from decimal import Decimal
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from helpers.genai import model, price, provider, starts_with
from helpers.price_books import row, size, tier
from tollway.metering.price_book import checked, parse

SCRIPT = Path(__file__).parents[1] / "scripts" / "prices"
CHAT = {"litellm_provider": "openai", "mode": "chat"}


@pytest.fixture(scope="module")
def script() -> Any:
    spec = spec_from_loader("prices_script", SourceFileLoader("prices_script", str(SCRIPT)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True, scope="module")
def no_compiled_script() -> Any:
    """A script has no .pyc beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.dont_write_bytecode", True)
        yield


def test_sources_that_agree_confirm_each_other(script: Any) -> None:
    found = script.compared(row(), row(source="litellm"))
    assert (found.confirmed_by, found.disagreements) == ("litellm", {})
    assert script.compared(row(), None) == row()


def test_sources_that_differ_are_both_listed_and_the_first_counts(script: Any) -> None:
    found = script.compared(row(input=1), row(input=2, source="litellm"))
    assert found.rates.input == 1
    assert (found.confirmed_by, found.disagreements) == (None, {"input": {"genai-prices": 1, "litellm": 2}})


def test_a_tier_that_one_source_lacks_is_a_disagreement(script: Any) -> None:
    found = script.compared(row(input=1, output=2), row(input=1, output=2, tiers=(tier(10, 3, 2),), source="litellm"))
    assert found.tiers == ()
    assert found.disagreements == {"input>10": {"genai-prices": 1, "litellm": 3}}


def test_from_a_threshold_on_and_above_it_are_the_same_tier(script: Any) -> None:
    found = script.compared(row(tiers=(tier(9, 1, 2),)), row(tiers=(tier(10, 1, 2),), source="litellm"))
    assert found.confirmed_by == "litellm"


def test_a_rate_that_the_first_lacks_is_filled_in_and_says_so(script: Any) -> None:
    first, second = row(tiers=(tier(10, 3, 4),)), row(audio_input=7, source="litellm")
    found = script.compared(first, second)
    assert (found.rates.audio_input, found.tiers[0].rates.audio_input) == (7, 7)
    assert found.filled == {"audio_input": "litellm"}


def test_a_row_whose_figures_stand_keeps_its_line(script: Any) -> None:
    before = row(date="2026-01-01")
    assert script.settled(row(date="2026-02-01"), before) is before
    changed = row(input=9, date="2026-02-01")
    assert script.settled(changed, before) is changed
    assert script.settled(changed, None) is changed


def test_a_book_is_made_of_a_reading_and_a_wheel(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = price(input_mtok="1", output_mtok="2")
    models = [
        model("gpt-both", both, context_window=2000),
        model("gpt-first", both),
        model("gpt-old", both),
        model("gpt-x", both),
    ]
    pattern = model("gpt-pattern", price(input_mtok="5", output_mtok="2"), starts_with("gpt-snap"))
    monkeypatch.setattr("genai_prices.data.providers", [provider("openai", *models, pattern)])
    monkeypatch.setattr(script, "BOOK", tmp_path / "data" / "prices.json")
    plain = {
        **CHAT,
        "max_input_tokens": 1000,
        "max_output_tokens": 100,
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
    }
    table = {
        "sample_spec": {"litellm_provider": "one of them"},
        "gpt-both": {**plain, "input_cost_per_token_above_200k_tokens": 3e-06, "supports_vision": True},
        "gpt-snap-1": plain,
        "gpt-old": {**plain, "mode": "completion"},
        "gpt-by-the-second": {**plain, "input_cost_per_second": 0.1},
        "gpt-embedding": plain,
        "gpt-unknown": CHAT,
        "deepseek-elsewhere": {**plain, "litellm_provider": "deepseek"},
        "deepseek/deepseek-1": {**plain, "litellm_provider": "deepseek"},
    }
    wheel = tmp_path / "litellm-7.8.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(script.TABLE, json.dumps(table))
    script.main(wheel)
    book = checked(parse(script.BOOK.read_bytes()))
    found = {read.model: read for read in book.rows}
    assert found.keys() == {"gpt-both", "gpt-first", "gpt-x", "gpt-pattern", "gpt-snap-1", "deepseek-1"}
    assert found["gpt-both"].disagreements == {"input>200000": {"genai-prices": 1_000_000, "litellm": 3_000_000}}
    assert found["gpt-snap-1"].source == "litellm"
    assert found["gpt-snap-1"].disagreements == {"input": {"genai-prices": 5_000_000, "litellm": 1_000_000}}
    assert {known.model: (known.context_length, known.max_output_tokens) for known in book.sizes} == {
        "gpt-both": (2000, 100),
        "gpt-snap-1": (1000, 100),
        "deepseek-1": (1000, 100),
    }
    assert book.sources["litellm"].version == "7.8.9"
    assert book.sources["genai-prices"].left_out == ("openai/gpt-old",)
    written = script.BOOK.read_bytes()
    script.main(wheel)
    assert script.BOOK.read_bytes() == written


def facts(**tokens: int) -> Any:
    return {name: Decimal(value) for name, value in tokens.items()}


def test_of_two_contexts_the_larger_counts_since_a_hold_has_to_cover_it(script: Any) -> None:
    today = date(2026, 11, 1)
    both = script.size_of(row(), 100, facts(max_input_tokens=200, max_output_tokens=50), today)
    assert both == size("gpt-4o", 200, 50, source="litellm", others={"genai-prices": 100})
    assert script.size_of(row(), 100, facts(max_input_tokens=100), today) == size("gpt-4o", 100)
    longer = script.size_of(row(), 100, facts(max_output_tokens=300), today)
    assert longer == size("gpt-4o", 300, 300, source="litellm", others={"genai-prices": 100})


def test_what_is_no_count_of_tokens_is_unknown(script: Any) -> None:
    today = date(2026, 11, 1)
    assert script.size_of(row(), None, {"max_input_tokens": "128k", "max_output_tokens": Decimal("0.5")}, today) is None
    assert script.size_of(row(), 10**12, {}, today) is None


def test_a_size_whose_figures_stand_keeps_its_line(script: Any) -> None:
    before = size("a", 1, date="2026-01-01")
    assert script.standing(size("a", 1), before) is before
    assert script.standing(size("a", 2), before) == size("a", 2)
    assert script.standing(size("a", 1), None) == size("a", 1)
