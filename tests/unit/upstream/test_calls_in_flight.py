"""The client of a call, and all calls that are under way."""

import asyncio
from typing import Any

import pytest

from helpers.virtual_time import now, virtual_time
from helpers.waits import reason
from tollway.upstream.watch import AsgiClient, CallsInFlight, CallWatch

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
