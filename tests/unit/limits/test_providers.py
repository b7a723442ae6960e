"""The operator's share of a provider's quota."""

import pytest

from helpers.limiting import Limiting, a_minute
from helpers.metered import call, candidate
from tollway.domain.errors import ProviderFault, RateLimited
from tollway.domain.usage import Usage
from tollway.limits.providers import Gates

CANDIDATE = candidate(provider="p", max_output_tokens=500)


async def test_a_provider_over_its_requests_says_when_there_is_room() -> None:
    limits = Limiting()
    gate = limits.gate(requests=a_minute(1))
    assert await gate.wait_ms(call(), CANDIDATE) is None
    (await gate.enter(call(), CANDIDATE)).leave()
    wait_ms = await gate.wait_ms(call(), CANDIDATE)
    assert wait_ms is not None
    assert 60_000 <= wait_ms <= 61_000
    with pytest.raises(ProviderFault) as full:
        await gate.enter(call(), CANDIDATE)
    assert (full.value.outcome, full.value.retry_after_ms) == ("at_limit", wait_ms)
    assert limits.observer.said == [("provider", "requests", "p")] * 2
    limits.pass_time(wait_ms / 1000)
    assert await gate.wait_ms(call(), CANDIDATE) is None


async def test_attempts_at_once_leave_once() -> None:
    limits = Limiting()
    gate = limits.gate(concurrency=1)
    passed = await gate.enter(call(), CANDIDATE)
    assert await gate.wait_ms(call(), CANDIDATE) == 1_000
    passed.leave()
    passed.leave()
    second = await gate.enter(call(), CANDIDATE)
    with pytest.raises(ProviderFault):
        await gate.enter(call(), CANDIDATE)
    second.leave()
    assert limits.observer.said == [("provider", "concurrency", "p")] * 2


@pytest.mark.parametrize(
    ("outcome", "left"), [("connect_failed", True), ("rejected", True), ("first_byte_timeout", False), ("cut", False)]
)
async def test_a_failed_attempt_counts_unless_the_provider_said_that_it_did_nothing(outcome: str, left: bool) -> None:
    gate = Limiting().gate(tokens=a_minute(100))
    passed = await gate.enter(call(text_bytes=400), CANDIDATE)
    passed.failed(outcome)  # type: ignore[arg-type]
    assert (await gate.wait_ms(call(text_bytes=400), CANDIDATE) is None) == left


async def test_an_attempt_comes_to_what_the_provider_reports() -> None:
    limits = Limiting()
    gate = limits.gate(tokens=a_minute(100))
    passed = await gate.enter(call(text_bytes=400), CANDIDATE)
    assert await gate.wait_ms(call(text_bytes=4), CANDIDATE) is not None
    passed.used(Usage(prompt=30, completion=10))
    assert await gate.wait_ms(call(text_bytes=240), CANDIDATE) is None
    assert await gate.wait_ms(call(text_bytes=244), CANDIDATE) is not None
    assert limits.observer.said == [("provider", "tokens", "p")] * 2


async def test_a_call_larger_than_a_whole_period_passes_when_nothing_was_used() -> None:
    gate = Limiting().gate(tokens=a_minute(100, 50))
    passed = await gate.enter(call(text_bytes=40_000), CANDIDATE)
    passed.used(Usage(prompt=10_000, completion=5))
    assert await gate.wait_ms(call(text_bytes=4), CANDIDATE) is not None


async def test_where_only_requests_are_limited_tokens_are_nobodys_affair() -> None:
    gate = Limiting().gate(requests=a_minute(2))
    passed = await gate.enter(call(), CANDIDATE)
    passed.used(Usage(prompt=10**6, completion=5))
    passed.failed("rejected")
    assert await gate.wait_ms(call(), CANDIDATE) is None


async def test_while_the_store_is_lost_attempts_pass_where_that_is_wished() -> None:
    limits = Limiting(lost="open")
    gate = limits.gate(requests=a_minute(1), concurrency=1, tokens=a_minute(1))
    assert await gate.wait_ms(call(), CANDIDATE) is None
    for _ in range(2):
        passed = await gate.enter(call(), CANDIDATE)
        passed.used(Usage(prompt=1, completion=1))
        passed.leave()
    assert limits.observer.passed == ["provider", "provider"]


async def test_who_is_full_is_named_and_the_soonest_when_all_are() -> None:
    limits = Limiting()
    gates = Gates({"p": limits.gate("p", requests=a_minute(1)), "q": limits.gate("q", concurrency=1)})
    p, q, free = (candidate(provider=name) for name in ("p", "q", "free"))
    assert len(gates) == 2
    assert gates.get("free") is None
    assert await gates.full(call(), [p, q, free]) == []
    (await gates.get("p").enter(call(), p)).leave()  # type: ignore[union-attr]
    assert await gates.full(call(), [p, q, free]) == [p.key]
    await gates.get("q").enter(call(), q)  # type: ignore[union-attr]
    assert await gates.full(call(), [p, q, free]) == [p.key, q.key]
    with pytest.raises(RateLimited) as full:
        await gates.full(call(), [p, q])
    assert full.value.retry_after_ms == 1_000
    assert full.value.details["candidates"] == [
        {"candidate": p.key, "reason": "at_limit"},
        {"candidate": q.key, "reason": "at_limit"},
    ]
