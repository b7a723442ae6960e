"""What a provider may not do to a transport, by accident or on purpose: an answer is what its framing says or none, and
a connection on which anything else was heard serves nobody else."""

import asyncio
import os
import socket

import pytest

from helpers.raw_server import Connection, RawServer
from helpers.transports import CHUNKED, HELLO, OK, Play, fetch, post, read_all
from helpers.until import still
from tollway.domain.errors import ProviderFault
from tollway.domain.seams import Transport
from tollway.upstream.http1.response import Response
from tollway.upstream.http1.transport import Http1Transport

UNREADABLE_HEADS = {
    "a length and chunks": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "one length twice": OK + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "a list of lengths": OK + b"content-length: 5, 5\r\n\r\nhello",
    "a signed length": OK + b"content-length: +5\r\n\r\nhello",
    "a negative length": OK + b"content-length: -5\r\n\r\nhello",
    "a hexadecimal length": OK + b"content-length: 0x5\r\n\r\nhello",
    "an empty length": OK + b"content-length:\r\n\r\nhello",
    "a length beyond 64 bits": OK + b"content-length: 99999999999999999999\r\n\r\nhello",
    "a space before the colon": OK + b"content-length : 5\r\n\r\nhello",
    "a coding before chunks": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding after chunks": OK + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks twice": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding alone": OK + b"transfer-encoding: gzip\r\n\r\nhello",
    "nearly chunks": OK + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a folded header": OK + b"x: a\r\n b\r\ncontent-length: 5\r\n\r\nhello",
    "a folded length": OK + b"content-length: 5\r\n 0\r\n\r\nhello",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello",
    "bare LF after a header": OK + b"x: 1\ncontent-length: 5\r\n\r\nhello",
    "bare CR": OK + b"x: 1\rcontent-length: 5\r\n\r\nhello",
    "NUL in a value": OK + b"x: a\0b\r\ncontent-length: 5\r\n\r\nhello",
    "a control character in a value": OK + b"x: a\x01b\r\ncontent-length: 5\r\n\r\nhello",
    "a space in a name": OK + b"x y: 1\r\ncontent-length: 5\r\n\r\nhello",
    "a byte that is no token in a name": OK + b"x\xff: 1\r\ncontent-length: 5\r\n\r\nhello",
    "no name": OK + b": 1\r\ncontent-length: 5\r\n\r\nhello",
    "no colon": OK + b"xyz\r\ncontent-length: 5\r\n\r\nhello",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/2 by name": b"HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/0.9 by name": b"HTTP/0.9 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2's settings": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "another protocol": b"RTSP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "an empty line first": b"\r\n" + HELLO,
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nhello",
    "a switch that names none": b"HTTP/1.1 101 Switching\r\n\r\nhello",
    "informational answers without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + HELLO,
    "one informational answer without end": b"HTTP/1.1 103 Early Hints\r\n" + b"x: 1\r\n" * 20_000,
    "a head beyond its limit": OK + b"".join(b"x%d: %s\r\n" % (i, b"a" * 1000) for i in range(100)) + b"\r\n",
    "129 headers": OK + b"".join(b"x%d: 1\r\n" % i for i in range(128)) + b"content-length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", UNREADABLE_HEADS.values(), ids=UNREADABLE_HEADS)
async def test_an_answer_that_is_not_plainly_framed_is_none_and_its_connection_is_dropped(
    transport: Transport, answer: bytes
) -> None:
    async with RawServer(Play(answer)) as server:
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(server.url))
        assert caught.value.outcome == "connect_failed"
        await server.connections[0].dropped.wait()


async def test_a_damaged_head_is_refused_also_byte_by_byte(transport: Transport) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        for byte in OK + b"content-length: 5\r\nx: 1\n":
            connection.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await connection.wait_dropped()

    async with RawServer(script) as server:
        with pytest.raises(ProviderFault):
            await transport.send(post(server.url))
        await server.connections[0].dropped.wait()


