"""What every HTTP transport to providers promises (domain/seams.py), against a server that plays exact bytes: requests,
answers, and the connections that they go on. How connections come about is in test_transport_connecting.py, what a
provider may not do in test_transport_hostile.py."""

import asyncio
import gzip
import socket

import msgspec
import pytest

from helpers.raw_server import Connection, RawServer, Script, client_sockets
from helpers.transports import CHUNKED, HELLO, OK, READ_BYTES_MAX, Play, fetch, post, read_all
from helpers.until import until
from tollway.domain.errors import ProviderFault
from tollway.domain.seams import Transport
from tollway.upstream.http1.pool import IDLE_MAX

UNREAD_BYTES_MAX = 24 << 20  # what the kernel's two buffers may take (10 MB by Linux's defaults), and some of ours


# --- requests


async def test_a_request_is_sent_as_given_with_nothing_added_but_its_framing(transport: Transport) -> None:
    async with RawServer(Play(HELLO)) as server:
        await fetch(transport, post(f"{server.url}/v1/chat/completions?api-version=1", b'{"a": "\xc3\xa9"}'))
        (request,) = server.requests
    assert request.line == "POST /v1/chat/completions?api-version=1 HTTP/1.1"
    assert request.body == b'{"a": "\xc3\xa9"}'
    assert {name.lower(): value for name, value in request.headers} == {
        "host": f"127.0.0.1:{server.port}",
        "content-length": "11",
        "content-type": "application/json",
        "authorization": "Bearer k",
    }


async def test_a_large_body_arrives_whole(transport: Transport) -> None:
    body = bytes(range(256)) * 40_000
    async with RawServer(Play(HELLO)) as server:
        assert await fetch(transport, post(server.url, body)) == b"hello"
        assert server.requests[0].body == body


async def test_nagle_is_off(transport: Transport) -> None:
    async with RawServer(Play(HELLO)) as server:
        await fetch(transport, post(server.url))
        options = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for s in client_sockets(server.port)]
    assert options == [1]


async def test_cookies_are_not_kept(transport: Transport) -> None:
    async with RawServer(Play(OK + b"set-cookie: a=1\r\ncontent-length: 0\r\n\r\n")) as server:
        await fetch(transport, post(server.url))
        await fetch(transport, post(server.url))
        assert [request.header("cookie") for request in server.requests] == [None, None]


# --- heads


async def test_headers_have_lower_case_names_and_the_first_of_repeated_values(transport: Transport) -> None:
    answer = b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nX-A: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n"
    async with RawServer(Play(answer)) as server:
        response = await transport.send(post(server.url))
        response.close()
    assert response.status == 429
    assert dict(response.headers) == {"retry-after": "7", "x-a": "1", "content-length": "0"}


@pytest.mark.parametrize(
    "informational",
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 2],
)
async def test_an_informational_answer_is_passed_over(transport: Transport, informational: bytes) -> None:
    async with RawServer(Play(informational + HELLO)) as server:
        assert await fetch(transport, post(server.url)) == b"hello"
        assert await fetch(transport, post(server.url)) == b"hello"


async def test_a_redirect_is_an_answer_and_is_not_followed(transport: Transport) -> None:
    async with RawServer(Play(HELLO)) as elsewhere:
        location = f"location: {elsewhere.url}/\r\n".encode()
        async with RawServer(Play(b"HTTP/1.1 307 T\r\n" + location + b"content-length: 0\r\n\r\n")) as server:
            response = await transport.send(post(server.url))
            assert (response.status, await read_all(response)) == (307, b"")
            response.close()
        assert not elsewhere.connections


async def test_an_answer_of_http_1_0_lasts_until_the_connection_ends(transport: Transport) -> None:
    async with RawServer(Play(b"HTTP/1.0 200 OK\r\n\r\nhello", then="close")) as server:
        assert await fetch(transport, post(server.url)) == b"hello"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(OK + b"x: " + b"a" * 70_000 + b"\r\n", id="one long header"),
        pytest.param(OK + b"a" * 70_000 + b": 1\r\n", id="one long name"),
        pytest.param(OK + b"x: 1\r\n" * 5_000, id="very many headers"),
        pytest.param(b"HTTP/1.1 200 " + b"a" * 70_000 + b"\r\n", id="a long reason"),
    ],
)
async def test_a_huge_head_is_refused(transport: Transport, head: bytes) -> None:
    async with RawServer(Play(head + b"content-length: 0\r\n\r\n")) as server:
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(server.url))
        assert caught.value.outcome == "connect_failed"
        await server.connections[0].dropped.wait()


