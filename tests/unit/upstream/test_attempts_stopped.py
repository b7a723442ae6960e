"""Calls that are stopped in the middle of an attempt, whether a provider is at work then, and what is recorded."""

import asyncio
from typing import Any

import msgspec
import pytest

from helpers.attempting import TIMEOUTS, Bench, at, candidate, failure, fault
from helpers.scripted import (
    DONE,
    ROLE,
    SILENCE,
    UNCONNECTED,
    USAGE,
    ScriptedResponse,
    anew,
    chunk,
    event,
)
from helpers.virtual_time import virtual_time
from tollway.domain.answer import Reading
from tollway.domain.errors import (
    ProviderFault,
)
from tollway.upstream.attempts import OpenStream
from tollway.upstream.dialects.openai_openai import ChunkReader
from tollway.upstream.turns import RETRY_PAUSE_S

# --- calls that are stopped: is a provider at work?


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_a_call_that_was_stopped_before_anything_was_sent_asked_nobody(how: str) -> None:
    bench = Bench(a=[])
    bench.watch.stop("client_left")
    assert await bench.interrupted(how) == "client_left"
    assert (bench.trail.asking, bench.transport.asked, bench.outcomes) == (None, [], [])


@pytest.mark.parametrize("first", [SILENCE, ScriptedResponse(SILENCE)])
@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_a_client_that_leaves_a_provider_at_work_is_told_from_one_that_does_not(how: str, first: Any) -> None:
    bench = Bench(a=[fault()], b=[anew(first)])
    at(5, bench.watch.stop, "client_left")
    assert await bench.interrupted(how) == "client_left"
    assert bench.trail.asking == bench.plan.candidates[1]
    assert bench.outcomes == [("a", "connect_failed"), ("b", "cancelled")]
    assert bench.trail.attempts[1].duration_ms == 5_000


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_a_client_that_leaves_while_a_provider_is_connected_to_leaves_nobody_at_work(how: str) -> None:
    bench = Bench(a=[UNCONNECTED])
    at(3, bench.watch.stop, "client_left")
    assert await bench.interrupted(how) == "client_left"
    assert (bench.trail.asking, bench.outcomes, bench.transport.dropped) == (None, [], 1)


@virtual_time
async def test_a_client_that_leaves_between_two_attempts_leaves_nobody_at_work() -> None:
    bench = Bench(a=[failure(500)])
    at(RETRY_PAUSE_S[0] / 2, bench.watch.stop, "client_left")
    assert await bench.interrupted("open") == "client_left"
    assert (bench.trail.asking, bench.outcomes) == (None, [("a", "server_error")])


@virtual_time
async def test_a_client_that_leaves_while_a_provider_is_waited_for_leaves_nobody_at_work() -> None:
    bench = Bench(a=[failure(429, retry_after="5")])
    at(2, bench.watch.stop, "client_left")
    assert await bench.interrupted("open") == "client_left"
    assert bench.trail.asking is None


@virtual_time
async def test_a_client_that_leaves_while_an_error_is_read_leaves_nobody_at_work() -> None:
    bench = Bench(a=[ScriptedResponse(SILENCE, status=500)], b=[])
    at(2, bench.watch.stop, "client_left")
    assert await bench.interrupted("open") == "client_left"
    assert (bench.trail.asking, bench.outcomes) == (None, [("a", "server_error")])


@virtual_time
async def test_the_calls_total_is_no_fault_of_the_provider() -> None:
    slow = msgspec.structs.replace(TIMEOUTS, batch=1_000)
    bench = Bench(msgspec.structs.replace(candidate("a"), timeouts=slow), a=[SILENCE])
    assert await bench.interrupted() == "total"
    assert bench.outcomes == [("a", "cancelled")]


@pytest.mark.parametrize("first", [SILENCE, ScriptedResponse(SILENCE), ScriptedResponse(SILENCE, status=500)])
@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_a_task_that_is_cancelled_leaves_nothing_open(how: str, first: Any) -> None:
    benches: list[Bench] = []

    async def serve() -> None:
        benches.append(Bench(a=[anew(first)]))
        await getattr(benches[0], how)()

    task = asyncio.create_task(serve())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert benches[0].transport.leaks() == []


# --- the record of a stream


def read(text: str) -> Reading:
    reading = Reading(1)
    reader = ChunkReader()
    for part in reader.feed(chunk(text)):
        reading.note(part)
    return reading


async def opened() -> tuple[Bench, OpenStream]:
    """A stream whose first token took 2 s."""
    bench = Bench(a=[ScriptedResponse(chunk("a"), chunk("b"))])
    send = bench.transport.send

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(2)
        return await send(*arguments)

    bench.transport.send = slowly  # type: ignore[method-assign]
    return bench, await bench.open()


@virtual_time
async def test_a_whole_stream_is_recorded_with_its_pace() -> None:
    bench, stream = await opened()
    await asyncio.sleep(4)
    record = bench.attempts.ended(stream, None, read("x" * 160), whole=True)
    assert (record.outcome, record.first_token_ms, record.duration_ms, record.tokens_per_s) == ("ok", 2_000, 6_000, 10)
    assert bench.observer.attempts == [(record, "")]
    stream.close()
    assert bench.transport.leaks() == []


@virtual_time
async def test_a_stream_that_broke_is_recorded_with_its_fault() -> None:
    bench, stream = await opened()
    record = bench.attempts.ended(stream, ProviderFault("idle_timeout", "silent"), read("x"), whole=False)
    assert (record.outcome, record.tokens_per_s) == ("idle_timeout", None)
    assert bench.observer.attempts == [(record, "silent")]


@virtual_time
async def test_a_stream_that_we_gave_up_is_recorded_as_cancelled() -> None:
    bench, stream = await opened()
    assert bench.attempts.ended(stream, None, read("x"), whole=False).outcome == "cancelled"


def test_an_event_is_what_the_helpers_make() -> None:
    """The scripts of this file say what OpenAI says."""
    reader = ChunkReader()
    events = reader.feed(ROLE + chunk("hi") + chunk(finish="stop") + USAGE + DONE + event("{}"))
    assert [part.tokens for part in events] == [False, True, False, False]
    assert [bool(part.finished) for part in events] == [False, False, True, False]
    assert reader.done