async def test_a_sound_answer_is_read_byte_by_byte(transport: Transport) -> None:
    async def script(connection: Connection) -> None:
        while await connection.request():
            for byte in b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"5;a=b\r\nhello\r\n0\r\nx: 1\r\n\r\n":
                connection.writer.write(bytes([byte]))
                await asyncio.sleep(0)

    async with RawServer(script) as server:
        for _ in range(2):
            assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 1


DAMAGED_BODIES = {
    "no chunk size": b"\r\nhello\r\n",
    "a chunk size that overflows": b"fffffffffffffffff\r\nhello\r\n",
    "a negative chunk size": b"-5\r\nhello\r\n",
    "a hexadecimal prefix": b"0x5\r\nhello\r\n",
    "a space after the size": b"5 \r\nhello\r\n",
    "bare LF after the size": b"5\nhello\r\n",
    "bare LF after an extension": b"5;a=b\nhello\r\n",
    "no line end after a chunk": b"5\r\nhelloX\r\n",
    "an extension without end": b"5;" + b"a" * 300_000,
    "sizes of zeros without end": b"0" * 300_000,
    "a trailer without end": b"0\r\nx: " + b"a" * 300_000,
    "trailers without end": b"0\r\n" + b"x: 1\r\n" * 60_000,
    "a length among the trailers": b"0\r\ncontent-length: 5\r\n\r\n",
}


@pytest.mark.parametrize("damage", DAMAGED_BODIES.values(), ids=DAMAGED_BODIES)
async def test_a_body_whose_framing_breaks_is_cut_after_what_came_before(transport: Transport, damage: bytes) -> None:
    gate = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"5\r\nfirst\r\n")
        await gate.wait()
        connection.writer.write(damage)
        await connection.wait_dropped()

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        assert await response.read() == b"first"
        gate.set()
        with pytest.raises(ProviderFault) as caught:
            await read_all(response)
        assert caught.value.outcome == "cut"
        response.close()
        await server.connections[0].dropped.wait()


async def test_many_small_extensions_are_no_flood_while_a_body_comes(transport: Transport) -> None:
    body = b"1;a=%s\r\nx\r\n" % (b"b" * 50) * 5_000
    async with RawServer(Play(CHUNKED + body + b"0\r\n\r\n")) as server:
        assert await fetch(transport, post(server.url)) == b"x" * 5_000


