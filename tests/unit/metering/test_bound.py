"""The most a call can cost, and the most tokens an amount can buy."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.metered import call, candidate, tariff
from tollway.domain.errors import UnpricedFeature
from tollway.domain.price import Price, Rates, Tariff, Tier
from tollway.metering.bound import affordable_max_tokens, hold_bound, output_limit, prompt_bound

# Rates so that one pico-USD sum reads as prompt * input + completion * output; a nano-USD is 1,000 of them.
UNIT = Rates(input=1_000, output=100_000)
BOUND = 40 + 256 + 16


def held(rates: Rates, **fields: object) -> int:
    return hold_bound(call(max_tokens=10, **fields), candidate(tariff(rates)))  # type: ignore[arg-type]


def test_a_prompts_bound_is_its_bytes_and_the_models_template() -> None:
    assert prompt_bound(call(text_bytes=40, messages=1), candidate()) == BOUND
    assert prompt_bound(call(text_bytes=40, messages=9), candidate(template_tokens=1, message_tokens=2)) == 59


def test_a_part_is_bounded_by_its_ceiling_else_by_the_context_length() -> None:
    seen = candidate(part_tokens={"image_url": 700})
    assert prompt_bound(call(parts=[("image_url", 2)]), seen) == BOUND + 1_400
    assert prompt_bound(call(parts=[("file", 1)]), seen) == 8_000


def test_no_prompt_is_longer_than_the_context() -> None:
    assert prompt_bound(call(text_bytes=10**6), candidate()) == 8_000


def test_an_answer_is_limited_by_the_caller_the_model_and_the_router() -> None:
    assert output_limit(call(), candidate()) == 1_000
    assert output_limit(call(max_tokens=5_000), candidate()) == 1_000
    assert output_limit(call(max_tokens=50), candidate()) == 50
    assert output_limit(call(max_tokens=50), candidate(), 20) == 20
    assert output_limit(call(max_tokens=50), candidate(), 200) == 50


def test_the_hold_is_the_prompt_and_every_choice_at_full_length() -> None:
    assert held(UNIT) == BOUND + 10 * 100
    assert held(UNIT, n=3) == BOUND + 30 * 100
    assert hold_bound(call(), candidate(tariff(UNIT))) == BOUND + 1_000 * 100
    assert hold_bound(call(), candidate(tariff(UNIT)), 5) == BOUND + 500


def test_the_hold_has_the_markup_or_the_sell_price() -> None:
    asked = call(max_tokens=10)
    assert hold_bound(asked, candidate(tariff(UNIT, markup_bps=5_000))) == (BOUND + 1_000) * 3 // 2
    sell = Price(rates=Rates(input=2_000, output=0))
    assert hold_bound(asked, candidate(tariff(UNIT, markup_bps=5_000, sell=sell))) == 2 * BOUND


def test_the_hold_is_rounded_up() -> None:
    assert hold_bound(call(max_tokens=1), candidate(tariff(Rates(input=0, output=1)))) == 1


@pytest.mark.parametrize(
    ("rates", "input_rate", "output_rate"),
    [
        (Rates(input=1_000, output=1_000, cached_input=5_000), 5, 1),
        (Rates(input=1_000, output=1_000, cache_write=5_000), 5, 1),
        (Rates(input=1_000, output=1_000, cached_input=0, cache_write=0, reasoning=0), 1, 1),
        (Rates(input=1_000, output=1_000, reasoning=5_000), 1, 5),
        (Rates(input=1_000, output=1_000, audio_input=5_000, audio_output=5_000), 1, 1),
    ],
)
def test_each_kind_of_token_is_held_at_the_highest_rate_that_may_apply(
    rates: Rates, input_rate: int, output_rate: int
) -> None:
    assert held(rates) == BOUND * input_rate + 10 * output_rate


def test_audio_rates_apply_where_audio_may_be() -> None:
    rates = Rates(input=1_000, output=1_000, audio_input=5_000, audio_output=7_000)
    assert held(rates, parts=[("input_audio", 1)]) == 8_000 * 5 + 10
    with_audio = candidate(tariff(rates, features={"audio_output": 0}))
    assert hold_bound(call(max_tokens=10, features=frozenset({"audio_output"})), with_audio) == BOUND + 70
    bare = Rates(input=1_000, output=1_000)
    silent = candidate(tariff(bare, features={"audio_output": 0}))
    both = call(max_tokens=10, features=frozenset({"audio_output"}), parts=[("input_audio", 1)])
    assert hold_bound(both, silent) == 8_000 + 10


def test_tiers_apply_from_where_the_prompt_may_reach_them() -> None:
    dear = Rates(input=9_000, output=9_000)
    for above, dearer in ((BOUND - 1, 9), (BOUND, 1)):
        tiered = candidate(tariff(Rates(input=1_000, output=1_000), tiers=(Tier(above=above, rates=dear),)))
        assert hold_bound(call(max_tokens=10), tiered) == (BOUND + 10) * dearer
    cheap = Tier(above=0, rates=Rates(input=1, output=1))
    assert hold_bound(call(max_tokens=10), candidate(tariff(UNIT, tiers=(cheap,)))) == BOUND + 1_000


def test_features_are_held_at_their_rate_and_never_for_nothing() -> None:
    asked = call(max_tokens=10, features=frozenset({"web_search"}))
    assert hold_bound(asked, candidate(tariff(UNIT, features={"web_search": 9_000}))) == BOUND + 1_000 + 9
    with pytest.raises(UnpricedFeature):
        hold_bound(asked, candidate())


def test_what_an_amount_carries_is_within_the_calls_own_limit() -> None:
    asked, at = call(max_tokens=10), candidate(tariff(UNIT))
    assert affordable_max_tokens(asked, at, 10**9) == 10
    assert affordable_max_tokens(asked, at, BOUND + 999) == 9
    assert affordable_max_tokens(asked, at, BOUND + 99) == 0
    assert affordable_max_tokens(asked, at, BOUND - 1) == 0
    assert affordable_max_tokens(asked, at, 0) == 0


def test_what_costs_nothing_is_always_affordable() -> None:
    assert affordable_max_tokens(call(), candidate(tariff(Rates(input=0, output=0))), 0) == 1_000
    assert affordable_max_tokens(call(), candidate(tariff(markup_bps=-10_000)), 0) == 1_000
    assert affordable_max_tokens(call(), candidate(tariff(Rates(input=1_000, output=0))), BOUND) == 1_000
    assert affordable_max_tokens(call(), candidate(tariff(Rates(input=1_000, output=0))), BOUND - 1) == 0


@given(
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.integers(0, 5_000),
    st.integers(1, 5),
    st.integers(0, 10**9),
)
def test_the_affordable_tokens_fit_and_one_more_would_not(
    input_rate: int, output_rate: int, markup_bps: int, n: int, available: int
) -> None:
    asked, at = call(n=n), candidate(tariff(Rates(input=input_rate, output=output_rate), markup_bps=markup_bps))
    fits = affordable_max_tokens(asked, at, available)
    assert fits == 0 or hold_bound(asked, at, fits) <= available
    assert fits == at.max_output_tokens or hold_bound(asked, at, fits + 1) > available


def test_an_image_may_come_at_its_own_rate_and_an_answer_may_be_one() -> None:
    seen = candidate(tariff(Rates(input=1_000, output=1_000, image_input=9_000)))
    assert hold_bound(call(max_tokens=10), seen) == BOUND + 10
    with_image = call(max_tokens=10, parts=[("image_url", 1)])
    plain = candidate(tariff(Rates(input=1_000, output=1_000)))
    assert hold_bound(with_image, seen) - 10 == 9 * (hold_bound(with_image, plain) - 10)
    drawn = candidate(tariff(Rates(input=1_000, output=1_000, image_output=7_000)))
    assert hold_bound(call(max_tokens=10), drawn) == BOUND + 70


def test_what_is_made_of_a_price_of_its_own_has_a_bound_and_a_key_of_its_own() -> None:
    asked, first = call(max_tokens=10), candidate(tariff(UNIT))
    assert (first.key, hold_bound(asked, first)) == ("p:m", BOUND + 1_000)
    dearer = msgspec.structs.replace(first.tariff.buy.rates, input=2_000)
    second = msgspec.structs.replace(first, model="other", tariff=Tariff(buy=Price(rates=dearer), markup_bps=10_000))
    assert (second.key, hold_bound(asked, second)) == ("p:other", 2 * (2 * BOUND + 1_000))
    free = msgspec.structs.replace(second, tariff=msgspec.structs.replace(second.tariff, markup_bps=-10_000))
    assert hold_bound(asked, free) == 0
