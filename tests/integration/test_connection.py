"""What comes before a request: heads without end, heads that don't come, and bytes that are no HTTP."""

import pytest

from helpers.line import connected
from helpers.refusals import refused, unharmed
from helpers.running import chat, running

SLOW = '[server]\nslow_sender = "200ms"\n'
CHUNK = b"x" * 65_536


@pytest.mark.parametrize(
    "begin", [b"GET /healthz HTTP/1.1\r\nx: ", b"GET /", b"GET /healthz HTTP/1.1\r\n"], ids=["value", "path", "name"]
)
async def test_a_head_without_an_end_is_refused_before_it_fills_the_memory(begin: bytes) -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        async with unharmed(router, wallet), connected(router) as line:
            await line.send(begin)
            with pytest.raises(ConnectionError):  # it is hung up on while it sends, long before 64 MB have been taken
                for _ in range(1_024):
                    await line.send(CHUNK)


async def test_a_head_a_little_too_large_is_refused_in_words() -> None:
    async with running() as router, connected(router) as line:
        for piece in (b"GET /healthz HTTP/1.1\r\nx: ", b"y" * 16_000, b"y" * 1_000):
            await line.send(piece)
        refused(await line.answer(), 431, "headers_too_large", says="over 16384 bytes.")
        assert await line.rest() == b""


async def test_a_head_that_stops_is_a_408_and_the_end_of_the_connection() -> None:
    async with running(config=SLOW) as router, connected(router) as line:
        await line.send(b"GET /healthz HTTP/1.1\r\nhost:")
        answer = await line.answer()
        refused(answer, 408, "request_timeout", says="took over 0.2 seconds: send it again.")
        assert answer.headers["connection"] == "close"
        assert await line.rest() == b""


async def test_a_later_head_that_stops_is_given_up_as_well() -> None:
    async with running(config=SLOW) as router, connected(router) as line:
        await line.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await line.answer()).status_code == 200
        await line.send(b"GET /hea")
        refused(await line.answer(), 408, "request_timeout")


async def test_a_connection_on_which_nothing_is_said_is_closed_without_a_word() -> None:
    async with running(config=SLOW) as router, connected(router) as line:
        assert await line.rest() == b""


async def test_a_head_in_pieces_is_read() -> None:
    async with running() as router, connected(router) as line:
        for byte in b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n":
            await line.send(bytes([byte]))
        assert (await line.answer()).json() == {"status": "ok"}


async def test_requests_that_come_at_once_are_answered_in_order() -> None:
    async with running() as router, connected(router) as line:
        paths = [b"/healthz", b"/readyz", b"/v1/session/nonce", b"/healthz"]
        await line.send(b"".join(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path for path in paths))
        answers = [(await line.answer()).json() for _ in paths]
        assert answers[0] == answers[3] == {"status": "ok"}
        assert answers[1] == {"status": "ready"}
        assert "nonce" in answers[2]


async def test_a_large_body_before_the_next_head_does_not_count_as_head() -> None:
    async with running() as router, connected(router) as line:
        body = b"x" * 50_000
        head = b"POST /v1/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        await line.send(head + body + b"GET /healthz HT")
        refused(await line.answer(), 404, "unsupported_endpoint")
        await line.send(b"TP/1.1\r\nhost: x\r\n\r\n")
        assert (await line.answer()).status_code == 200


NO_HTTP = {
    "not HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a path of other bytes": b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\nhost\r\n\r\n",
    "a blank in a header's name": b"GET /healthz HTTP/1.1\r\nx y: z\r\n\r\n",
    "a length that is no number": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
    "a negative length": b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    "a length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("case", NO_HTTP)
async def test_what_is_no_http_is_told_so_and_hung_up_on(case: str) -> None:
    async with running() as router:
        async with connected(router) as line:
            await line.send(NO_HTTP[case])
            refused(await line.answer(), 400, "invalid_request", says="no valid HTTP/1.1 request")
            assert await line.rest() == b""
        assert (await router.post(await router.wallet("1.00"), chat())).status_code == 200


async def test_chunks_that_are_none_end_the_request_without_a_charge() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        async with unharmed(router, wallet), connected(router) as line:
            lines = {**router.headers(wallet), "host": "x", "transfer-encoding": "chunked"}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            await line.send(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\nzz\r\n".encode())
            refused(await line.answer(), 400, "invalid_request", says="no valid HTTP/1.1 request")
            assert await line.rest() == b""
            assert await router.router.services.pipeline.idle(10.0)
