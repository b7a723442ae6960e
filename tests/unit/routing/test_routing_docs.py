"""docs/routing.md: its configuration is one, its requests are planned as it says, and it has every word there is."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tollway.domain.errors import NoProviderAvailable
from tollway.domain.money import parse_rate
from tollway.domain.plan import Candidate, Plan
from tollway.domain.price import Price, Rates, Tariff
from tollway.intake.parse import Limits, parse
from tollway.intake.schema import PREFERENCES
from tollway.routing.catalog import Catalog
from tollway.routing.explain import REASONS
from tollway.routing.plan import plan

PAGE = (Path(__file__).parents[3] / "docs" / "routing.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
CONFIG: dict[str, Any] = tomllib.loads(next(text for kind, text in BLOCKS if kind == "toml"))
JSON = [text for kind, text in BLOCKS if kind == "json"]
REQUESTS = [text for text in JSON if '"messages"' in text]
HELLO, FALLBACK, SORTED, SUFFIXED, PREFERRED, CAPPED, TOOLS, REQUIRED, NOBODY = REQUESTS


def served() -> Catalog:
    candidates = [
        Candidate(
            provider=provider["id"],
            model=model["id"],
            upstream=model["id"],
            tariff=Tariff(buy=Price(rates=Rates(**{k: parse_rate(v) for k, v in model["price"].items()}))),
            context_length=model["context_length"],
            max_output_tokens=model["context_length"],
            data_collection=provider.get("data_collection", "allow"),
            supports=frozenset(model.get("supports", ())),
            unsupported=frozenset(model.get("unsupported", ())),
        )
        for provider in CONFIG["providers"]
        for model in provider["models"]
    ]
    providers = [provider["id"] for provider in CONFIG["providers"]]
    return Catalog(candidates, {"large": "acme/large"}, providers)


def planned(body: str, seed: int = 1) -> Plan:
    return plan(parse(body.encode(), id="call", limits=Limits()), served(), {}, seed=seed)


def tried(body: str, seed: int = 1) -> list[str]:
    return [candidate.key for candidate in planned(body, seed).candidates]


LARGE = {"east:acme/large", "west:acme/large", "north:acme/large"}


def test_the_draw_is_as_often_as_the_page_says() -> None:
    firsts = [tried(HELLO, seed)[0] for seed in range(5_000)]
    for provider, percent in (("west", 77), ("east", 19), ("north", 3)):
        assert f"{percent}" in PAGE
        assert firsts.count(f"{provider}:acme/large") / 50 == pytest.approx(percent, abs=2)


def test_a_pin_and_a_fallback() -> None:
    assert tried(FALLBACK) == ["east:acme/large", "west:acme/small"]


def test_a_sort_by_price() -> None:
    for seed in range(20):
        assert tried(SORTED, seed) == ["west:acme/large", "east:acme/large", "north:acme/large"]
        assert tried(SUFFIXED, seed) == ["west:acme/large", "east:acme/large", "north:acme/large", "west:acme/small"]


def test_preferred_speeds_leave_nobody_out() -> None:
    assert set(tried(PREFERRED)) == LARGE


def test_a_price_cap_leaves_out_the_dearer() -> None:
    assert set(tried(CAPPED)) == LARGE - {"north:acme/large"}


def test_tools_go_to_those_known_to_take_them_first() -> None:
    assert tried(TOOLS) == ["east:acme/large", "north:acme/large", "west:acme/large"]
    assert tried(REQUIRED) == ["east:acme/large"]


def test_the_error_is_the_one_on_the_page() -> None:
    shown = next(text for text in JSON if text not in REQUESTS)
    with pytest.raises(NoProviderAvailable) as caught:
        planned(NOBODY)
    assert caught.value.details == json.loads(shown)


def test_every_preference_and_every_reason_has_a_row() -> None:
    words = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE))))
    assert words == PREFERENCES.keys() | REASONS.keys()
