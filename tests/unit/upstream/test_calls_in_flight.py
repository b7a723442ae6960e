"""The client of a call, and all calls that are under way."""

import asyncio
from typing import Any

import pytest

from helpers.virtual_time import now, virtual_time
from helpers.waits import forever, reason, value
from tollway.upstream.watch import LOOK_S, AsgiClient, CallsInFlight, CallWatch

# --- the client


class Channel:
    """ASGI's receive, whose messages are put in by the test."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __call__(self) -> dict[str, Any]:
        return await self.messages.get()


def left(watch: CallWatch) -> None:
    watch.stop("client_left")


@virtual_time
async def test_a_client_that_leaves_stops_its_call() -> None:
    watch, channel = CallWatch(10), Channel()
    client = AsgiClient(channel)
    client.listen()
    client.when_left(lambda: left(watch))
    channel.messages.put_nowait({"type": "http.disconnect"})
    assert await reason(watch) == "client_left"
    assert client.left
    told = []
    client.when_left(lambda: told.append("at once"))
    assert told == ["at once"]
    client.close()


@virtual_time
async def test_what_else_a_server_says_is_no_leaving() -> None:
    watch, channel = CallWatch(10), Channel()
    client = AsgiClient(channel)
    client.listen()
    client.when_left(lambda: left(watch))
    channel.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    watch.limit("idle", 1)
    assert await reason(watch) == "idle"
    client.close()


@virtual_time
async def test_who_is_not_interested_any_more_is_told_nothing() -> None:
    watch, channel = CallWatch(10), Channel()
    client = AsgiClient(channel)
    client.listen()
    client.when_left(lambda: left(watch))
    client.close()
    channel.messages.put_nowait({"type": "http.disconnect"})
    watch.limit("idle", 1)
    assert await reason(watch) == "idle"


# --- all calls


@virtual_time
async def test_calls_in_flight_are_counted_and_waited_for() -> None:
    calls = CallsInFlight()
    assert (len(calls), await calls.idle(0)) == (0, True)
    release = asyncio.Event()

    async def call() -> None:
        with calls.enter(10):
            await release.wait()

    tasks = [asyncio.create_task(call()) for _ in range(2)]
    await asyncio.sleep(0)
    assert len(calls) == len(list(calls)) == 2
    started = now()
    assert not await calls.idle(5)
    assert now() - started == pytest.approx(5)
    release.set()
    assert await calls.idle(5)
    assert now() - started == pytest.approx(5)
    await asyncio.gather(*tasks)


@virtual_time
async def test_calls_in_flight_can_be_cut() -> None:
    calls, told = CallsInFlight(), []

    async def call() -> None:
        with calls.enter(10) as watch:
            told.append(await reason(watch))

    tasks = [asyncio.create_task(call()) for _ in range(3)]
    await asyncio.sleep(0)
    for watch in tuple(calls):
        watch.stop("drain")
    assert await calls.idle(1)
    await asyncio.gather(*tasks)
    assert told == ["drain"] * 3


@virtual_time
async def test_a_call_that_fails_is_no_longer_in_flight() -> None:
    calls = CallsInFlight()
    with pytest.raises(OSError, match="broken"), calls.enter(10):
        raise OSError("broken")
    assert (len(calls), await calls.idle(0)) == (0, True)


@virtual_time
async def test_several_wait_for_the_same_end_and_a_call_that_follows_it_is_waited_for_anew() -> None:
    calls = CallsInFlight()
    with calls.enter(10):
        waiting = [asyncio.create_task(calls.idle(5)) for _ in range(2)]
        await asyncio.sleep(1)
        assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [True, True]
    with calls.enter(10):
        assert not await calls.idle(1)
    assert await calls.idle(0)


# --- their limits, which are looked at once a second


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each timer of a watch was to fire."""
    made: list[float] = []
    arm = CallWatch._arm

    def counted(watch: CallWatch, due: float) -> None:
        made.append(due)
        arm(watch, due)

    monkeypatch.setattr(CallWatch, "_arm", counted)
    return made


