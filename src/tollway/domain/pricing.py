"""A price as it is shown: what a wallet pays, as exact decimal strings. No float, and nothing that is only the
operator's business (what a provider is owed)."""

from typing import Any

from tollway.domain.price import Rates, Tariff

UNITS_PER_USD = 10**16  # a basis point of a pico-USD

Pricing = dict[str, Any]


def pricing(tariff: Tariff) -> Pricing:
    """What a wallet pays: decimal USD per token, by kind; `features` USD a call; `tiers` by prompt tokens."""
    price, factor = tariff.selling
    shown: Pricing = dict(_rates(price.rates, factor))
    if price.features:
        shown["features"] = {name: _usd(pico * factor) for name, pico in sorted(price.features.items())}
    if price.tiers:
        shown["tiers"] = [{"above": tier.above, **_rates(tier.rates, factor)} for tier in price.tiers]
    return shown


def _usd(units: int) -> str:
    """1e-16 USD, in which every rate with its markup is whole, as an exact decimal string."""
    whole, fraction = divmod(units, UNITS_PER_USD)
    return f"{whole}.{fraction:016d}".rstrip("0").rstrip(".")


def _rates(rates: Rates, factor: int) -> dict[str, str]:
    return {name: _usd(pico * factor) for name in Rates.__struct_fields__ if (pico := getattr(rates, name)) is not None}
