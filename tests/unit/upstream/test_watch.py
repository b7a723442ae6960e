"""What ends a wait, whose cancellation it was, and what is left behind: on asyncio's loop in virtual time, and on
uvloop, whose timers are made differently."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from helpers.virtual_time import now, virtual_time
from tollway.domain.waiting import Interrupted
from tollway.upstream.watch import CallsInFlight, CallWatch, watch_client


async def forever() -> None:
    await asyncio.Event().wait()


async def value(given: str) -> str:
    await asyncio.sleep(0)
    return given


async def reason(watch: CallWatch, awaited: Coroutine[Any, Any, Any] | None = None) -> str:
    """What ended a wait."""
    with pytest.raises(Interrupted) as interrupted:
        await watch.wait(awaited or forever())
    return interrupted.value.reason


def uncancelled() -> bool:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling() == 0


# --- limits


@virtual_time
async def test_what_was_waited_for_is_given() -> None:
    watch = CallWatch(10)
    watch.limit("idle", 1)
    assert await watch.wait(value("given")) == "given"


@virtual_time
async def test_an_error_of_what_was_waited_for_passes() -> None:
    async def fail() -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await CallWatch(10).wait(fail())


@virtual_time
async def test_a_wait_ends_when_its_limit_passes() -> None:
    watch, started = CallWatch(10), now()
    watch.limit("first_byte", 2)
    assert await reason(watch) == "first_byte"
    assert now() - started == pytest.approx(2)
    assert uncancelled()


@virtual_time
async def test_a_limit_is_over_once_it_has_passed() -> None:
    watch, started = CallWatch(10), now()
    watch.limit("first_byte", 2)
    assert await reason(watch) == "first_byte"
    assert await watch.wait(value("given")) == "given"
    assert await reason(watch) == "total"
    assert now() - started == pytest.approx(10)


@virtual_time
async def test_a_limit_that_passes_outside_a_wait_interrupts_nothing() -> None:
    watch = CallWatch(10)
    watch.limit("idle", 1)
    await asyncio.sleep(2)
    assert await watch.wait(value("given")) == "given"
    assert uncancelled()


@virtual_time
async def test_a_later_limit_replaces_a_nearer_one() -> None:
    watch, started = CallWatch(10), now()
    watch.limit("first_byte", 1)
    watch.limit("idle", 4)
    assert await reason(watch) == "idle"
    assert now() - started == pytest.approx(4)


@virtual_time
async def test_a_nearer_limit_replaces_a_later_one() -> None:
    watch, started = CallWatch(10), now()
    watch.limit("idle", 4)
    watch.limit("slow_reader", 1)
    assert await reason(watch) == "slow_reader"
    assert now() - started == pytest.approx(1)


@virtual_time
async def test_moving_a_limit_on_makes_no_timer() -> None:
    loop = asyncio.get_running_loop()
    watch = CallWatch(1_000)
    watch.limit("idle", 60)
    made = []
    loop.call_at = lambda *args, **kwargs: made.append(args)  # type: ignore[assignment,method-assign]
    for _ in range(100):
        watch.limit("idle", 60.5)
        watch.limit("slow_reader", 61)
    assert made == []
    del loop.call_at  # type: ignore[method-assign]


@virtual_time
async def test_resting_leaves_only_the_total() -> None:
    watch, started = CallWatch(10), now()
    watch.limit("idle", 1)
    watch.rest()
    assert await reason(watch) == "total"
    assert now() - started == pytest.approx(10)


@virtual_time
async def test_no_limit_outlasts_the_total() -> None:
    watch = CallWatch(10)
    watch.limit("batch", 11)
    assert await reason(watch) == "total"


# --- stops


@virtual_time
async def test_the_total_ends_every_later_wait_as_well() -> None:
    watch = CallWatch(10)
    assert await reason(watch) == "total"
    started = now()
    watch.limit("idle", 5)
    assert await reason(watch) == "total"
    assert now() == started


@virtual_time
async def test_a_stop_ends_the_wait_under_way() -> None:
    watch = CallWatch(10)
    asyncio.get_running_loop().call_soon(watch.stop, "drain")
    assert await reason(watch) == "drain"
    assert uncancelled()


@virtual_time
async def test_what_a_stopped_call_would_wait_for_is_not_begun() -> None:
    begun = []

    async def begin() -> None:
        begun.append(True)

    watch = CallWatch(10)
    watch.stop("client_left")
    assert await reason(watch, begin()) == "client_left"
    assert begun == []


@virtual_time
async def test_the_first_stop_stands() -> None:
    watch = CallWatch(10)
    watch.stop("client_left")
    watch.stop("drain")
    assert await reason(watch) == "client_left"


@virtual_time
async def test_a_stop_in_the_same_moment_as_a_limit_is_what_is_told() -> None:
    watch = CallWatch(10)
    watch.limit("idle", 1)
    asyncio.get_running_loop().call_at(now() + 1, watch.stop, "client_left")
    assert await reason(watch) == "client_left"
    assert uncancelled()


@virtual_time
async def test_a_limit_in_the_same_moment_as_a_stop_changes_nothing() -> None:
    watch = CallWatch(10)
    asyncio.get_running_loop().call_at(now() + 1, watch.stop, "client_left")
    watch.limit("idle", 1)
    assert await reason(watch) == "client_left"
    assert uncancelled()


@virtual_time
async def test_a_stop_from_within_what_is_waited_for_ends_the_next_wait_and_nothing_else() -> None:
    watch = CallWatch(10)

    async def stop() -> str:
        watch.stop("drain")
        return "given"

    assert await watch.wait(stop()) == "given"
    await asyncio.sleep(0)
    assert await reason(watch) == "drain"


@virtual_time
async def test_after_resuming_there_is_time_again_and_a_new_stop() -> None:
    watch, started = CallWatch(10), now()
    watch.stop("client_left")
    watch.resume(3)
    assert await watch.wait(value("given")) == "given"
    watch.limit("usage_grace", 1)
    assert await reason(watch) == "usage_grace"
    assert await reason(watch) == "total"
    assert now() - started == pytest.approx(3)
    watch.resume(3)
    watch.stop("drain")
    assert await reason(watch) == "drain"


@virtual_time
async def test_resuming_may_give_more_time_than_there_was() -> None:
    watch, started = CallWatch(1), now()
    assert await reason(watch) == "total"
    watch.resume(60)
    watch.limit("linger", 5)
    assert await reason(watch) == "linger"
    assert await reason(watch) == "total"
    assert now() - started == pytest.approx(61)


@virtual_time
async def test_a_call_that_is_extended_is_still_stopped() -> None:
    watch, started = CallWatch(1), now()
    watch.extend(20)
    assert await reason(watch) == "total"
    assert now() - started == pytest.approx(20)
    drained = CallWatch(1)
    drained.stop("drain")
    drained.extend(20)
    assert await reason(drained) == "drain"


@pytest.mark.parametrize("stop", ["total", "drain"])
@virtual_time
async def test_last_words_are_said_after_the_time_is_up(stop: Any) -> None:
    watch = CallWatch(10)
    watch.stop(stop)
    watch.overtime(5)
    started = now()
    assert await watch.wait(value("said")) == "said"
    assert await reason(watch) == "total"
    assert now() - started == pytest.approx(5)


@virtual_time
async def test_there_are_no_last_words_for_a_client_that_left() -> None:
    watch = CallWatch(10)
    watch.stop("client_left")
    watch.overtime(5)
    assert await reason(watch) == "client_left"


@virtual_time
async def test_a_closed_watch_leaves_no_timer() -> None:
    watch = CallWatch(10)
    watch.limit("idle", 1)
    watch.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.wait(forever()), 100)


# --- other people's cancellations


@virtual_time
async def test_a_cancellation_that_is_not_ours_passes() -> None:
    task = asyncio.create_task(served_forever())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def served_forever() -> None:
    await CallWatch(100).wait(forever())


@pytest.mark.parametrize("ours_first", [True, False])
@virtual_time
async def test_when_somebody_else_cancels_in_the_same_moment_theirs_wins(ours_first: bool) -> None:
    watches: list[CallWatch] = []

    async def serve() -> None:
        watches.append(CallWatch(100))
        await watches[0].wait(forever())

    task = asyncio.create_task(serve())
    await asyncio.sleep(1)
    acts = [lambda: watches[0].stop("drain"), task.cancel]
    for act in acts if ours_first else reversed(acts):
        act()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


@virtual_time
async def test_in_a_task_that_was_cancelled_before_ours_is_still_told_apart() -> None:
    told: list[str] = []

    async def serve() -> None:
        watch = CallWatch(100)
        try:
            await watch.wait(forever())
        finally:
            watch.limit("slow_reader", 1)
            told.append(await reason(watch))

    task = asyncio.create_task(serve())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["slow_reader"]


@virtual_time
async def test_a_cancellation_while_what_was_interrupted_cleans_up_wins() -> None:
    watches: list[CallWatch] = []

    async def slow_to_end() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(5)

    async def serve() -> None:
        watches.append(CallWatch(100))
        await watches[0].wait(slow_to_end())

    task = asyncio.create_task(serve())
    await asyncio.sleep(1)
    watches[0].stop("drain")
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


@virtual_time
async def test_what_swallows_our_cancellation_has_its_value_kept_and_the_next_wait_ends() -> None:
    async def swallow() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await forever()
        return "given"

    watch = CallWatch(10)
    asyncio.get_running_loop().call_soon(watch.stop, "drain")
    assert await watch.wait(swallow()) == "given"
    assert uncancelled()
    await asyncio.sleep(0)
    assert await reason(watch) == "drain"


@virtual_time
async def test_what_answers_our_cancellation_with_an_error_has_it_passed_on() -> None:
    async def fail() -> None:
        try:
            await forever()
        finally:
            raise OSError("broken")

    watch = CallWatch(10)
    watch.limit("idle", 1)
    with pytest.raises(OSError, match="broken"):
        await watch.wait(fail())
    assert uncancelled()
    assert await watch.wait(value("given")) == "given"


@virtual_time
async def test_a_timeout_of_somebody_else_within_the_wait_is_theirs() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(1):
            await forever()

    watch = CallWatch(10)
    watch.limit("first_byte", 2)
    with pytest.raises(TimeoutError):
        await watch.wait(impatient())
    assert uncancelled()


@virtual_time
async def test_our_limit_in_the_moment_of_somebody_elses_timeout_is_ours() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(2):
            await forever()

    watch = CallWatch(10)
    watch.limit("first_byte", 2)
    with pytest.raises((Interrupted, TimeoutError)):
        await watch.wait(impatient())
    assert uncancelled()
    await asyncio.sleep(0)
    assert await watch.wait(value("given")) == "given"


@virtual_time
async def test_a_call_waits_for_one_thing_at_a_time() -> None:
    watch = CallWatch(10)
    inner = value("inner")

    async def wait_within() -> None:
        await watch.wait(inner)

    with pytest.raises(AssertionError):
        await watch.wait(wait_within())
    inner.close()


async def test_a_watch_belongs_to_a_task() -> None:
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def outside() -> None:
        try:
            CallWatch(1)
        except (AssertionError, RuntimeError) as error:
            failed.set_result(error)

    asyncio.get_running_loop().call_soon(outside)
    assert isinstance(await failed, AssertionError)


# --- uvloop: its clock ticks in milliseconds, its timers may come early, and one that is due at once is none


def on_uvloop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(test())


def test_on_uvloop_limits_and_stops_end_waits() -> None:
    async def test() -> None:
        watch = CallWatch(0.03)
        watch.limit("first_byte", 0.01)
        assert await reason(watch) == "first_byte"
        assert await reason(watch) == "total"
        watch.resume(10)
        asyncio.get_running_loop().call_soon(watch.stop, "drain")
        assert await reason(watch) == "drain"
        assert uncancelled()
        watch.close()

    on_uvloop(test)


def test_on_uvloop_a_limit_can_be_set_while_the_timer_is_due_at_once() -> None:
    async def test() -> None:
        watch = CallWatch(0.0004)
        watch.limit("idle", 0.0001)
        watch.resume(0.0002)
        watch.limit("idle", 0.0001)
        assert await reason(watch) in ("idle", "total")
        watch.close()

    on_uvloop(test)


# --- the client


class Channel:
    """ASGI's receive, whose messages are put in by the test."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __call__(self) -> dict[str, Any]:
        return await self.messages.get()


@virtual_time
async def test_a_client_that_leaves_stops_its_call() -> None:
    watch, channel = CallWatch(10), Channel()
    watching = asyncio.create_task(watch_client(channel, watch))
    channel.messages.put_nowait({"type": "http.disconnect"})
    assert await reason(watch) == "client_left"
    await watching


@virtual_time
async def test_what_else_a_server_says_is_no_leaving() -> None:
    watch, channel = CallWatch(10), Channel()
    watching = asyncio.create_task(watch_client(channel, watch))
    channel.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    watch.limit("idle", 1)
    assert await reason(watch) == "idle"
    watching.cancel()


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
