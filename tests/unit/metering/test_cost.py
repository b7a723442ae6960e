"""Tokens to money, in integers."""

import pytest

from helpers.metered import RATES, tariff
from tollway.domain.errors import UnpricedFeature
from tollway.domain.price import Price, Rates, Tier
from tollway.domain.usage import Usage
from tollway.metering.cost import cost_of, price_of, sell_of

SPECIAL = Rates(
    input=10,
    output=100,
    cached_input=1,
    cache_write=12,
    reasoning=70,
    audio_input=40,
    audio_output=800,
    image_input=20,
    image_output=300,
)


def price(rates: Rates = RATES, *, features: tuple[str, ...] = (), **tokens: int) -> int:
    usage = Usage(**({"prompt": 0, "completion": 0} | tokens))
    return price_of(usage, features, Price(rates=rates, features={"web_search": 7, "plugins": 0}))


def test_tokens_cost_their_rates() -> None:
    assert price(prompt=1_000, completion=100) == 1_000 * 2_500_000 + 100 * 10_000_000
    assert price(prompt=0, completion=0) == 0


def test_special_tokens_are_parts_of_their_total_at_their_own_rate() -> None:
    assert price(SPECIAL, prompt=100, cached=30) == 30 * 1 + 70 * 10
    assert price(SPECIAL, prompt=100, cache_write=30) == 30 * 12 + 70 * 10
    assert price(SPECIAL, prompt=100, audio_input=30) == 30 * 40 + 70 * 10
    assert price(SPECIAL, completion=100, reasoning=30) == 30 * 70 + 70 * 100
    assert price(SPECIAL, completion=100, audio_output=30) == 30 * 800 + 70 * 100
    assert price(SPECIAL, prompt=100, image_input=30) == 30 * 20 + 70 * 10
    assert price(SPECIAL, completion=100, image_output=30) == 30 * 300 + 70 * 100


def test_a_special_rate_of_zero_is_a_rate() -> None:
    assert price(Rates(input=10, output=1, cached_input=0), prompt=100, cached=30) == 700


def test_without_a_rate_of_their_own_special_tokens_cost_the_ordinary_one() -> None:
    special = {"cached": 30, "cache_write": 20, "audio_input": 10, "reasoning": 60, "audio_output": 40}
    assert price(prompt=100, completion=100, **special) == price(prompt=100, completion=100)


def test_tokens_of_overlapping_kinds_are_counted_once() -> None:
    assert price(SPECIAL, prompt=100, cache_write=50, audio_input=60, cached=70) == 50 * 12 + 50 * 40
    assert price(SPECIAL, prompt=100, audio_input=80, cached=70) == 80 * 40 + 20 * 1
    assert price(SPECIAL, completion=100, audio_output=80, reasoning=70) == 80 * 800 + 20 * 70
    assert price(SPECIAL, prompt=100, audio_input=60, image_input=30, cached=70) == 60 * 40 + 30 * 20 + 10 * 1
    assert price(SPECIAL, completion=100, image_output=90, reasoning=70) == 90 * 300 + 10 * 70


def test_a_tier_replaces_all_rates_once_the_prompt_is_above_it() -> None:
    tiers = (Tier(above=200, rates=Rates(input=3, output=5)), Tier(above=100, rates=Rates(input=2, output=4)))
    tiered = Price(rates=Rates(input=1, output=1, cached_input=0), tiers=tiers)
    for prompt, input_rate, output_rate in ((100, 1, 1), (101, 2, 4), (200, 2, 4), (201, 3, 5)):
        assert price_of(Usage(prompt=prompt, completion=10), (), tiered) == prompt * input_rate + 10 * output_rate
    assert price_of(Usage(prompt=201, completion=0, cached=201), (), tiered) == 201 * 3


def test_features_add_their_rate_once_a_call() -> None:
    assert price(features=("web_search", "plugins")) == 7


def test_a_feature_without_a_rate_is_never_free() -> None:
    with pytest.raises(UnpricedFeature, match="service_tier:flex"):
        price(features=("service_tier:flex",))


def test_the_cost_is_the_exact_sum_rounded_up_once() -> None:
    cheap = tariff(Rates(input=1, output=1))
    for tokens, nano in ((0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2)):
        assert cost_of(Usage(prompt=tokens, completion=0), (), cheap) == nano
    assert cost_of(Usage(prompt=600, completion=600), (), cheap) == 2
    assert cost_of(Usage(prompt=600, completion=400), (), cheap) == 1


def test_the_wallet_pays_the_cost_with_the_markup_rounded_up_once() -> None:
    usage = Usage(prompt=1_000, completion=100)
    assert cost_of(usage, (), tariff(markup_bps=300)) == 3_500_000
    assert sell_of(usage, (), tariff(markup_bps=300)) == 3_605_000
    assert sell_of(usage, (), tariff()) == 3_500_000
    # 1.5 nano-USD and 10 %: 1.65, not the 2.2 of a cost that was rounded before.
    assert sell_of(Usage(prompt=1_500, completion=0), (), tariff(Rates(input=1, output=1), markup_bps=1_000)) == 2


def test_a_sell_price_of_its_own_stands_instead_of_the_markup() -> None:
    apart = tariff(sell=Price(rates=Rates(input=1_000, output=0), features={"web_search": 5_000}), markup_bps=300)
    usage = Usage(prompt=10, completion=10)
    assert sell_of(usage, (), apart) == 10
    assert sell_of(usage, ("web_search",), apart) == 15
    assert cost_of(usage, (), apart) == 125_000
