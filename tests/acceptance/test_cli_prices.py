"""`tollway prices`: what the book knows, what a newer reading changes, and prices of one's own."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import complaint, configure, here, printed, started, tollway
from tollway.client.api import RouterClient
from tollway.metering.price_files import read_book, shipped

pytestmark = pytest.mark.acceptance

NEWER = """
from decimal import Decimal
from types import SimpleNamespace as Of

def model(id, input, output):
    prices = Of(input_mtok=Decimal(input), output_mtok=Decimal(output), cache_read_mtok=Decimal("1.25"))
    return Of(id=id, match=Of(equals=id), prices=prices)

providers = [Of(id="openai", models=[model("gpt-4o", "2.50", "9"), model("gpt-99", "1", "2")])]
"""


@pytest.fixture
def newer(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with a newer genai-prices."""
    package = tmp_path / "site" / "genai_prices"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "data.py").write_text(NEWER)
    facts = tmp_path / "site" / "genai_prices-9.9.9.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: genai-prices\nVersion: 9.9.9\n")
    return {"PYTHONPATH": str(tmp_path / "site")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the commands run; there is no configuration yet."""
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def prices(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return here("prices", *arguments, cwd=folder)


def listed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    shown = json.loads(printed(prices(folder, "show", "--json", *arguments)))
    assert shown["unit"] == "USD per million tokens"
    return list(shown["data"])


# --- a router that is started


def from_the_book(folder: Path, upstream: str) -> None:
    """A configuration without a price, whose provider is the book's openai."""
    configure(folder)
    file = folder / "tollway.toml"
    text = file.read_text().replace('price = { input = "1", output = "10" }', "")
    text = text.replace('upstream = "sim"', f'upstream = "{upstream}"')
    file.write_text(text.replace("[[providers.models]]", 'price_book = "openai"\n\n[[providers.models]]'))


def test_a_router_prices_a_known_model_by_the_book_and_logs_it(folder: Path) -> None:
    from_the_book(folder, "gpt-4o")
    row = shipped().index()["openai", "gpt-4o"]
    with started("serve", cwd=folder, ready=r"serving at (http://\S+)/api/v1") as serving:
        serving.said(rf"sim:sim/model is priced by the book \(openai/gpt-4o: {row.source}, {row.date}\)")
        with RouterClient(serving.url) as client:
            (model,) = client.get("/models")["data"]
    assert model["pricing"] == {"input": "0.0000025", "output": "0.00001", "cached_input": "0.00000125"}


def test_an_unknown_model_stops_the_start_and_says_what_to_write(folder: Path) -> None:
    from_the_book(folder, "gpt-4oo")
    said = complaint(tollway("serve", cwd=folder))
    assert said.startswith("providers[0].models[0].price: no known price")
    assert 'it knows "gpt-4o"' in said
    assert "write price = {" in said
    assert not (folder / "ledger.db").exists()


# --- show


def test_a_model_is_shown_with_its_rates_source_and_date(folder: Path) -> None:
    row = shipped().index()["openai", "gpt-4o"]
    for name in ("gpt-4o", "openai/GPT-4o"):
        line = printed(tollway("prices", "show", name, "--provider", "openai", cwd=folder)).splitlines()[1]
        assert line.split() == ["openai", "gpt-4o", "2.5", "10", "cached_input", "1.25", row.source, row.date]


def test_a_part_of_a_name_shows_every_model_that_has_it(folder: Path) -> None:
    found = listed(folder, "gpt-4o-m", "--provider", "openai")
    assert len(found) > 1
    assert all("gpt-4o-m" in row["model"] for row in found)


def test_without_a_model_the_whole_book_is_shown(folder: Path) -> None:
    assert len(listed(folder)) == len(shipped().rows)


def test_tiers_and_what_the_figures_cannot_say_are_shown(folder: Path) -> None:
    (row,) = listed(folder, "gemini-2.5-pro")
    assert row["tiers"][0]["above"] == 200_000
    assert re.search(r"> 200000 +2\.5 +15 +cached_input", printed(prices(folder, "show", "gemini-2.5-pro")))
    assert "deepseek/deepseek-chat has hours with another price" in printed(
        prices(folder, "show", "deepseek-chat", "--provider", "deepseek")
    )


def test_disagreements_list_what_each_source_says(folder: Path) -> None:
    doubtful = [row for row in shipped().rows if row.disagreements]
    found = listed(folder, "--disagreements")
    assert [(row["provider"], row["model"]) for row in found] == [(row.provider, row.model) for row in doubtful]
    assert all(len(said) == 2 for row in found for said in row["disagreements"].values())
    assert "litellm" in printed(prices(folder, "show", "--disagreements"))
    assert (
        printed(prices(folder, "show", "gpt-4o", "--provider", "openai", "--disagreements")) == "The sources agree.\n"
    )


def test_a_misspelt_model_or_provider_is_told_the_near_one(folder: Path) -> None:
    assert 'did you mean "gpt-4o"?' in complaint(prices(folder, "show", "gpt-4oo", "--provider", "openai"))
    assert "tollway prices set" in complaint(prices(folder, "show", "!!"))
    assert 'did you mean "openai"?' in complaint(prices(folder, "show", "--provider", "opnai"))


# --- diff and update


def test_the_book_says_what_its_own_version_of_the_source_says(folder: Path) -> None:
    assert printed(prices(folder, "diff")).startswith("The price book says what genai-prices 0.2.")
    assert "Nothing to take over" in printed(prices(folder, "update"))
    assert list(folder.iterdir()) == []


def test_a_newer_reading_is_compared_rate_by_rate(folder: Path, newer: dict[str, str]) -> None:
    text = printed(tollway("prices", "diff", cwd=folder, environment=newer))
    assert "changed openai gpt-4o output 10 9" in [" ".join(line.split()) for line in text.splitlines()]
    assert "genai-prices 9.9.9: 1 changed, 1 new, " in text
    shown = json.loads(printed(tollway("prices", "diff", "--json", cwd=folder, environment=newer)))
    assert shown["version"] == "9.9.9"
    changes = {(row["change"], row["model"]): row["rates"] for row in shown["data"] if row["provider"] == "openai"}
    assert changes["changed", "gpt-4o"] == {"output": {"book": "10", "genai-prices": "9"}}
    assert changes["new", "gpt-99"]["input"] == {"book": None, "genai-prices": "1"}
    assert changes["gone", "gpt-4o-mini"]["input"] == {"book": "0.15", "genai-prices": None}


def test_an_update_writes_what_is_new_and_a_router_uses_it(folder: Path, newer: dict[str, str]) -> None:
    configure(folder)
    config = folder / "tollway.toml"
    config.write_text(config.read_text() + '\n[billing]\nprice_book = "own.json"\n')
    (folder / "own.json").write_text("{}")
    said = printed(tollway("prices", "update", cwd=folder, environment=newer))
    assert said == (
        "2 prices of genai-prices 9.9.9 written to own.json. A router that starts now, or reloads (SIGHUP), uses it.\n"
    )
    written = read_book(folder / "own.json")
    assert [row.model for row in written.rows] == ["gpt-4o", "gpt-99"]
    assert written.sources["genai-prices"].version == "9.9.9"
    (row,) = listed(folder, "gpt-4o", "--provider", "openai")
    assert row["rates"]["output"] == "9"
    assert "gone" in printed(tollway("prices", "diff", cwd=folder, environment=newer))
    assert "Nothing to take over" in printed(tollway("prices", "update", cwd=folder, environment=newer))


def test_an_update_keeps_prices_of_ones_own(folder: Path, newer: dict[str, str]) -> None:
    printed(prices(folder, "set", "gpt-4o", "--provider", "openai", "--output", "3"))
    said = printed(tollway("prices", "update", cwd=folder, environment=newer))
    assert 'write price_book = "prices.json" into the billing section' in said
    found = {row.model: (row.source, row.rates.output) for row in read_book(folder / "prices.json").rows}
    assert found == {"gpt-4o": ("operator", 3_000_000), "gpt-99": ("genai-prices", 2_000_000)}


def test_without_the_extra_a_reading_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none" / "genai_prices").mkdir(parents=True)
    (tmp_path / "none" / "genai_prices" / "__init__.py").touch()
    for name in ("diff", "update"):
        ran = tollway("prices", name, cwd=folder, environment={"PYTHONPATH": str(tmp_path / "none")})
        assert complaint(ran) == "genai-prices is not installed: pip install 'tollway[prices]'"


# --- set


def test_a_price_of_ones_own_is_written_over_what_is_known(folder: Path) -> None:
    said = printed(
        prices(
            folder, "set", "GPT-4o", "--provider", "openai", "--input", "2", "--rate", "reasoning=7", "--to", "p.json"
        )
    )
    assert said.startswith(
        "openai/gpt-4o: input 2, output 10, cached_input 1.25, reasoning 7 USD per million tokens, written to p.json."
    )
    (row,) = read_book(folder / "p.json").rows
    assert (row.source, row.rates.input, row.rates.reasoning) == ("operator", 2_000_000, 7_000_000)


def test_a_new_model_needs_both_ways_and_free_is_said(folder: Path) -> None:
    new = ("set", "house", "--provider", "mine")
    assert complaint(prices(folder, *new, "--input", "1")) == (
        "output is not known: give --output too; what is free is 0"
    )
    printed(prices(folder, *new, "--input", "0", "--output", "0"))
    (row,) = read_book(folder / "prices.json").rows
    assert (row.provider, row.rates.input, row.free) == ("mine", 0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to set"),
        (("--input", "1e3"), "input: "),
        (("--rate", "thinking=1"), "with one of cached_input, "),
        (("--rate", "cached_input"), "write NAME=USD"),
        (("--rate", "audio_input=1"), "the tier above 200000 tokens has no audio_input"),
    ],
)
def test_what_is_no_price_is_refused_with_what_is_right(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in complaint(prices(folder, "set", "gemini-2.5-pro", "--provider", "google", *arguments))
    assert list(folder.iterdir()) == []


def test_a_broken_book_of_ones_own_is_never_written_over(folder: Path) -> None:
    (folder / "prices.json").write_text("prices")
    new = ("set", "house", "--provider", "mine", "--input", "1", "--output", "1")
    assert "is no price book" in complaint(prices(folder, *new))
    assert (folder / "prices.json").read_text() == "prices"


def test_a_models_size_is_shown_with_its_price(folder: Path) -> None:
    size = shipped().size_index()["openai", "gpt-4o"]
    (row,) = listed(folder, "gpt-4o")
    assert (row["context_length"], row["max_output_tokens"]) == (size.context_length, size.max_output_tokens)
    shown = printed(prices(folder, "show", "gpt-4o"))
    takes = f"takes {size.context_length} tokens, at most {size.max_output_tokens} in its answer"
    assert f"openai/gpt-4o {takes}\n" in shown