# --- bodies


@pytest.mark.parametrize(
    ("answer", "then", "body"),
    [
        pytest.param(HELLO, "keep", b"hello", id="by length"),
        pytest.param(OK + b"content-length: 0\r\n\r\n", "keep", b"", id="empty by length"),
        pytest.param(
            OK + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "keep", b"hello", id="chunked"
        ),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "keep", b"", id="empty chunked"),
        pytest.param(
            OK + b"transfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
            "keep",
            b"hello",
            id="trailers",
        ),
        pytest.param(OK + b"\r\nhello", "close", b"hello", id="until the connection ends"),
        pytest.param(OK + b"\r\n", "close", b"", id="empty until the connection ends"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "keep", b"", id="none by status"),
    ],
)
async def test_a_whole_body_is_read_to_its_end(transport: Transport, answer: bytes, then: str, body: bytes) -> None:
    async with RawServer(Play(answer, then)) as server:
        response = await transport.send(post(server.url))
        assert await read_all(response) == body
        assert await response.read() == b""
        response.close()


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"content-length: 6\r\n\r\nhello", id="a byte short"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", id="no last chunk"),
        pytest.param(CHUNKED + b"9\r\nhello", id="inside a chunk"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n", id="inside the end"),
    ],
)
async def test_a_body_that_breaks_off_is_cut_and_what_came_before_is_read(
    transport: Transport, answer: bytes, then: str
) -> None:
    gate = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer)
        await gate.wait()
        if then == "reset":
            connection.reset()

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        assert await response.read() == b"hello"
        gate.set()
        with pytest.raises(ProviderFault) as caught:
            await response.read()
        assert caught.value.outcome == "cut"
        response.close()


async def test_a_reset_is_no_end_for_a_body_that_lasts_until_the_connection_ends(transport: Transport) -> None:
    gate = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK + b"\r\nhello")
        await gate.wait()
        connection.reset()

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        assert await response.read() == b"hello"
        gate.set()
        with pytest.raises(ProviderFault) as caught:
            await response.read()
        assert caught.value.outcome == "cut"
        response.close()


async def test_bytes_that_came_before_a_cut_are_not_lost_when_they_are_read_after_it(transport: Transport) -> None:
    async with RawServer(Play(OK + b"content-length: 9\r\n\r\nhello", "close")) as server:
        response = await transport.send(post(server.url))
        for _ in range(1000):  # turns of the loop, in which a transport may notice the end before anybody reads
            await asyncio.sleep(0)
            if not any(client_sockets(server.port)):
                break
        assert await response.read() == b"hello"
        with pytest.raises(ProviderFault) as caught:
            await response.read()
        assert caught.value.outcome == "cut"
        response.close()


async def test_a_damaged_chunk_is_a_cut(transport: Transport) -> None:
    gate = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"5\r\nhello\r\n")
        await gate.wait()
        await connection.send(b"zz\r\nhello\r\n")
        await connection.wait_dropped()

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        assert await response.read() == b"hello"
        gate.set()
        with pytest.raises(ProviderFault) as caught:
            await response.read()
        assert caught.value.outcome == "cut"
        response.close()
        await server.connections[0].dropped.wait()


async def test_a_body_is_not_decoded(transport: Transport) -> None:
    packed = gzip.compress(b"hello" * 100)
    head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with RawServer(Play(head + packed)) as server:
        assert await fetch(transport, post(server.url)) == packed


async def test_bytes_are_given_as_they_come(transport: Transport) -> None:
    pieces = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
    turns: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        for _ in pieces:
            piece = await turns.get()
            await connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await connection.send(b"0\r\n\r\n")

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        for piece in pieces:
            turns.put_nowait(piece)
            assert await response.read() == piece
        assert await response.read() == b""
        response.close()


