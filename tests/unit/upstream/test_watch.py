"""What ends a wait, and what goes on after it."""

import asyncio
from typing import Any

import pytest

from helpers.virtual_time import now, virtual_time
from helpers.waits import forever, reason, uncancelled, value
from tollway.upstream.watch import CallWatch

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
    watch, loop, due = CallWatch(10), asyncio.get_running_loop(), now() + 1
    watch.limit("idle", 1)
    loop.call_soon(loop.call_at, due, watch.stop, "client_left")  # behind the limit's own timer
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
