"""Whose cancellation it was that ended a wait, and what is left of it: in virtual time, and on uvloop."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from helpers.virtual_time import virtual_time
from helpers.waits import forever, reason, uncancelled, value
from tollway.domain.waiting import Interrupted
from tollway.upstream.watch import CallWatch

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
