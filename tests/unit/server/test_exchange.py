"""What an application may do, and what becomes of it on the line: applications of a few lines on real sockets."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tollway.egress.reply import refusal
from tollway.server.connection import HeadLimits
from tollway.server.exchange import App
from tollway.server.listener import Bounds, Listener

BOUNDS = Bounds(connections=lambda: 100, slow_reader_s=lambda: 10.0, alarm=print)
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def connected(sock: socket.socket) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def served(app: App) -> AsyncIterator[Callable[[bytes], Any]]:
    """A way to send bytes on a connection of their own and get all that comes until its end."""
    sock = socket.create_server(("127.0.0.1", 0))

    listener = Listener.open(sock, app, lambda: HeadLimits(16_384, 10.0), refusal, BOUNDS)

    async def ask(data: bytes) -> bytes:
        async with connected(sock) as (reader, writer):
            writer.write(data)
            return await reader.read()

    try:
        yield ask
    finally:
        await listener.close(5.0)


def answering(*messages: dict[str, Any]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


CLOSE = (b"connection", b"close")


def split(answer: bytes) -> tuple[list[bytes], bytes]:
    """The head's lines without the date, and what follows."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    return [line for line in head.split(b"\r\n") if not line.startswith(b"date: ")], rest


async def test_an_answer_with_a_length_is_sent_as_it_is() -> None:
    async with served(
        answering(start(200, (b"content-length", b"5"), CLOSE), body(b"he", more=True), body(b"llo"))
    ) as ask:
        assert split(await ask(GET)) == ([b"HTTP/1.1 200 OK", b"content-length: 5", b"connection: close"], b"hello")


async def test_an_answer_without_a_length_is_sent_in_chunks() -> None:
    async with served(answering(start(200, CLOSE), body(b"he", more=True), body(b"", more=True), body(b"llo"))) as ask:
        lines, rest = split(await ask(GET))
    assert b"transfer-encoding: chunked" in lines
    assert rest == b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"


async def test_who_knows_no_chunks_gets_the_body_until_the_connection_ends() -> None:
    async with served(answering(start(), body(b"he", more=True), body(b"llo"))) as ask:
        assert split(await ask(b"GET / HTTP/1.0\r\n\r\n")) == ([b"HTTP/1.1 200 OK", b"connection: close"], b"hello")


@pytest.mark.parametrize(
    ("request_", "status", "headers"),
    [
        (b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", 200, [(b"content-length", b"5")]),
        (GET, 204, []),
        (GET, 304, [(b"etag", b"x")]),
    ],
)
async def test_what_has_no_body_is_sent_without_one(request_: bytes, status: int, headers: Any) -> None:
    data = b"hello" if request_.startswith(b"HEAD") else b""
    async with served(answering(start(status, *headers, CLOSE), body(data))) as ask:
        lines, rest = split(await ask(request_))
    assert rest == b""
    assert not [line for line in lines if line.startswith(b"transfer-encoding")]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([body(b"x")], id="a body before its head"),
        pytest.param([start(200, (b"x", b"a\r\nset-cookie: b")), body(b"x")], id="a header within a header"),
        pytest.param([start(200, (b"x", b"a\nb")), body(b"x")], id="a line feed in a header"),
        pytest.param([start(200, (b"x", b"a\0")), body(b"x")], id="a NUL in a header"),
        pytest.param([{"type": "websocket.accept"}], id="another protocol's message"),
        pytest.param([], id="nothing"),
    ],
)
async def test_an_application_that_sends_what_can_not_be_sent_is_a_clear_error(
    messages: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "tollway.server"):
        async with served(answering(*messages)) as ask:
            answer = await ask(GET)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"internal_error" in answer
    assert b"set-cookie" not in answer


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([start(200, (b"content-length", b"5")), body(b"hell")], id="too short"),
        pytest.param([start(200, (b"content-length", b"5")), body(b"he", more=True)], id="not ended"),
        pytest.param([start(200, (b"content-length", b"5"))], id="only begun"),
        pytest.param([start(), body(b"he", more=True), start()], id="begun twice"),
    ],
)
async def test_an_answer_that_is_not_ended_ends_its_connection_so_that_it_can_be_told(
    messages: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "tollway.server"):
        async with served(answering(*messages)) as ask:
            lines, rest = split(await ask(GET))
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert not rest.endswith(b"0\r\n\r\n")
    assert len(rest) < 5 or b"transfer-encoding: chunked" in lines


