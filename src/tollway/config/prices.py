"""Prices as operators write them: USD as text, per million tokens. A price that isn't written is unknown, never 0.

Must not know models, nor what the price book knows of them; what a call costs is metering's.
"""

from typing import Annotated, cast

import msgspec

from tollway.config.names import feature_name
from tollway.config.read import INVALID, Items, Made, Named, Spot, Table, Text, Whole, valid
from tollway.config.units import feature_rate, rate
from tollway.domain.price import PartialPrice, Price, Rates, Tier

# Context windows end far below; a threshold beyond it would never be met.
TIER_ABOVE_MAX = 1_000_000_000

_RATE = Text(rate, "2.50", why=" (USD per million tokens), so that no rounding creeps in")
_FEATURE = Text(feature_rate, "0.01", why=" (USD per call), so that no rounding creeps in")
_SPECIAL = (
    "cached_input",
    "cache_write",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
)
_EXPECTED = (
    'write price = { input = "2.50", output = "10.00" } in USD per million tokens; what is free is written as "0"'
)


class RatesTable(msgspec.Struct, frozen=True, kw_only=True):
    input: Annotated[int, _RATE]
    output: Annotated[int, _RATE]
    cached_input: Annotated[int | None, _RATE] = None
    cache_write: Annotated[int | None, _RATE] = None
    reasoning: Annotated[int | None, _RATE] = None
    audio_input: Annotated[int | None, _RATE] = None
    audio_output: Annotated[int | None, _RATE] = None
    image_input: Annotated[int | None, _RATE] = None
    image_output: Annotated[int | None, _RATE] = None

    @property
    def rates(self) -> Rates:
        return Rates(**{name: getattr(self, name) for name in Rates.__struct_fields__})


class TierTable(RatesTable, frozen=True, kw_only=True):
    above: Annotated[int, Whole(1, TIER_ABOVE_MAX)]


class PriceTable(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever isn't written may be known elsewhere."""

    input: Annotated[int | None, _RATE] = None
    output: Annotated[int | None, _RATE] = None
    cached_input: Annotated[int | None, _RATE] = None
    cache_write: Annotated[int | None, _RATE] = None
    reasoning: Annotated[int | None, _RATE] = None
    audio_input: Annotated[int | None, _RATE] = None
    audio_output: Annotated[int | None, _RATE] = None
    image_input: Annotated[int | None, _RATE] = None
    image_output: Annotated[int | None, _RATE] = None
    tiers: Annotated[tuple[TierTable, ...] | None, Items(Table(TierTable), expected="write an array of tables")] = None
    features: Annotated[dict[str, int], Named(feature_name, _FEATURE)] = {}


def _written(written: PriceTable, at: Spot) -> Price | PartialPrice:
    """A price that is whole, with both ways, stands for itself; any other is laid over what is known."""
    ordered = _tiers(written, at)
    rates = {name: getattr(written, name) for name in Rates.__struct_fields__}
    if written.input is None or written.output is None:
        return PartialPrice(**rates, tiers=ordered, features=written.features)
    return Price(rates=Rates(**rates), tiers=ordered or (), features=written.features)


def _whole(written: PriceTable, at: Spot) -> Price:
    found = _written(written, at)
    if isinstance(found, Price):
        return found
    missing = INVALID
    for name in ("input", "output"):
        if getattr(written, name) is None:
            missing = (at / name).missing(f"is missing: {_RATE.expected}")
    return cast(Price, missing)


def _tiers(written: PriceTable, at: Spot) -> tuple[Tier, ...] | None:
    if written.tiers is None:
        return None
    tiers = valid(written.tiers)
    seen: set[int] = set()
    for index, tier in tiers:
        spot = at / "tiers" / index
        if tier.above in seen:
            (spot / "above").wrong(tier.above, "is another tier's threshold: each needs its own")
        seen.add(tier.above)
        for name in _SPECIAL:
            if getattr(written, name) is not None and getattr(tier, name) is None:
                (spot / name).missing("is missing: a tier replaces the whole price, which has this rate")
    return tuple(sorted((Tier(above=tier.above, rates=tier.rates) for _, tier in tiers), key=lambda tier: tier.above))


_TABLE = Table(PriceTable, expected=_EXPECTED)
BUY = Made(_TABLE, _written)
SELL = Made(_TABLE, _whole)
