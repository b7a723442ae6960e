"""Every odd way in which a good stream can come over the wire: the same events, other bytes."""

import json

import pytest

from helpers.simulated import ask, chat_body, request_bytes, send
from tollway.simulator import Simulator, expected_text

PLAIN = "n=20&usage=final"
ODD = [
    "crlf=on",
    "comments=on",
    "bom=on",
    "ids=on",
    "multiline=on",
    "split=1",
    "split=7",
    "split=char",
    "burst=5",
    "burst=1000",
    "chunked=off",
    "crlf=on&comments=on&bom=on&ids=on&multiline=on&split=3&burst=2",
]


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_stream_carries_the_same_events(sim: Simulator, odd: str) -> None:
    plain, reply = await ask(sim, PLAIN, stream=True), await ask(sim, f"{PLAIN}&{odd}", stream=True)
    assert reply.complete
    assert reply.text() == expected_text(20)
    assert [event["choices"] for event in reply.chunk_objects()] == [
        event["choices"] for event in plain.chunk_objects()
    ]
    assert reply.payloads()[-1] == "[DONE]"
    assert sim.log[-1].events == sim.log[-2].events == 24


async def test_crlf_ends_every_line(sim: Simulator) -> None:
    body = (await ask(sim, "crlf=on", stream=True)).body
    assert body.count(b"\n") == body.count(b"\r\n") > 0


async def test_comments_stand_before_every_event(sim: Simulator) -> None:
    events = (await ask(sim, "n=2&comments=on", stream=True)).body.decode().split("\n\n")
    assert [event[:1] for event in events[:-1]] == [":", "d"] * 5


async def test_a_byte_order_mark_opens_the_stream_once(sim: Simulator) -> None:
    body = (await ask(sim, "bom=on", stream=True)).body
    assert body.startswith(b"\xef\xbb\xbfdata: ")
    assert body.count(b"\xef\xbb\xbf") == 1


async def test_ids_name_and_number_every_event(sim: Simulator) -> None:
    body = (await ask(sim, "n=2&ids=on", stream=True)).body
    assert body.count(b"event: completion\n") == body.count(b"retry: 1000\n") == 5
    assert body.count(b"\nid: 4\n") == 1


async def test_multiline_data_is_one_json_object_over_several_lines(sim: Simulator) -> None:
    reply = await ask(sim, "n=1&multiline=on", stream=True)
    first = reply.body.split(b"\n\n")[0]
    assert first.count(b"data: ") == 3
    assert reply.payloads()[0].count("\n") == 2


async def test_done_can_be_missing(sim: Simulator) -> None:
    reply = await ask(sim, "done=off", stream=True)
    assert reply.complete
    assert "[DONE]" not in reply.payloads()
    assert reply.finishes() == ["stop"]


async def test_split_bounds_every_write(sim: Simulator) -> None:
    reply = await ask(sim, "n=3&split=7", stream=True)
    assert max(map(len, reply.chunks)) == 7


async def test_split_char_cuts_inside_each_character(sim: Simulator) -> None:
    reply = await ask(sim, "text=a%C3%A9b%E6%B0%B4&split=char", stream=True)
    cut = [chunk for chunk in reply.chunks if chunk[-1] >= 0xC0]
    assert len(cut) == 2
    assert reply.text() == "aéb水"


async def test_burst_puts_events_into_one_write(sim: Simulator) -> None:
    reply = await ask(sim, "n=6&burst=4", stream=True)
    assert [chunk.count(b"data: ") for chunk in reply.chunks] == [4, 4, 1]


async def test_a_batch_body_is_split_too(sim: Simulator) -> None:
    for split in ("7", "char"):
        reply = await ask(sim, f"n=9&split={split}")
        assert reply.json()["choices"][0]["message"]["content"] == expected_text(9)


async def test_without_chunks_the_body_ends_with_the_connection(sim: Simulator) -> None:
    reply = await ask(sim, "chunked=off", stream=True)
    assert "transfer-encoding" not in reply.headers
    assert reply.headers["connection"] == "close"


async def test_an_http_1_0_client_gets_no_chunks(sim: Simulator) -> None:
    reply = await send(sim, request_bytes(chat_body("sim", stream=True), version="1.0"))
    assert "transfer-encoding" not in reply.headers
    assert reply.text() == expected_text(16)
    batch = await send(sim, request_bytes(chat_body("sim"), version="1.0"))
    assert json.loads(batch.body)["object"] == "chat.completion"
    assert batch.headers["connection"] == "close"


async def test_headers_are_those_of_a_provider(sim: Simulator) -> None:
    reply = await ask(sim)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    assert reply.headers["date"].endswith(" GMT")
