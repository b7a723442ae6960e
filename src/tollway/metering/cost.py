"""From tokens to money: exact sums in pico-USD, rounded up once. Pure integers; it knows nothing of providers."""

from collections.abc import Iterable

from tollway.domain.errors import UnpricedFeature
from tollway.domain.money import BASIS_POINTS, PICO_PER_NANO
from tollway.domain.price import Price, Rates, Tariff
from tollway.domain.usage import Usage


def cost_of(usage: Usage, features: Iterable[str], tariff: Tariff) -> int:
    """What the provider is owed, in nano-USD."""
    return _ceil(price_of(usage, features, tariff.buy), PICO_PER_NANO)


def sell_of(usage: Usage, features: Iterable[str], tariff: Tariff) -> int:
    """What the wallet pays, in nano-USD: by the sell price when there is one, else the cost with the markup."""
    price, numerator, denominator = selling(tariff)
    return _ceil(price_of(usage, features, price) * numerator, denominator)


def selling(tariff: Tariff) -> tuple[Price, int, int]:
    """The price the wallet pays by, and the fraction that turns its pico-USD into nano-USD with the markup."""
    price, factor = tariff.selling
    return price, factor, BASIS_POINTS * PICO_PER_NANO


def price_of(usage: Usage, features: Iterable[str], price: Price) -> int:
    """The exact price in pico-USD. Special tokens are parts of the prompt or completion and counted once: where the
    parts overlap (cached audio), what was written to the cache comes first, then audio, images, and what was cached."""
    rates = rates_for(usage.prompt, price)
    left = usage.prompt
    written = min(usage.cache_write, left)
    audio = min(usage.audio_input, left := left - written)
    images = min(usage.image_input, left := left - audio)
    cached = min(usage.cached, left := left - images)
    prompt = (
        written * _rate(rates.cache_write, rates.input)
        + audio * _rate(rates.audio_input, rates.input)
        + images * _rate(rates.image_input, rates.input)
        + cached * _rate(rates.cached_input, rates.input)
        + (left - cached) * rates.input
    )
    left = usage.completion
    spoken = min(usage.audio_output, left)
    drawn = min(usage.image_output, left := left - spoken)
    thought = min(usage.reasoning, left := left - drawn)
    completion = (
        spoken * _rate(rates.audio_output, rates.output)
        + drawn * _rate(rates.image_output, rates.output)
        + thought * _rate(rates.reasoning, rates.output)
        + (left - thought) * rates.output
    )
    return prompt + completion + features_price(features, price)


def rates_for(prompt_tokens: int, price: Price) -> Rates:
    """The rates of the highest tier that a prompt of this size has passed."""
    rates, passed = price.rates, -1
    for tier in price.tiers:
        if passed < tier.above < prompt_tokens:
            rates, passed = tier.rates, tier.above
    return rates


def features_price(features: Iterable[str], price: Price) -> int:
    """Pico-USD a call for what it asks for beyond tokens. UnpricedFeature when one has no rate: none is ever taken
    for 0."""
    total = 0
    for feature in features:
        rate = price.features.get(feature)
        if rate is None:
            raise UnpricedFeature(f"{feature} has no price here: ask without it.")
        total += rate
    return total


def _rate(special: int | None, ordinary: int) -> int:
    return ordinary if special is None else special


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)