def spoken(gate: asyncio.Queue[bytes | None]) -> Script:
    """A body in chunks, each sent when it is put into `gate`; None ends it."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        while (piece := await gate.get()) is not None:
            await connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await connection.send(b"0\r\n\r\n")
        await connection.request()

    return script


async def test_what_is_pumped_is_taken_in_the_moment_it_comes_and_read_goes_on_where_it_was_left(
    transport: Transport,
) -> None:
    gate: asyncio.Queue[bytes | None] = asyncio.Queue()
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        if len(taken) < 3:
            gate.put_nowait(b"%d" % len(taken))
        return len(taken) < 3

    async with RawServer(spoken(gate)) as server:
        response = await transport.send(post(server.url))
        gate.put_nowait(b"0")
        await response.pump(take)
        assert taken == [b"0", b"1", b"2"]
        gate.put_nowait(b"more")
        assert await response.read() == b"more"
        gate.put_nowait(b"last")
        gate.put_nowait(None)
        await response.pump(lambda data: taken.append(data) is None)
        assert taken[3:] == [b"last"]
        assert await response.read() == b""
        response.close()


async def test_what_came_before_it_is_pumped_is_taken_first(transport: Transport) -> None:
    async with RawServer(Play(HELLO)) as server:
        response = await transport.send(post(server.url))
        taken: list[bytes] = []
        await response.pump(lambda data: taken.append(data) is None)
        await response.pump(lambda data: taken.append(data) is None)
        assert (b"".join(taken), await response.read()) == (b"hello", b"")
        response.close()


async def test_a_pump_ends_where_a_body_breaks_off_and_read_says_so(transport: Transport) -> None:
    async with RawServer(Play(OK + b"content-length: 9\r\n\r\nhello", "close")) as server:
        response = await transport.send(post(server.url))
        taken: list[bytes] = []
        await response.pump(lambda data: taken.append(data) is None)
        assert b"".join(taken) == b"hello"
        with pytest.raises(ProviderFault) as caught:
            await response.read()
        assert caught.value.outcome == "cut"
        response.close()


async def test_what_a_taker_raises_comes_out_and_the_rest_can_be_read(transport: Transport) -> None:
    gate: asyncio.Queue[bytes | None] = asyncio.Queue()

    def take(data: bytes) -> bool:
        raise ProviderFault("malformed", data.decode())

    async with RawServer(spoken(gate)) as server:
        response = await transport.send(post(server.url))
        pumping = asyncio.ensure_future(response.pump(take))
        await asyncio.sleep(0)
        gate.put_nowait(b"bad")
        with pytest.raises(ProviderFault, match="bad"):
            await pumping
        gate.put_nowait(b"rest")
        assert await response.read() == b"rest"
        response.close()


async def test_a_pump_that_is_cancelled_takes_nothing_more(transport: Transport) -> None:
    gate: asyncio.Queue[bytes | None] = asyncio.Queue()
    taken: list[bytes] = []
    async with RawServer(spoken(gate)) as server:
        response = await transport.send(post(server.url))
        pumping = asyncio.ensure_future(response.pump(lambda data: taken.append(data) is None))
        await asyncio.sleep(0)
        pumping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pumping
        gate.put_nowait(b"later")
        assert await response.read() == b"later"
        assert taken == []
        response.close()


async def test_a_body_that_nobody_reads_stops_at_the_socket(transport: Transport) -> None:
    piece = b"x" * (64 << 10)
    total = 64 << 20
    sent = 0
    stalled = asyncio.Event()

    async def script(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(OK + b"content-length: %d\r\n\r\n" % total)
        while sent < total:
            connection.writer.write(piece)
            sent += len(piece)
            try:
                async with asyncio.timeout(1.0):
                    await connection.writer.drain()
            except TimeoutError:
                stalled.set()
                await connection.writer.drain()
        stalled.set()
        await connection.request()

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        await stalled.wait()
        assert sent < UNREAD_BYTES_MAX
        received = 0
        while data := await response.read():
            assert len(data) <= READ_BYTES_MAX
            received += len(data)
        response.close()
    assert received == total


# --- failures before an answer


@pytest.mark.parametrize(
    ("sent", "then"),
    [
        (b"", "close"),
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\nx: 1", "close"),
        (b"HTTP/1.1 2", "reset"),
        (b"SSH-2.0\r\n", "keep"),
    ],
)
async def test_no_readable_head_is_a_failed_connection(transport: Transport, sent: bytes, then: str) -> None:
    async with RawServer(Play(sent, then)) as server:
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(server.url))
    assert caught.value.outcome == "connect_failed"
    assert "reused" not in caught.value.detail


async def test_a_refused_connection(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ProviderFault) as caught:
        await transport.send(post(f"http://127.0.0.1:{port}"))
    assert caught.value.outcome == "connect_failed"


@pytest.mark.parametrize(
    "url", [f"http://{'a' * 70}.example", "http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999/"]
)
async def test_a_url_that_leads_nowhere(transport: Transport, url: str) -> None:
    with pytest.raises(ProviderFault) as caught:
        await transport.send(post(url))
    assert caught.value.outcome == "connect_failed"


async def test_connecting_is_limited_together_with_tls(transport: Transport) -> None:
    async with RawServer(Connection.wait_dropped) as server:
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(f"https://127.0.0.1:{server.port}", connect_timeout=0.1))
        assert caught.value.outcome == "connect_failed"
        await server.connections[0].dropped.wait()


async def test_only_connecting_is_limited_not_the_wait_for_an_answer(transport: Transport) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await asyncio.sleep(0.3)
        await connection.send(HELLO)

    async with RawServer(script) as server:
        assert await fetch(transport, post(server.url, connect_timeout=0.1)) == b"hello"


# --- what the provider may have seen


class Sent:
    """Whether a request went out, as its sender is told."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def test_it_is_said_that_a_request_goes_out_before_a_byte_of_it_can_be_seen(transport: Transport) -> None:
    sent = Sent()
    seen: list[int] = []

    async def script(connection: Connection) -> None:
        while await connection.request():
            seen.append(sent.times)
            await connection.send(HELLO)

    async with RawServer(script) as server:
        for _ in range(2):
            response = await transport.send(post(server.url), sent)
            assert await read_all(response) == b"hello"
            response.close()
        assert len(server.connections) == 1
    assert seen == [1, 2]


