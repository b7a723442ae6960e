"""What holds for any price, call and usage."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from helpers.metered import call, candidate, served, tariff
from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.price import Rates, Tariff, Tier
from tollway.domain.usage import Generated, Usage
from tollway.metering.bound import hold_bound, prompt_bound
from tollway.metering.cost import cost_of, price_of, sell_of
from tollway.metering.meter import Ending, meter
from tollway.metering.usage import check

rate = st.integers(0, 10**8)
special = st.none() | rate
rates = st.builds(
    Rates,
    input=rate,
    output=rate,
    cached_input=special,
    cache_write=special,
    reasoning=special,
    audio_input=special,
    audio_output=special,
    image_input=special,
    image_output=special,
)
tiers = st.lists(st.builds(Tier, above=st.integers(0, 600), rates=rates), max_size=3).map(tuple)
tariffs = st.builds(
    lambda base, steps, markup, fee: tariff(base, tiers=steps, markup_bps=markup, features={"search": fee}),
    rates,
    tiers,
    st.integers(0, 20_000),
    rate,
)
candidates = st.builds(
    lambda price, context, output: candidate(price, context_length=context, max_output_tokens=output),
    tariffs,
    st.integers(1, 700),
    st.integers(1, 200),
)
calls = st.builds(
    lambda text, messages, n, cap, features, stream: call(
        text_bytes=text, messages=messages, n=n, max_tokens=cap, features=features, stream=stream
    ),
    st.integers(1, 400),
    st.integers(1, 5),
    st.integers(1, 4),
    st.none() | st.integers(1, 300),
    st.sampled_from([frozenset(), frozenset({"search"})]),
    st.booleans(),
)
counts = st.integers(0, 800)
small = st.integers(0, 30)
usages = st.builds(
    Usage,
    prompt=counts,
    completion=counts,
    cached=small,
    cache_write=small,
    reasoning=small,
    audio_input=small,
    audio_output=small,
    image_input=small,
    image_output=small,
)
endings = st.sampled_from(["complete", "client_left", "client_left_before_token", "cut_by_router", "provider_failed"])
reasons = st.lists(st.none() | st.sampled_from(["stop", "length", "error"]), max_size=3)


@st.composite
def possible(draw: st.DrawFn) -> tuple[Call, Candidate, Usage]:
    """A call of nothing but text, and a usage of it that passes the check."""
    asked, at = draw(calls), draw(candidates)
    prompt = draw(st.integers(0, prompt_bound(asked, at)))
    limit = min(at.max_output_tokens, asked.max_tokens or at.max_output_tokens)
    completion = draw(st.integers(0, asked.n * limit))
    cached = draw(st.integers(0, prompt))
    usage = Usage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=draw(st.integers(0, prompt - cached)),
        reasoning=draw(st.integers(0, completion)),
    )
    assert check(usage, asked, at) is None
    return asked, at, usage


@given(possible())
def test_no_possible_usage_of_a_text_call_costs_more_than_its_hold(drawn: tuple[Call, Candidate, Usage]) -> None:
    asked, at, usage = drawn
    assert sell_of(usage, asked.features, at.tariff) <= hold_bound(asked, at)


@given(calls, candidates, usages)
def test_whatever_passes_the_check_costs_no_more_than_the_hold(asked: Call, at: Candidate, usage: Usage) -> None:
    if check(usage, asked, at) is None:
        assert sell_of(usage, asked.features, at.tariff) <= hold_bound(asked, at)


@given(calls, candidates, st.none() | usages, st.integers(0, 5_000), endings, reasons)
def test_no_ending_of_a_text_call_costs_more_than_its_hold(
    asked: Call, at: Candidate, usage: Usage | None, read: int, ended: Ending, finished: list[str | None]
) -> None:
    held = hold_bound(asked, at)
    raw = None if usage is None else written(usage)
    generated = Generated(text_bytes=read, other_parts=read % 3)
    read = served(asked, at, usage_raw=raw, generated=generated, finish_reasons=finished)
    charge = meter(read, ended=ended, held=held)
    assert 0 <= charge.price <= held
    assert charge.cost >= 0


def written(usage: Usage) -> bytes:
    return json.dumps(
        {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "prompt_tokens_details": {
                "cached_tokens": usage.cached,
                "cache_write_tokens": usage.cache_write,
                "audio_tokens": usage.audio_input,
                "image_tokens": usage.image_input,
            },
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": usage.audio_output,
                "image_tokens": usage.image_output,
            },
        }
    ).encode()


@given(rates, usages, st.sampled_from(["prompt", "completion"]), st.integers(1, 100))
def test_more_tokens_never_cost_less(base: Rates, usage: Usage, kind: str, more: int) -> None:
    price = tariff(base).buy
    usage = clipped(usage)
    grown = msgspec.structs.replace(usage, **{kind: getattr(usage, kind) + more})
    assert price_of(grown, (), price) >= price_of(usage, (), price)


def clipped(usage: Usage) -> Usage:
    """`usage` with no more special tokens than its totals have room for."""
    return msgspec.structs.replace(usage, prompt=usage.prompt + 90, completion=usage.completion + 60)


@given(usages, tariffs)
def test_with_a_markup_the_wallet_never_pays_less_than_the_cost(usage: Usage, price: Tariff) -> None:
    features = ("search",)
    assert sell_of(usage, features, price) >= cost_of(usage, features, price) >= 0


@given(usages, tariffs)
def test_a_price_is_rounded_up_by_less_than_a_nano(usage: Usage, price: Tariff) -> None:
    exact = price_of(usage, (), price.buy)
    assert 0 <= cost_of(usage, (), price) * 1_000 - exact < 1_000
    assert 0 <= sell_of(usage, (), price) * 10**7 - exact * (10_000 + price.markup_bps) < 10**7


@given(calls, candidates, st.integers(1, 300), st.integers(0, 50))
def test_a_larger_answer_needs_a_hold_that_is_no_smaller(asked: Call, at: Candidate, cap: int, more: int) -> None:
    assert hold_bound(asked, at, cap) <= hold_bound(asked, at, cap + more) <= hold_bound(asked, at)
