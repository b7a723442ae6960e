"""When the same provider is asked once more for a call: after a 500, as a Retry-After says, on a fresh connection; and
how its retry budget bounds that."""

import pytest

from helpers.attempting import Bench, answer, at, candidate, failure, fault, tokens
from helpers.scripted import SILENCE
from helpers.virtual_time import now, virtual_time
from tollway.domain.errors import NoProviderAvailable, ProviderFailed, RequestError
from tollway.upstream.attempts import STALE_S_MAX
from tollway.upstream.budget import ATTEMPTS_A_RETRY, FLOOR, RetryBudget

STALE = fault("stale_connection")


def spent() -> RetryBudget:
    budget = RetryBudget()
    while budget.take("a"):
        pass
    return budget


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_with_nobody_else_left_a_connection_that_had_lain_idle_too_long_is_replaced_at_once(how: str) -> None:
    bench = Bench(a=[STALE, answer() if how == "answer" else tokens()])
    started = now()
    await getattr(bench, how)()
    assert bench.transport.asked == ["a", "a"]
    assert [request.fresh_connection for request in bench.transport.requests] == [False, True]
    assert (now() - started, bench.observer.retries) == (0, [("a", "granted")])
    assert bench.outcomes[0] == ("a", "stale_connection")


@virtual_time
async def test_with_somebody_else_left_they_are_asked_first_and_of_several_connections_the_first_is_replaced() -> None:
    bench = Bench(a=[STALE, answer()], b=[STALE], c=[failure(503)])
    await bench.answer()
    assert bench.transport.asked == ["a", "b", "c", "a"]
    other = Bench(a=[STALE], b=[answer()])
    await other.answer()
    assert other.outcomes == [("a", "stale_connection"), ("b", "ok")]


@virtual_time
async def test_a_new_connection_that_breaks_as_well_ends_it() -> None:
    bench = Bench(a=[STALE, STALE])
    assert isinstance(await bench.refused(), ProviderFailed)
    assert bench.transport.asked == ["a", "a"]


@virtual_time
async def test_a_refused_request_is_not_sent_again_over_a_connection_that_broke() -> None:
    bench = Bench(a=[STALE], b=[failure(400)])
    assert isinstance(await bench.refused(), RequestError)
    assert bench.transport.asked == ["a", "b"]


@virtual_time
async def test_a_connection_that_breaks_after_the_provider_had_time_to_begin_was_not_stale() -> None:
    bench = Bench(a=[(STALE_S_MAX + 0.01, STALE)], b=[answer()])
    await bench.answer()
    assert bench.outcomes == [("a", "connect_failed"), ("b", "ok")]
    assert bench.observer.retries == []


@virtual_time
async def test_without_budget_the_next_provider_is_asked_at_once() -> None:
    bench = Bench(budget=spent(), a=[failure(500)], b=[answer()])
    started = now()
    await bench.answer()
    assert bench.transport.asked == ["a", "b"]
    assert (now() - started, bench.observer.retries) == (0, [("a", "refused")])


@virtual_time
async def test_without_budget_a_connection_that_broke_is_not_replaced() -> None:
    bench = Bench(budget=spent(), a=[STALE])
    assert isinstance(await bench.refused(), ProviderFailed)
    assert bench.transport.asked == ["a"]


@virtual_time
async def test_without_budget_nobody_waits_for_a_retry_after_and_the_caller_is_told_of_it() -> None:
    bench = Bench(budget=spent(), a=[failure(429, retry_after="2")])
    refused = await bench.refused()
    assert (type(refused), refused.retry_after_ms) == (NoProviderAvailable, 2_000)
    assert bench.transport.asked == ["a"]


@virtual_time
async def test_of_many_calls_to_a_provider_that_always_fails_a_tenth_is_asked_again() -> None:
    calls = 200
    budget = RetryBudget()
    asked = 0
    for _ in range(calls):
        bench = Bench(budget=budget, a=[failure(500), failure(500)])
        assert isinstance(await bench.refused(), ProviderFailed)
        asked += len(bench.transport.asked)
    assert calls + calls // ATTEMPTS_A_RETRY - 1 <= asked <= calls + calls // ATTEMPTS_A_RETRY + FLOOR


@virtual_time
async def test_who_was_not_asked_has_earned_nothing() -> None:
    budget = spent()
    for _ in range(10 * ATTEMPTS_A_RETRY):
        await Bench(budget=budget, a=[fault("inexpressible")], b=[answer()]).answer()
        await Bench(budget=budget, a=[fault("at_limit")], b=[answer()]).answer()
    assert not budget.take("a")


@virtual_time
async def test_a_silent_provider_is_not_asked_again_after_a_500_either() -> None:
    bench = Bench(candidate("a"), candidate("a", "other"), a=[failure(500), SILENCE])
    assert isinstance(await bench.refused(), ProviderFailed)
    assert bench.transport.asked == ["a", "a"]


@virtual_time
async def test_a_client_that_leaves_while_a_provider_is_waited_for_ends_the_wait() -> None:
    bench = Bench(a=[failure(429, retry_after="5")])
    started = now()
    at(2, bench.watch.stop, "client_left")
    assert await bench.interrupted() == "client_left"
    assert now() - started == pytest.approx(2)