async def test_nothing_was_sent_when_there_was_no_connection(transport: Transport) -> None:
    sent = Sent()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with RawServer(Play(HELLO)) as server:
        for url in (f"http://127.0.0.1:{port}", f"https://127.0.0.1:{server.port}", "ftp://127.0.0.1/"):
            with pytest.raises(ProviderFault):
                await transport.send(post(url, connect_timeout=0.1), sent)
    assert sent.times == 0


async def test_nothing_was_sent_by_who_gives_up_while_connecting_and_no_socket_is_left(transport: Transport) -> None:
    sent = Sent()
    async with RawServer(Connection.wait_dropped) as server:
        sending = asyncio.create_task(transport.send(post(f"https://127.0.0.1:{server.port}"), sent))
        await until(lambda: server.connections)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await server.connections[0].dropped.wait()
        await until(lambda: not any(client_sockets(server.port)))
    assert sent.times == 0


# --- connections


async def test_a_connection_is_kept_once_its_answer_was_read(transport: Transport) -> None:
    async with RawServer(Play(HELLO)) as server:
        for _ in range(3):
            assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    "answer",
    [OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello", b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
)
async def test_a_connection_that_the_provider_will_close_is_not_used_again(transport: Transport, answer: bytes) -> None:
    async with RawServer(Play(answer)) as server:
        for _ in range(2):
            assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 2


async def test_closing_before_the_end_drops_the_connection(transport: Transport) -> None:
    async with RawServer(Play(CHUNKED + b"5\r\nhello\r\n")) as server:
        response = await transport.send(post(server.url))
        assert await response.read() == b"hello"
        response.close()
        response.close()
        await server.connections[0].dropped.wait()


async def test_a_cancelled_wait_for_the_head_drops_the_connection(transport: Transport) -> None:
    arrived = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        arrived.set()
        await connection.wait_dropped()

    async with RawServer(script) as server:
        sending = asyncio.create_task(transport.send(post(server.url)))
        await arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await server.connections[0].dropped.wait()


async def test_a_cancelled_upload_drops_the_connection(transport: Transport) -> None:
    arrived = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.head()
        arrived.set()
        await connection.wait_dropped()

    async with RawServer(script) as server:
        sending = asyncio.create_task(transport.send(post(server.url, b"x" * (32 << 20))))
        await arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await server.connections[0].dropped.wait()