async def test_a_body_arrives_whole_and_after_it_the_answer_is_waited_for() -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive()) and message["type"] == "http.request":
            seen.append(message["body"])
            if not message["more_body"]:
                break
        await send(start(200, (b"content-length", b"0"), CLOSE))
        await send(body(b""))
        assert (await receive())["type"] == "http.disconnect"

    data = bytes(range(256)) * 2_000
    async with served(app) as ask:
        await ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
    assert b"".join(seen) == data


@pytest.mark.parametrize("ending", [(), (body(b""),)])
async def test_nothing_is_written_to_an_answer_that_is_over(ending: tuple[dict[str, Any], ...]) -> None:
    clients: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client = scope["extensions"]["tollway.client"]
        assert not client.write(b"too early")
        await send(start(200, CLOSE))
        await send(body(b"a", more=True))
        assert client.write(b"b")
        clients.append(client)
        for message in ending:
            await send(message)

    async with served(app) as ask:
        answer = await ask(GET)
        with pytest.raises(RuntimeError, match="behind its end"):
            clients[0].write(b"c")
    assert answer.endswith(b"1\r\na\r\n1\r\nb\r\n" + b"0\r\n\r\n" * len(ending))


async def test_a_client_that_leaves_is_told_of_once_and_nothing_is_sent_to_it() -> None:
    told: list[str] = []
    left, sent = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client = scope["extensions"]["tollway.client"]
        client.when_left(lambda: (told.append("left"), left.set()))
        await send(start())
        await send(body(b"x", more=True))
        await left.wait()
        assert client.left
        assert not client.write(b"z")
        assert (await receive())["type"] == "http.disconnect"
        await send(body(b"y"))
        sent.set()

    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener.open(sock, app, lambda: HeadLimits(16_384, 10.0), refusal, BOUNDS)
    async with connected(sock) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"x\r\n")
        writer.transport.abort()
    await asyncio.wait_for(sent.wait(), 10)
    await listener.close(5.0)
    assert told == ["left"]


async def test_a_server_that_closes_lets_an_answer_end_and_hangs_up_on_the_idle() -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"he", more=True))
        await go.wait()
        await send(body(b"llo"))

    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener.open(sock, app, lambda: HeadLimits(16_384, 10.0), refusal, BOUNDS)
    place = sock.getsockname()
    async with connected(sock) as (idle, _), connected(sock) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"he\r\n")
        closing = asyncio.create_task(listener.close(30.0))
        assert await idle.read() == b""
        go.set()
        assert await reader.read() == b"3\r\nllo\r\n0\r\n\r\n"
        await closing
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*place)


async def test_what_does_not_end_when_a_server_closes_is_cut() -> None:
    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"he", more=True))
        begun.set()
        await asyncio.Event().wait()

    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener.open(sock, app, lambda: HeadLimits(16_384, 10.0), refusal, BOUNDS)
    async with connected(sock) as (reader, writer):
        writer.write(GET)
        await begun.wait()
        await listener.close(0.05)
        lines, rest = split(await reader.read())
    assert (lines[0], rest) == (b"HTTP/1.1 200 OK", b"2\r\nhe\r\n")


async def test_requests_beyond_those_that_may_wait_are_refused_and_those_before_them_answered() -> None:
    async with served(answering(start(200, (b"content-length", b"1")), body(b"x"))) as ask:
        answer = await ask(GET * 100)
    assert answer.count(b"HTTP/1.1 200 OK") == 65
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert b"wait for their answers" in answer


async def test_a_body_in_very_many_chunks_is_refused() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with served(app) as ask:
        extended = await ask(head + b"".join(b"1;%b\r\nx\r\n" % (b"e" * 1_000) for _ in range(200)))
    assert extended.startswith(b"HTTP/1.1 400 ")
