"""What the installed genai-prices says, as rows of a price book. The only file that imports that optional package.

Rows are made for names that it spells out; what it matches by a pattern only ("starts with gpt-4o") is taken for
unknown, and so is a model that isn't billed by tokens alone.
"""

import datetime as dt
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from msgspec.structs import replace

from tollway.domain.price import Rates, Tier
from tollway.metering.price_book import PriceRow

GENAI = "genai-prices"

# Its names of rates -> ours. Whatever else it knows of a model is no rate of a token.
_RATES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}
# What doesn't make a plain call dearer. A model with anything else can't be billed by its rates.
_BESIDE = {"web_searches_kcount", "storage_searches_kcount", "cache_write_1h_mtok", "cache_audio_read_mtok"}
NO_CHAT = re.compile(
    r"embed|image|imagen|dall-e|tts|whisper|transcri|realtime|-live|moderation|rerank|ocr|speech|guard|veo|sora|lyria"
    r"|-instruct-0914|turbo-instruct|davinci|babbage|curie|\bada\b|deep-research|computer-use|robotics|^ft:|\.ft-"
)
# It counts Vertex AI to Google; the book's google is Gemini's own API, which has these.
ONLY = {"google": ("gemini-", "gemma-", "learnlm-")}
HOURS = "has hours with another price: the highest is listed"


def genai_rows(provides: Mapping[str, str], today: dt.date) -> tuple[str, tuple[PriceRow, ...]]:
    """The version that is installed, and what it says today of the providers in `provides` (the book's id -> its own).
    Raises ImportError when it isn't installed."""
    from genai_prices.data import providers

    ours = {theirs: ours for ours, theirs in provides.items()}
    rows = {
        row.key: row
        for provider in providers
        if provider.id in ours
        for row in _of_provider(ours[provider.id], provider.models, today)
    }
    return importlib.metadata.version(GENAI), tuple(rows.values())


def genai_matches(
    provides: Mapping[str, str], today: dt.date, wanted: Iterable[PriceRow]
) -> dict[tuple[str, str], PriceRow]:
    """What it says, by its patterns, of models that another source names: good for a comparison, not for a price.
    Raises ImportError when it isn't installed."""
    from genai_prices.data import providers

    models = {provider.id: provider.models for provider in providers}
    found: dict[tuple[str, str], PriceRow] = {}
    for row in wanted:
        listed = models.get(provides.get(row.provider, ""), ())
        model = next((model for model in listed if model.is_match(row.model)), None)
        match = None if model is None else _row(row.provider, row.model, model, today)
        if match is not None:
            found[row.key] = match
    return found


def genai_contexts(provides: Mapping[str, str]) -> dict[tuple[str, str], int]:
    """The context lengths that it gives for names that it spells out, by PriceRow.key. Raises ImportError when it
    isn't installed."""
    from genai_prices.data import providers

    ours = {theirs: ours for ours, theirs in provides.items()}
    return {
        (ours[provider.id], name.lower()): int(context)
        for provider in providers
        if provider.id in ours
        for model in provider.models
        if (context := model.context_window)
        for name in (model.id, *_spelled(model.match))
    }


def pico(usd: Decimal, tokens: int) -> int:
    """USD for so many tokens as pico-USD per token, rounded up; what a binary fraction left behind is dropped first."""
    exact = usd * 10**12 / tokens
    return int(exact.quantize(Decimal("0.001")).to_integral_value(ROUND_CEILING))


def row_of(
    key: tuple[str, str], base: Mapping[str, int], tiers: Mapping[int, Mapping[str, int]], origin: tuple[str, dt.date]
) -> PriceRow | None:
    """A row from plain figures; None when it has no price both ways. A 0 is taken for unknown, since sources write it
    for what they don't know, except where the model's own name says that it is free. A tier has every rate of the base:
    what it doesn't change stays."""
    provider, model = key
    free = model.endswith(":free") and not base.get("input") and not base.get("output")
    if free:
        known = {"input": 0, "output": 0}
        tiers = {}
    else:
        known = {name: rate for name, rate in base.items() if rate}
    if not known.keys() >= {"input", "output"}:
        return None
    ordered = tuple(
        Tier(above=above, rates=Rates(**{**known, **{name: rate for name, rate in over.items() if rate}}))
        for above, over in sorted(tiers.items())
    )
    source, date = origin
    return PriceRow(
        provider=provider,
        model=model,
        rates=Rates(**known),
        tiers=ordered,
        source=source,
        date=date.isoformat(),
        free=free,
    )


def _of_provider(provider: str, models: Iterable[Any], today: dt.date) -> Iterator[PriceRow]:
    named: dict[str, Any] = {}
    for model in models:
        for name in (model.id, *_spelled(model.match)):
            named.setdefault(name.lower(), (name, model))
    for name, model in named.values():
        if NO_CHAT.search(name.lower()) or not name.startswith(ONLY.get(provider, "")):
            continue
        row = _row(provider, name, model, today)
        if row is not None:
            yield row


def _spelled(match: Any) -> Iterator[str]:
    """The names that a match spells out; not those of a conjunction, which asks for more."""
    if hasattr(match, "equals"):
        yield match.equals
    for clause in getattr(match, "or_", ()):
        yield from _spelled(clause)


def _row(provider: str, name: str, model: Any, today: dt.date) -> PriceRow | None:
    prices, has_hours = _standing(model.prices, today)
    stated = {key: value for key, value in vars(prices).items() if value is not None}
    if stated.keys() - _RATES.keys() - _BESIDE:
        return None
    base: dict[str, int] = {}
    tiers: dict[int, dict[str, int]] = {}
    for key, rate in _RATES.items():
        value = stated.get(key)
        if value is None:
            continue
        base[rate] = pico(getattr(value, "base", value), 10**6)
        for tier in getattr(value, "tiers", ()):
            tiers.setdefault(tier.start, {})[rate] = pico(tier.price, 10**6)
    _fill_up(tiers)
    row = row_of((provider, name), base, tiers, (GENAI, today))
    return replace(row, note=HOURS) if row is not None and has_hours else row


def _fill_up(tiers: dict[int, dict[str, int]]) -> None:
    """A rate that has no tier of its own at a threshold keeps that of the tier below."""
    below: dict[str, int] = {}
    for above in sorted(tiers):
        tiers[above] = below = {**below, **tiers[above]}


def _standing(prices: Any, today: dt.date) -> tuple[Any, bool]:
    """The price of a day, and whether it has hours with another: of those the highest, since a call may fall in it."""
    if not isinstance(prices, list):
        return prices, False
    standard = prices[0].prices
    hours = []
    for listed in prices:
        start = getattr(listed.constraint, "start_date", None)
        if hasattr(listed.constraint, "start_time"):
            hours.append(listed.prices)
        elif start is None or start <= today:
            standard = listed.prices
    return max((standard, *hours), key=_height), bool(hours)


def _height(prices: Any) -> tuple[Decimal, ...]:
    values = (vars(prices).get(key) for key in ("input_mtok", "output_mtok"))
    return tuple(Decimal(0) if value is None else Decimal(getattr(value, "base", value)) for value in values)