async def test_an_answer_may_come_before_the_request_was_read(transport: Transport) -> None:
    read = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await read.wait()
        await connection.wait_dropped()

    async with RawServer(script) as server:
        response = await transport.send(post(server.url, b"x" * (32 << 20)))
        assert (response.status, await read_all(response)) == (413, b"big")
        response.close()
        read.set()
        await server.connections[0].dropped.wait()


async def test_a_cancelled_read_can_be_closed(transport: Transport) -> None:
    async with RawServer(Play(CHUNKED)) as server:
        response = await transport.send(post(server.url))
        reading = asyncio.ensure_future(response.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        response.close()
        await server.connections[0].dropped.wait()


async def test_a_read_goes_on_after_one_that_was_cancelled(transport: Transport) -> None:
    gate = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK + b"content-length: 5\r\n\r\n")
        await gate.wait()
        await connection.send(b"hello")
        await connection.request()

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        reading = asyncio.ensure_future(response.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.set()
        assert await read_all(response) == b"hello"
        response.close()


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_request_on_a_connection_that_was_lost_is_not_sent_again(
    transport: Transport, method: str, then: str
) -> None:
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(HELLO)
        await connection.request()
        if then == "reset":
            connection.reset()

    async with RawServer(script) as server:
        assert await fetch(transport, post(server.url, method=method)) == b"hello"
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(server.url, method=method))
        assert (len(server.connections), len(server.requests)) == (1, 2)
    assert caught.value.outcome == "stale_connection"


async def test_a_request_for_a_fresh_connection_goes_on_none_that_was_used_before(transport: Transport) -> None:
    async with RawServer(Play(HELLO)) as server:
        fresh = msgspec.structs.replace(post(server.url), fresh_connection=True)
        for request in (post(server.url), fresh, fresh):
            assert await fetch(transport, request) == b"hello"
        assert [len(connection.requests) for connection in server.connections] == [1, 1, 1]


async def test_a_fresh_connection_that_is_lost_was_not_stale(transport: Transport) -> None:
    async with RawServer(Play(b"", "close")) as server:
        with pytest.raises(ProviderFault) as caught:
            await transport.send(msgspec.structs.replace(post(server.url), fresh_connection=True))
    assert caught.value.outcome == "connect_failed"


async def test_many_answers_can_be_waited_for_at_once(transport: Transport) -> None:
    count = 300
    barrier = asyncio.Barrier(count)

    async def script(connection: Connection) -> None:
        request = await connection.request()
        assert request is not None
        await barrier.wait()
        await connection.send(OK + b"content-length: %d\r\n\r\n%s" % (len(request.body), request.body))
        await connection.request()

    async with RawServer(script) as server:
        bodies = [b"%d" % i for i in range(count)]
        assert await asyncio.gather(*(fetch(transport, post(server.url, body)) for body in bodies)) == bodies
        assert len(server.connections) == count
        await until(lambda: len(list(client_sockets(server.port))) <= IDLE_MAX)


async def test_the_connection_that_was_used_last_is_used_next_so_that_the_others_grow_old(transport: Transport) -> None:
    both = asyncio.Barrier(2)

    async def script(connection: Connection) -> None:
        if await connection.request():
            await both.wait()
        await connection.send(HELLO)
        while await connection.request():
            await connection.send(HELLO)

    async with RawServer(script) as server:
        await asyncio.gather(*(fetch(transport, post(server.url)) for _ in range(2)))
        for _ in range(3):
            await fetch(transport, post(server.url))
        assert sorted(len(connection.requests) for connection in server.connections) == [1, 4]


async def test_closing_the_transport_drops_what_is_pooled_and_refuses_more(transport: Transport) -> None:
    async with RawServer(Play(HELLO)) as server:
        await fetch(transport, post(server.url))
        await transport.aclose()
        await server.connections[0].dropped.wait()
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(server.url))
    assert caught.value.outcome == "connect_failed"
    await transport.aclose()


async def test_a_transport_that_was_never_used_can_be_closed(transport: Transport) -> None:
    await transport.aclose()
    with pytest.raises(ProviderFault):
        await transport.send(post("http://127.0.0.1:9"))