async def test_a_body_of_tiny_chunks_stops_at_the_socket_when_nobody_reads(transport: Transport) -> None:
    chunks = 300_000
    async with RawServer(Play(CHUNKED + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")) as server:
        response = await transport.send(post(server.url))
        assert isinstance(response, Response)
        await still(lambda: len(response.parts), 0.05)
        assert len(response.parts) < 50_000  # those of one read of the socket
        assert len(await read_all(response)) == chunks
        response.close()


# --- what comes beside an answer


@pytest.mark.parametrize(
    "beside",
    [b"x", HELLO, b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["a byte", "another answer", "half an answer", "an informational answer"],
)
@pytest.mark.parametrize(
    "whole",
    [HELLO, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", HELLO.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)],
    ids=["by length", "chunked", "the last"],
)
async def test_what_follows_an_answer_is_never_the_answer_to_another_request(
    transport: Transport, whole: bytes, beside: bytes
) -> None:
    async with RawServer(Play(whole + beside)) as server:
        for _ in range(2):
            assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 2
        await server.connections[0].dropped.wait()


async def test_what_comes_on_an_idle_connection_is_never_the_answer_to_another_request(transport: Transport) -> None:
    gate = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(HELLO)
        await gate.wait()
        await connection.send(HELLO.replace(b"hello", b"wrong"))
        await connection.wait_dropped()

    async with RawServer(script) as server:
        assert await fetch(transport, post(server.url)) == b"hello"
        gate.set()
        await server.connections[0].dropped.wait()
        assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 2


@pytest.mark.parametrize("what", ["its end", "bytes"])
async def test_what_came_on_an_idle_connection_is_noticed_before_the_next_turn_of_the_loop(
    transport: Transport, what: str
) -> None:
    async with RawServer(Play(HELLO)) as server:
        assert await fetch(transport, post(server.url)) == b"hello"
        with socket.socket(fileno=os.dup(server.connections[0].writer.get_extra_info("socket").fileno())) as theirs:
            if what == "bytes":
                theirs.send(HELLO.replace(b"hello", b"wrong"))
            else:
                theirs.shutdown(socket.SHUT_RDWR)
        assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 2


async def test_a_provider_that_says_no_more_while_a_request_goes_out_is_not_waited_for(transport: Transport) -> None:
    answered = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.head()
        connection.writer.write_eof()
        await answered.wait()  # the rest of the request is not read

    async with RawServer(script) as server:
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(server.url, b"x" * (32 << 20)))
        answered.set()
    assert caught.value.outcome == "connect_failed"
    assert caught.value.detail.startswith("reset before an answer")


# --- answers without a body, and connections that say how long they last


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
async def test_an_answer_that_has_no_body_by_its_status_has_none(transport: Transport, head: bytes) -> None:
    async with RawServer(Play(head)) as server:
        for _ in range(2):
            assert await fetch(transport, post(server.url)) == b""
        assert len(server.connections) == 1


@pytest.mark.parametrize("framing", [b"content-length: 5", b"transfer-encoding: chunked", b"x: 1"])
@pytest.mark.parametrize("body", [b"", b"hello"])
async def test_the_answer_to_head_has_no_body_whatever_it_says(
    transport: Transport, framing: bytes, body: bytes
) -> None:
    async with RawServer(Play(OK + framing + b"\r\n\r\n" + body)) as server:
        for _ in range(2):
            assert await fetch(transport, post(server.url, b"", method="HEAD")) == b""
        assert len(server.connections) == 2


async def test_a_provider_that_soon_closes_idle_connections_is_not_raced() -> None:
    async with RawServer(Play(OK + b"Keep-Alive: max=100, timeout=1\r\ncontent-length: 5\r\n\r\nhello")) as server:
        transport = Http1Transport()
        for _ in range(2):
            assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 2
        await transport.aclose()


async def test_a_connection_that_nobody_needs_is_let_go_of() -> None:
    async with RawServer(Play(HELLO)) as server:
        transport = Http1Transport(keep_alive_s=0.05)
        assert await fetch(transport, post(server.url)) == b"hello"
        await server.connections[0].dropped.wait()
        await transport.aclose()


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("POST", "http://127.0.0.1:1/a b", ()),
        ("POST", "http://127.0.0.1:1/\r\nx: 1", ()),
        ("POST", "http://user:secret@127.0.0.1:1/", ()),
        ("PO ST", "http://127.0.0.1:1/", ()),
        ("CONNECT", "http://127.0.0.1:1/", ()),
        ("POST", "http://127.0.0.1:1/", (("x", "a\r\ny: secret"),)),
        ("POST", "http://127.0.0.1:1/", (("x", "a\0secret"),)),
        ("POST", "http://127.0.0.1:1/", (("x y", "secret"),)),
        ("POST", "http://127.0.0.1:1/", (("content-length", "9"),)),
        ("POST", "http://127.0.0.1:1/", (("Transfer-Encoding", "chunked"),)),
    ],
)
async def test_a_request_that_would_break_its_own_framing_is_not_sent(
    transport: Transport, method: str, url: str, headers: tuple[tuple[str, str], ...]
) -> None:
    request = post(url)
    with pytest.raises(ProviderFault) as caught:
        await transport.send(type(request)(method=method, url=url, headers=headers, body=b"", connect_timeout=1.0))
    assert caught.value.outcome == "connect_failed"
    assert "secret" not in caught.value.detail