def handles() -> int:
    """Timers of the loop that are still to fire."""
    return sum(not handle.cancelled() for handle in asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]


@pytest.mark.parametrize("began", [0, 0.5, 0.99])
@pytest.mark.parametrize("seconds", [0.2, 0.5, 1, 1.01, 1.5, 7.3])
@virtual_time
async def test_a_limit_ends_a_wait_when_it_passes_and_not_at_a_look(began: float, seconds: float) -> None:
    calls = CallsInFlight()
    with calls.enter(100):
        await asyncio.sleep(began)
        for total in (seconds, 100):
            with calls.enter(total) as watch:
                started = now()
                watch.limit("idle", seconds + 0.1 * (total == seconds))
                assert await reason(watch) == ("total" if total == seconds else "idle")
                assert now() - started == pytest.approx(seconds)


@virtual_time
async def test_a_limit_that_is_set_while_its_call_waits_holds_too() -> None:
    calls, loop = CallsInFlight(), asyncio.get_running_loop()
    for later in (0.1, 0.7, 3.2):
        with calls.enter(100) as watch:
            started = now()
            loop.call_later(later, watch.limit, "slow_reader", 0.25)
            assert await reason(watch) == "slow_reader"
            assert now() - started == pytest.approx(later + 0.25)
        with calls.enter(100) as watch:
            started = now()
            loop.call_later(later, watch.extend, 0.25)
            assert await reason(watch) == "total"
            assert now() - started == pytest.approx(later + 0.25)


@virtual_time
async def test_a_call_that_ends_well_before_its_limit_makes_no_timer(timers: list[float]) -> None:
    calls = CallsInFlight()
    with calls.enter(1_000):
        for _ in range(50):
            with calls.enter(10) as watch:
                watch.limit("batch", 5)
                assert await watch.wait(value("given")) == "given"
                watch.extend(20)
                await asyncio.sleep(0.1)
        with calls.enter(5) as watch:
            for _ in range(50):
                watch.extend(5)
                await watch.wait(asyncio.sleep(1))
    assert timers == []


@virtual_time
async def test_a_limit_gets_its_timer_at_the_last_look_before_it(timers: list[float]) -> None:
    calls = CallsInFlight()
    with calls.enter(10) as watch:
        watch.limit("idle", 2.5)
        started = now()
        assert await reason(watch) == "idle"
    assert timers[0] == pytest.approx(started + 2.5)


@pytest.mark.parametrize("seconds", [0.3, 5])
@virtual_time
async def test_a_call_that_was_stopped_has_no_timer_until_it_goes_on(timers: list[float], seconds: float) -> None:
    calls = CallsInFlight()
    with calls.enter(3) as watch:
        watch.stop("client_left")
        await asyncio.sleep(10.5)
        assert timers == []
        watch.resume(seconds)
        started = now()
        assert await reason(watch) == "total"
        assert now() - started == pytest.approx(seconds)
        del timers[:]
        await asyncio.sleep(10.5)
        assert timers == []


@virtual_time
async def test_nobody_looks_where_there_are_no_calls_and_a_later_one_is_looked_at_again() -> None:
    calls = CallsInFlight()
    for _ in range(2):
        with calls.enter(3) as watch:
            assert handles() == 1
            assert await reason(watch) == "total"
        await asyncio.sleep(2 * LOOK_S)
        assert handles() == 0


@virtual_time
async def test_a_call_that_is_over_has_no_limits() -> None:
    calls = CallsInFlight()
    with calls.enter(3) as watch:
        pass
    watch.limit("idle", 0.1)
    watch.extend(0.1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.wait(forever()), 10)


@virtual_time
async def test_a_call_that_was_stopped_for_its_total_may_say_its_last_words_within_a_limit() -> None:
    calls = CallsInFlight()
    with calls.enter(3) as watch:
        assert await reason(watch) == "total"
        watch.overtime(5)
        started = now()
        watch.limit("slow_reader", 2)
        assert await reason(watch) == "slow_reader"
        assert now() - started == pytest.approx(2)
        assert await reason(watch) == "total"
        assert now() - started == pytest.approx(5)
