"""From tokens to money: exact sums in pico-USD, rounded up once. Pure integers; it knows nothing of providers."""

from collections.abc import Iterable

from tollway.domain.errors import UnpricedFeature
from tollway.domain.money import BASIS_POINTS, PICO_PER_NANO
from tollway.domain.price import Price, Rates, Tariff
from tollway.domain.usage import Usage

# What a price in pico-USD, times the factor of `Tariff.selling`, is divided by to have nano-USD.
SOLD_PER_NANO = BASIS_POINTS * PICO_PER_NANO


def cost_of(usage: Usage, features: Iterable[str], tariff: Tariff) -> int:
    """What the provider is owed, in nano-USD."""
    return -(-price_of(usage, features, tariff.buy) // PICO_PER_NANO)


def sell_of(usage: Usage, features: Iterable[str], tariff: Tariff) -> int:
    """What the wallet pays, in nano-USD: by the sell price when there is one, else the cost with the markup."""
    price, factor = tariff.selling
    return -(-price_of(usage, features, price) * factor // SOLD_PER_NANO)


def both_of(usage: Usage, features: Iterable[str], tariff: Tariff) -> tuple[int, int]:
    """`sell_of` and `cost_of`, reckoned once where the wallet pays the provider's price."""
    price, factor = tariff.selling
    pico = price_of(usage, features, price)
    owed = pico if price is tariff.buy else price_of(usage, features, tariff.buy)
    return -(-pico * factor // SOLD_PER_NANO), -(-owed // PICO_PER_NANO)


def price_of(usage: Usage, features: Iterable[str], price: Price) -> int:
    """The exact price in pico-USD. Special tokens are parts of the prompt or completion and counted once: where the
    parts overlap (cached audio), what was written to the cache comes first, then audio, images, and what was cached."""
    rates = rates_for(usage.prompt, price) if price.tiers else price.rates
    pico = usage.prompt * rates.input + usage.completion * rates.output
    if usage.cached or usage.cache_write or usage.audio_input or usage.image_input:
        pico += _beyond(
            usage.prompt,
            rates.input,
            (usage.cache_write, rates.cache_write),
            (usage.audio_input, rates.audio_input),
            (usage.image_input, rates.image_input),
            (usage.cached, rates.cached_input),
        )
    if usage.reasoning or usage.audio_output or usage.image_output:
        pico += _beyond(
            usage.completion,
            rates.output,
            (usage.audio_output, rates.audio_output),
            (usage.image_output, rates.image_output),
            (usage.reasoning, rates.reasoning),
        )
    return pico + features_price(features, price) if features else pico


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


def _beyond(left: int, ordinary: int, *kinds: tuple[int, int | None]) -> int:
    """What tokens of special kinds cost beyond the ordinary rate (less than none for cheaper ones): each of `kinds` is
    a count and its rate, and no more of them are counted than are `left` by those before."""
    pico = 0
    for count, rate in kinds:
        taken = min(count, left)
        left -= taken
        if rate is not None:
            pico += taken * (rate - ordinary)
    return pico
