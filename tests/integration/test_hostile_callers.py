"""Callers who mean harm, or whose HTTP is from another time: one request is never taken for two, nor two for one.

Where it is in doubt where a request ends, it is refused in words and the connection is closed; whatever came whole
before it has its answer first. Nothing of it reaches a provider, and nothing is held or charged.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from helpers.line import BODY, CHUNKED, CHUNKS, GET, LENGTH, connected, head
from helpers.refusals import refused, unharmed
from helpers.running import Running, running
from helpers.settled import check_books
from helpers.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = len(BODY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    async with running() as router:
        yield router


async def all_answered_or_over(router: Running) -> None:
    assert await router.router.services.pipeline.idle(10.0)
    await check_books(router)


# --- where does it end? What follows a chat request's head; the parts that frame it are in doubt.

UNFRAMED = {
    "a length and chunks": LENGTH + CHUNKED + b"\r\n" + CHUNKS,
    "chunks and a length": CHUNKED + LENGTH + b"\r\n" + CHUNKS,
    "chunks and another coding after": CHUNKED + b"transfer-encoding: identity\r\n\r\n" + CHUNKS,
    "chunks twice": CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
    "chunks twice in one line": b"transfer-encoding: chunked, chunked\r\n\r\n" + CHUNKS,
    "chunks not last": b"transfer-encoding: chunked, identity\r\n\r\n" + CHUNKS,
    "chunks of a compressed body": b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "a coding like chunks": b"transfer-encoding: xchunked\r\n\r\n" + CHUNKS,
    "a quoted coding": b'transfer-encoding: "chunked"\r\n\r\n' + CHUNKS,
    "a coding behind a vertical tab": b"transfer-encoding: \x0bchunked\r\n\r\n" + CHUNKS,
    "a coding on a folded line": b"transfer-encoding:\r\n chunked\r\n\r\n" + CHUNKS,
    "a blank before the colon": b"transfer-encoding : chunked\r\n\r\n" + CHUNKS,
    "no coding at all": b"transfer-encoding: identity\r\n\r\n" + CHUNKS,
    "no coding, and a length": b"transfer-encoding: identity\r\n" + LENGTH + b"\r\n" + BODY,
    "an empty coding": b"transfer-encoding:\r\n" + LENGTH + b"\r\n" + BODY,
    "two lengths": LENGTH + b"content-length: 1\r\n\r\n" + BODY,
    "the same length twice": LENGTH + LENGTH + b"\r\n" + BODY,
    "a list of lengths": b"content-length: %d, %d\r\n\r\n" % (SIZE, SIZE) + BODY,
    "a length with a sign": b"content-length: +%d\r\n\r\n" % SIZE + BODY,
    "a length in hex": b"content-length: 0x%x\r\n\r\n" % SIZE + BODY,
    "a length with a blank inside": b"content-length: 1 %d\r\n\r\n" % SIZE + BODY,
    "a length with an underscore": b"content-length: 1_0\r\n\r\n" + BODY,
    "a length beyond 64 bits": b"content-length: %d\r\n\r\n" % (2**64 + SIZE) + BODY,
    "an empty length": b"content-length:\r\n\r\n" + BODY,
    "a folded line": b"x-a: b\r\n c\r\n" + LENGTH + b"\r\n" + BODY,
    "a line that ends with LF": b"x-a: b\n" + LENGTH + b"\r\n" + BODY,
    "a length behind a CR": b"x-a: b\rcontent-length: 0\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in a value": b"x-a: b\0c\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in a name": b"x\0a: b\r\n" + LENGTH + b"\r\n" + BODY,
    "no name": b": b\r\n" + LENGTH + b"\r\n" + BODY,
    "no colon": b"x-a\r\n" + LENGTH + b"\r\n" + BODY,
    "a second host": b"host: y\r\n" + LENGTH + b"\r\n" + BODY,
    "a chunk's size with 0x": CHUNKED + b"\r\n0x%x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a chunk's size with a sign": CHUNKED + b"\r\n+%x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a negative chunk": CHUNKED + b"\r\n-%x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a blank before a chunk's size": CHUNKED + b"\r\n %x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a blank behind a chunk's size": CHUNKED + b"\r\n%x \r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a chunk beyond 64 bits": CHUNKED + b"\r\n1%016x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a chunk's size that ends with LF": CHUNKED + b"\r\n%x\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a chunk that ends with LF": CHUNKED + b"\r\n%x\r\n%b\n0\r\n\r\n" % (SIZE, BODY),
    "a chunk longer than it said": CHUNKED + b"\r\n%x\r\n%bX\r\n0\r\n\r\n" % (SIZE, BODY),
    "LF in a chunk's extension": CHUNKED + b"\r\n%x;a=\nb\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "CR in a chunk's extension": CHUNKED + b"\r\n%x;a=\rb\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "a length behind the body": CHUNKED + b"\r\n%x\r\n%b\r\n0\r\ncontent-length: 5\r\n\r\n" % (SIZE, BODY),
    "a chunk that is none": CHUNKED + b"\r\nzz\r\n",
}


@pytest.mark.parametrize("case", UNFRAMED)
async def test_a_request_whose_end_is_in_doubt_is_refused_and_the_connection_closed(router: Running, case: str) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet), connected(router) as line:
        await line.send(head(router, wallet) + UNFRAMED[case] + GET)
        answer = await line.answer()
        refused(answer, 400, "invalid_request", says="This is no valid HTTP/1.1 request.")
        assert answer.headers["connection"] == "close"
        assert await line.rest() == b""  # the request behind it is not taken for one
        await all_answered_or_over(router)


NO_REQUEST = {
    "a folded first line": b"GET /healthz HTTP/1.1\r\n host: x\r\n\r\n",
    "lines that end with LF": GET.replace(b"\r\n", b"\n"),
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a host that is none": b"GET /healthz HTTP/1.1\r\nhost: a b@c/d\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n",
    "HTTP/1.10": b"GET /healthz HTTP/1.10\r\nhost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /v1/chat/completions HTTP/1.0\r\nhost: x\r\n" + CHUNKED + b"\r\n" + CHUNKS,
    "a blank before the method": b" " + GET,
    "tabs in the first line": b"GET\t/healthz\tHTTP/1.1\r\nhost: x\r\n\r\n",
    "a blank in the target": b"GET /heal thz HTTP/1.1\r\nhost: x\r\n\r\n",
    "a fragment": b"GET /healthz#x HTTP/1.1\r\nhost: x\r\n\r\n",
    "UTF-8 in the target": "GET /v1/models/\u00e9 HTTP/1.1\r\nhost: x\r\n\r\n".encode(),
    "a method in lower case": b"get /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    "a method of nobody's": b"BREW /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    "a tunnel": b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: elsewhere.example:443\r\n\r\n",
    "an authority as target": b"GET elsewhere.example:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "no path at all": b"GET http://elsewhere.example HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("case", NO_REQUEST)
async def test_what_is_no_request_of_this_protocol_is_refused_and_the_connection_closed(
    router: Running, case: str
) -> None:
    async with connected(router) as line:
        await line.send(NO_REQUEST[case] + GET)
        refused(await line.answer(), 400, "invalid_request", says="This is no valid HTTP/1.1 request.")
        assert await line.rest() == b""


# --- unusual, and of one meaning: served once, and the connection goes on

MEANT = {
    "a length with zeros before it": b"content-length: 000%d\r\n\r\n" % SIZE + BODY,
    "a length with blanks around it": b"content-length: \t %d \t\r\n\r\n" % SIZE + BODY,
    "chunks in capitals": b"Transfer-Encoding: CHUNKED\r\n\r\n" + CHUNKS,
    "a chunk's size with zeros before it": CHUNKED + b"\r\n%050x\r\n%b\r\n0\r\n\r\n" % (SIZE, BODY),
    "extensions": CHUNKED + b'\r\n%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n' % (SIZE, BODY),
    "a long extension": CHUNKED + b"\r\n%x;a=%b\r\n%b\r\n0\r\n\r\n" % (SIZE, b"a" * 20_000, BODY),
    "a byte a chunk": CHUNKED + b"\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n",
    "lines behind the body": CHUNKED + b"\r\n" + CHUNKS[:-2] + b"x-t: 1\r\n\r\n",
    "many lines behind the body": CHUNKED + b"\r\n" + CHUNKS[:-2] + b"x-t: 1\r\n" * 2_000 + b"\r\n",
    "other bytes in a value": b"x-a: \xff\xfe\r\n" + LENGTH + b"\r\n" + BODY,
    "another expectation": b"expect: a-miracle\r\n" + LENGTH + b"\r\n" + BODY,
    "HTTP/2 if we like": b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n" + LENGTH + b"\r\n" + BODY,
    "a web socket if we like": b"connection: upgrade\r\nupgrade: websocket\r\n" + CHUNKED + b"\r\n" + CHUNKS,
}


@pytest.mark.parametrize("pieces", [1, 7], ids=["at once", "in pieces"])
@pytest.mark.parametrize("case", MEANT)
async def test_an_unusual_request_of_one_meaning_is_served_once(router: Running, case: str, pieces: int) -> None:
    wallet = await router.wallet("1.00")
    served = len(router.simulator.log)
    request = head(router, wallet) + MEANT[case] + GET
    size = -(-len(request) // pieces)
    async with connected(router) as line:
        for start in range(0, len(request), size):
            await line.send(request[start : start + size])
        assert (await line.answer()).status_code == 200
        assert (await line.answer()).json() == {"status": "ok"}
    assert len(router.simulator.log) == served + 1
    assert router.simulator.log[-1].body != b""


TARGETS = {
    "with another's address": (b"GET http://elsewhere.example/healthz HTTP/1.1\r\nhost: x\r\n\r\n", 200, None),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200, None),
    "HTTP/1.0 that would stay": (b"GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 200, None),
    "blank lines before it": (b"\r\n\r\n" + GET, 200, None),
    "an echo": (b"TRACE / HTTP/1.1\r\nhost: x\r\ncookie: secret\r\n\r\n", 404, "unsupported_endpoint"),
    "an echo of a call": (
        b"TRACE /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncookie: secret\r\n\r\n",
        405,
        "method_not_allowed",
    ),
    "everything": (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 404, "unsupported_endpoint"),
    "a way round": (b"GET /v1/x/../../healthz HTTP/1.1\r\nhost: x\r\n\r\n", 404, "unsupported_endpoint"),
    "two slashes": (b"GET //healthz HTTP/1.1\r\nhost: x\r\n\r\n", 404, "unsupported_endpoint"),
    "no hex behind %": (b"GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n", 404, "unsupported_endpoint"),
    "no UTF-8 behind %": (b"GET /v1/models/%ff%fe HTTP/1.1\r\nhost: x\r\n\r\n", 404, "model_not_found"),
    "half a surrogate pair": (b"GET /v1/models/%ed%a0%80 HTTP/1.1\r\nhost: x\r\n\r\n", 404, "model_not_found"),
    "a line of its own": (
        b"GET /v1/models/%0d%0aset-cookie:x HTTP/1.1\r\nhost: x\r\n\r\n",
        404,
        "unsupported_endpoint",
    ),
    "a long query": (b"GET /healthz?" + b"a=1&" * 3_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 200, None),
    "a longer query": (b"GET /healthz?" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, "headers_too_large"),
}


@pytest.mark.parametrize("case", TARGETS)
async def test_whatever_is_asked_for_is_answered_in_our_own_words(router: Running, case: str) -> None:
    request, status, code = TARGETS[case]
    async with connected(router) as line:
        await line.send(request)
        answer = await line.answer()
        assert answer.status_code == status
        assert "secret" not in answer.text + str(answer.headers)
        assert "set-cookie" not in answer.headers
        assert code is None or answer.json()["error"]["code"] == code


# --- what comes behind a body is no header


async def test_a_sign_in_behind_the_body_is_none(router: Running) -> None:
    wallet = await router.wallet("1.00")
    trailer = f"sign-in-with-x: {router.sign_in(wallet)}\r\nx-forwarded-for: 10.0.0.1\r\n".encode()
    async with unharmed(router, wallet), connected(router) as line:
        start = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        await line.send(start + CHUNKED + b"\r\n" + CHUNKS[:-2] + trailer + b"\r\n")
        refused(await line.answer(), 401, "missing_sign_in")


ENDLESS = {
    "lines behind the body": (CHUNKS[:-2], b"x-t: 1\r\n" * 8_000),
    "one line behind the body": (CHUNKS[:-2] + b"x-t: ", b"x" * 64_000),
    "an extension": (b"5;", b"x" * 64_000),
    "a chunk's size": (b"", b"0" * 64_000),
}


@pytest.mark.parametrize("case", ENDLESS)
async def test_what_frames_a_body_has_an_end(router: Running, case: str) -> None:
    wallet = await router.wallet("1.00")
    begin, more = ENDLESS[case]
    async with unharmed(router, wallet), connected(router) as line:
        await line.send(head(router, wallet) + CHUNKED + b"\r\n" + begin)
        with pytest.raises(ConnectionError):  # it is hung up on, long before 64 MB have been taken
            for _ in range(1_024):
                await line.send(more)
        await all_answered_or_over(router)


# --- a body is never taken for a request


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "a-tunnel"])
async def test_the_body_of_a_request_for_another_protocol_is_its_body_however_late_it_comes(
    router: Running, protocol: str
) -> None:
    wallet = await router.wallet("1.00")
    inner = head(router, wallet) + LENGTH + b"\r\n" + BODY
    asks = f"connection: upgrade\r\nupgrade: {protocol}\r\ncontent-length: {len(inner)}\r\n\r\n".encode()
    async with unharmed(router, wallet), connected(router) as line:
        await line.send(head(router, wallet) + asks)
        await line.send(inner)
        refused(await line.answer(), 400, "invalid_request", says="not valid JSON")
        await line.send(GET)
        assert (await line.answer()).json() == {"status": "ok"}


async def test_the_body_of_a_request_that_was_answered_early_is_its_body(router: Running) -> None:
    wallet = await router.wallet("1.00")
    inner = head(router, wallet) + LENGTH + b"\r\n" + BODY
    async with unharmed(router, wallet), connected(router) as line:
        start = b"POST /v1/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(inner)
        await line.send(start)
        refused(await line.answer(), 404, "unsupported_endpoint")
        await line.send(inner + GET)
        assert (await line.answer()).json() == {"status": "ok"}


async def test_a_get_may_have_a_body_which_is_not_a_request(router: Running) -> None:
    async with connected(router) as line:
        await line.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(GET) + GET + GET)
        for _ in range(2):
            assert (await line.answer()).json() == {"status": "ok"}
        line.end()
        assert await line.rest() == b""


# --- one after another


async def test_what_came_whole_is_answered_before_the_connection_is_closed_on_what_follows(router: Running) -> None:
    wallet = await router.wallet("1.00")
    served = len(router.simulator.log)
    async with connected(router) as line:
        await line.send(GET + head(router, wallet) + LENGTH + b"\r\n" + BODY + b"more than was said")
        assert (await line.answer()).json() == {"status": "ok"}
        assert (await line.answer()).json()["choices"][0]["message"]["content"]
        refused(await line.answer(), 400, "invalid_request", says="This is no valid HTTP/1.1 request.")
        assert await line.rest() == b""
    assert len(router.simulator.log) == served + 1
    await all_answered_or_over(router)


async def test_a_stream_is_ended_before_the_connection_is_closed_on_what_follows(router: Running) -> None:
    wallet = await router.wallet("1.00")
    body = BODY[:-1] + b', "stream": true}'
    async with connected(router) as line:
        await line.send(head(router, wallet) + b"content-length: %d\r\n\r\n" % len(body) + body + b"\0")
        assert (await line.answer()).text.endswith("data: [DONE]\n\n")
        refused(await line.answer(), 400, "invalid_request")
        assert await line.rest() == b""
    await all_answered_or_over(router)


async def test_a_request_whose_body_breaks_behind_one_that_is_served_is_not_begun(router: Running) -> None:
    wallet = await router.wallet("1.00")
    served = len(router.simulator.log)
    good, broken = LENGTH + b"\r\n" + BODY, CHUNKED + b"\r\n%x\r\n%bX" % (SIZE, BODY)
    async with connected(router) as line:
        await line.send(head(router, wallet) + good + head(router, wallet) + broken)
        assert (await line.answer()).status_code == 200
        refused(await line.answer(), 400, "invalid_request")
        assert await line.rest() == b""
    assert len(router.simulator.log) == served + 1
    await all_answered_or_over(router)


async def test_after_a_refusal_that_leaves_no_doubt_the_connection_goes_on(router: Running) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet), connected(router) as line:
        await line.send(head(router, wallet) + b"content-length: 2\r\n\r\n{}" + GET)
        refused(await line.answer(), 400, "invalid_request", param="model")
        assert (await line.answer()).json() == {"status": "ok"}


# --- a body that is asked for, or does not come


async def test_a_body_is_asked_for_only_of_who_may_send_one(router: Running) -> None:
    wallet = await router.wallet("1.00")
    expecting = b"expect: 100-continue\r\n" + LENGTH + b"\r\n"
    async with connected(router) as line:
        await line.send(head(router, wallet) + expecting)
        assert await line.interim() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await line.send(BODY)
        assert (await line.answer()).status_code == 200
    async with connected(router) as line:
        await line.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + expecting)
        refused(await line.answer(), 401, "missing_sign_in")


@pytest.mark.parametrize(
    "framed", [LENGTH + b"\r\n" + BODY[:-5], CHUNKED + b"\r\n%x\r\n" % SIZE + BODY[:-5]], ids=["length", "chunks"]
)
async def test_a_client_that_leaves_before_its_body_is_whole_has_asked_for_nothing(
    router: Running, framed: bytes
) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet), connected(router) as line:
        await line.send(head(router, wallet) + framed)
        await until(lambda: len(router.router.services.pipeline.running))
        line.leave()
        await all_answered_or_over(router)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-unknown"])
async def test_a_compressed_body_is_refused_before_any_of_it_is_read(router: Running, coding: str) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet), connected(router) as line:
        await line.send(head(router, wallet, **{"content-encoding": coding}) + b"content-length: 20000000\r\n\r\n")
        refused(await line.answer(), 415, "unsupported_media_type", says="send it without content-encoding.")


# --- what is in it

ODD_VALUES = {
    "no UTF-8": b"\xff\xfe\x80",
    "UTF-8": "\u00e9\u2028\U0001f600".encode(),
    "nothing": b"",
    "long": b"a" * 9_000,
    "digits": b"9" * 5_000,
    "quotes": b"\"'\\,;=:%00%0d%0a",
}
ODD_HEADERS = (
    "authorization",
    "sign-in-with-x",
    "idempotency-key",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "origin",
    "content-type",
    "accept-encoding",
    "expect",
    "connection",
    "if-none-match",
    "x-stainless-read-timeout",
)


@pytest.mark.parametrize("header", ODD_HEADERS)
async def test_no_value_of_a_header_is_more_than_a_client_can_be_told(router: Running, header: str) -> None:
    wallet = await router.wallet("1.00")
    lines = {"host": "x", **router.headers(wallet)}
    lines.pop(header, None)
    start = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
    for value in ODD_VALUES.values():
        async with connected(router) as line:
            odd = b"%b: %b\r\n" % (header.encode(), value)
            await line.send(b"POST /v1/chat/completions HTTP/1.1\r\n" + start + odd + LENGTH + b"\r\n" + BODY)
            answer = await line.answer()
            assert answer.status_code < 500, answer.text
            assert answer.status_code == 200 or answer.json()["error"]["message"]
    await all_answered_or_over(router)


ODD_BODIES = {
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "UTF-16": BODY.decode().encode("utf-16"),
    "UTF-32": BODY.decode().encode("utf-32-le"),
    "an overlong slash": BODY.replace(b"hello", b"\xc0\xaf"),
    "half a surrogate pair as bytes": BODY.replace(b"hello", b"\xed\xa0\x80"),
    "half a surrogate pair": BODY.replace(b"hello", b"\\udc00"),
    "half a surrogate pair in a name": BODY[:-1] + b', "\\ud83d": 1}',
    "NUL": BODY.replace(b"hello", b"a\0b"),
    "a comment": b"/* */" + BODY,
    "a number without end": BODY[:-1] + b', "seed": 1' + b"0" * 5_000 + b"}",
    "a number of no size": BODY[:-1] + b', "temperature": 1e400}',
    "a negative nothing": BODY[:-1] + b', "max_tokens": -0}',
    "deep in a message": BODY.replace(b'"hello"', b"[" * 2_000 + b"]" * 2_000),
    "deep in a tool": BODY[:-1] + b', "tools": [' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"]}",
}


@pytest.mark.parametrize("case", ODD_BODIES)
async def test_an_odd_body_is_served_as_it_is_or_refused_in_words(router: Running, case: str) -> None:
    wallet = await router.wallet("1.00")
    body = ODD_BODIES[case]
    served = len(router.simulator.log)
    async with connected(router) as line:
        await line.send(head(router, wallet) + b"content-length: %d\r\n\r\n" % len(body) + body)
        answer = await line.answer()
    if answer.status_code == 200:
        assert case == "a number without end"  # a field that isn't ours to judge goes on byte for byte
        assert b"0" * 5_000 in router.simulator.log[-1].body
    else:
        refused(
            answer, 400, "invalid_request", param="temperature" if "size" in case else answer.json()["error"]["param"]
        )
        assert len(router.simulator.log) == served
        assert (await router.balance(wallet)).debits_posted == 0
    await all_answered_or_over(router)
