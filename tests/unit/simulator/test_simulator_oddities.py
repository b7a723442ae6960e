"""Faults of the head, the coding and the end of an answer, as a client meets them, and what the log says of each."""

import asyncio
import gzip
import zlib

import pytest

from helpers.simulated import Reply, ask, chat_body, read_chunk, read_head, read_reply, request_bytes
from tollway.simulator import Attempt, Simulator, expected_text

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])


def last(sim: Simulator) -> Attempt:
    return sim.log[-1]


def said(reply: Reply, stream: bool) -> str:
    return reply.text() if stream else reply.json()["choices"][0]["message"]["content"]


async def connect(sim: Simulator, spec: str, *, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which one request has been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body(f"sim?{spec}", stream=stream)))
    return reader, writer


@BOTH
async def test_half_a_head_is_all_that_comes(sim: Simulator, stream: bool) -> None:
    reader, writer = await connect(sim, "fault=half_head", stream=stream)
    assert (await reader.read(17)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert last(sim).ended == "half_head"
    writer.close()
    await sim.idle()
    assert (last(sim).status, last(sim).prompt_tokens, last(sim).client_closed) == (None, 0, True)
    assert b"\r\n\r\n" not in await reader.read()


@BOTH
async def test_a_slow_head_comes_byte_by_byte(sim: Simulator, stream: bool) -> None:
    reader, writer = await connect(sim, "fault=slow_head", stream=stream)
    assert await reader.read(100) == b"H"
    assert await reader.read(100) == b"T"
    assert last(sim).ended == "open"
    writer.close()
    await sim.idle()
    assert last(sim).ended == "client_closed"


@BOTH
async def test_a_slow_head_is_whole_in_the_end(sim: Simulator, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollway.simulator.script.SLOW_BYTE_S", 0.0)
    assert said(await ask(sim, "n=5&fault=slow_head", stream=stream), stream) == expected_text(5)
    assert last(sim).ended == "slow_head"


@BOTH
async def test_interim_answers_come_before_the_answer(sim: Simulator, stream: bool) -> None:
    reader, writer = await connect(sim, "n=5&fault=interim", stream=stream)
    assert [(await read_head(reader)).status for _ in range(2)] == [100, 103]
    reply = await read_reply(reader)
    assert (reply.status, said(reply, stream)) == (200, expected_text(5))
    assert last(sim).ended == "interim"
    writer.close()


@pytest.mark.parametrize("chunked", ["on", "off"])
async def test_a_stream_can_be_compressed_without_being_asked_to(sim: Simulator, chunked: str) -> None:
    reply = await ask(sim, f"n=5&fault=gzip&chunked={chunked}", stream=True)
    assert reply.headers["content-encoding"] == "gzip"
    reply.chunks = [gzip.decompress(reply.body)]
    assert reply.text() == expected_text(5)
    assert last(sim).ended == "gzip"


async def test_what_came_of_a_compressed_stream_can_be_read_at_once(sim: Simulator) -> None:
    sim.step("z", 2)
    reader, writer = await connect(sim, "n=5&fault=gzip&lockstep=z", stream=True)
    await read_head(reader)
    plain = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    assert b'"role"' in plain.decompress(await read_chunk(reader))
    assert b'"content"' in plain.decompress(await read_chunk(reader))
    writer.close()


async def test_a_batch_answer_can_be_compressed_without_being_asked_to(sim: Simulator) -> None:
    reply = await ask(sim, "n=5&fault=gzip")
    assert (reply.complete, reply.headers["content-encoding"]) == (True, "gzip")
    reply.chunks = [gzip.decompress(reply.body)]
    assert said(reply, False) == expected_text(5)
    assert last(sim).ended == "gzip"


@BOTH
async def test_text_that_is_no_utf_8_stands_in_json_that_is_whole(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "n=5&fault=not_utf8@2", stream=stream)
    assert reply.body.count(b"\xff") == 1
    assert b'"content":"\xff' in reply.body
    reply.chunks = [reply.body.replace(b"\xff", b"")]
    assert said(reply, stream) == expected_text(5)
    assert last(sim).ended == "not_utf8"


async def test_an_event_without_text_can_be_no_utf_8_either(sim: Simulator) -> None:
    assert b'"id":"\xff' in (await ask(sim, "n=5&fault=not_utf8@6", stream=True)).body
    assert b"data: [DONE]\xff" in (await ask(sim, "n=5&fault=not_utf8@7", stream=True)).body


@BOTH
async def test_an_answer_that_nobody_asked_for_follows_the_one_that_was(sim: Simulator, stream: bool) -> None:
    reader, writer = await connect(sim, "n=5&fault=surplus", stream=stream)
    assert said(await read_reply(reader), stream) == expected_text(5)
    assert (await read_reply(reader)).status == 500
    assert (len(sim.log), last(sim).ended) == (1, "surplus")
    writer.close()


@BOTH
async def test_a_connection_that_was_to_be_kept_is_closed(sim: Simulator, stream: bool) -> None:
    reader, writer = await connect(sim, "n=5&fault=hangup", stream=stream)
    reply = await read_reply(reader)
    assert (said(reply, stream), reply.headers.get("connection")) == (expected_text(5), None)
    assert await reader.read() == b""
    assert last(sim).ended == "hangup"
    writer.close()


@BOTH
@pytest.mark.parametrize("fault", ["gzip", "surplus", "hangup"])
async def test_a_split_cuts_these_as_well(sim: Simulator, fault: str, stream: bool) -> None:
    reply = await ask(sim, f"n=5&fault={fault}&split=3", stream=stream)
    reply.chunks = [gzip.decompress(reply.body) if fault == "gzip" else reply.body]
    assert said(reply, stream) == expected_text(5)
    assert last(sim).ended == fault
