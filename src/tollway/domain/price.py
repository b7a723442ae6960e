"""What tokens cost: rates in pico-USD, all integers. A rate that is absent is unknown, never 0."""

from functools import cached_property

import msgspec

from tollway.domain.money import BASIS_POINTS


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """Pico-USD per token. `None` for a special kind of token means that it is billed at the ordinary rate."""

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None

    @cached_property
    def dearest(self) -> tuple[int, int]:
        """The most that a token of a prompt of text costs, and one of an answer without audio: images are drawn by
        models that can, whether or not a call says that it wants one."""
        return (
            max(self.input, self.cached_input or 0, self.cache_write or 0),
            max(self.output, self.reasoning or 0, self.image_output or 0),
        )


class Tier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rates that replace the base ones for the whole call once its prompt has more than `above` tokens."""

    above: int
    rates: Rates


class Price(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model at one provider. `features` maps a feature beyond tokens (`web_search`) to pico-USD a call."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    features: dict[str, int] = {}


class PartialPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator writes over a known price, rate by rate: `None` leaves what is known."""

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    tiers: tuple[Tier, ...] | None = None
    features: dict[str, int] = {}


class Tariff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """What the provider is owed (`buy`) and what the wallet pays: `sell` when set, else `buy` plus the markup."""

    buy: Price
    sell: Price | None = None
    markup_bps: int = 0  # basis points: 300 is 3 %

    @cached_property
    def selling(self) -> tuple[Price, int]:
        """The price that the wallet pays, and by how many basis points each of its rates is multiplied."""
        if self.sell is not None:
            return self.sell, BASIS_POINTS
        return self.buy, BASIS_POINTS + self.markup_bps
