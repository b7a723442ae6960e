"""Providers that mean harm, or are broken beyond sense: the caller gets a whole answer or a clear error, is charged as
the rules say, and learns nothing of the operator's. The next provider, where there is one, answers instead.

Each shape is a provider of its own, by its path on one server: all of them share a transport and its connections, so
that whatever one leaves behind shows in another's answer.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

import httpx2
import pytest
import pytest_asyncio

from helpers.providers import EVENT_STREAM, USAGE, chunk, completion, provider, sse
from helpers.raw_server import Connection, RawServer
from helpers.running import Running, chat, running
from helpers.settled import settled
from helpers.streaming import DONE, content, payload, streaming
from tollway.client.wallet import Wallet
from tollway.ledger import operator

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
ANSWER = json.dumps(completion("theirs", usage=USAGE)).encode()
USED = {**chunk(), "choices": [], "usage": USAGE}
STREAM = sse(chunk(content="theirs"), chunk(finish="stop"), USED, DONE)
COST = 20 * 1_000 + 5 * 10_000
OURS = "ours"


class Shape(NamedTuple):
    """What is sent first; what is sent again and again as long as it is taken; whether the connection ends then."""

    first: bytes
    endless: bytes = b""
    close: bool = False


def sized(body: bytes, *headers: bytes, head: bytes = HEAD) -> bytes:
    return head + b"".join(header + b"\r\n" for header in headers) + b"content-length: %d\r\n\r\n" % len(body) + body


def pieces(*parts: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    sent = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return HEAD + CHUNKED + sent + b"0\r\n" + trailer + b"\r\n"


def events(*payloads: object) -> bytes:
    return pieces(*(sse(payload) for payload in payloads))


# No answer comes of these, whole or streamed.
BROKEN = {
    "gzip": Shape(sized(gzip.compress(ANSWER), b"content-encoding: gzip")),
    "a bomb": Shape(sized(gzip.compress(b" " * 20_000_000), b"content-encoding: gzip")),
    "deflate": Shape(sized(zlib.compress(ANSWER), b"content-encoding: deflate")),
    "gzip that is not": Shape(sized(ANSWER, b"content-encoding: gzip")),
    "gzip unsaid": Shape(sized(gzip.compress(ANSWER))),
    "a page": Shape(sized(b"<html>not here</html>")),
    "nothing": Shape(sized(b"")),
    "less than said": Shape(HEAD + b"content-length: %d\r\n\r\n" % (len(ANSWER) + 5) + ANSWER[:-9], close=True),
    "chunks that are none": Shape(HEAD + CHUNKED + b"5\r\n{\r\nzz\r\n\r\n"),
    "a chunk beyond 64 bits": Shape(HEAD + CHUNKED + b"fffffffffffffffff\r\n{"),
    "a redirect": Shape(sized(b"", b"location: http://127.0.0.1:1/", head=b"HTTP/1.1 307 Elsewhere\r\n")),
    "a part": Shape(sized(ANSWER, head=b"HTTP/1.1 206 Part\r\n")),
    "nothing to say": Shape(b"HTTP/1.1 204 Nothing\r\n\r\n"),
    "another protocol": Shape(b"HTTP/1.1 101 Other\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nhello", close=True),
    "no HTTP": Shape(b"SSH-2.0-hello\r\n", close=True),
    "a large header": Shape(sized(ANSWER, b"x-large: " + b"x" * 70_000)),
    "headers without end": Shape(HEAD, b"x-more: x\r\n" * 500),
    "a header without end": Shape(HEAD + b"x-more: ", b"x" * 5_000),
    "interim answers without end": Shape(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 50),
    "an array": Shape(sized(b"[]")),
    "very deep": Shape(sized(ANSWER[:-1] + b', "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}")),
    "an error": Shape(sized(b'{"error": {"message": "no"}}')),
}

BROKEN_BATCH = BROKEN | {
    "no UTF-8": Shape(sized(ANSWER.replace(b"theirs", b"th\xffrs"))),
    "no choices": Shape(sized(b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}')),
    "a byte short": Shape(HEAD + b"content-length: %d\r\n\r\n" % (len(ANSWER) + 1) + ANSWER, close=True),
    "no last chunk": Shape(pieces(ANSWER).removesuffix(b"0\r\n\r\n"), close=True),
    "a trickle": Shape(HEAD + b"content-length: 99999999999\r\n\r\n{"),
}

BROKEN_STREAM = BROKEN | {
    "comments without end": Shape(HEAD + b"\r\n", b": hello\n\n" * 50),
    "a line without end": Shape(HEAD + b"\r\n", b"data: " + b"x" * 50_000),
    "an event without end": Shape(HEAD + b"\r\n", b"data: x\n" * 5_000),
    "roles without end": Shape(HEAD + b"\r\n", sse(chunk(role="assistant", content="")) * 20),
    "noise without end": Shape(HEAD + b"\r\n", sse("hello") * 50),
    "no UTF-8": Shape(sized(sse(chunk(content="theirs")).replace(b"theirs", b"th\xffrs") + STREAM)),
    "no JSON": Shape(sized(b'data: {"choices": [\n\n' + STREAM)),
    "an error first": Shape(events({"error": {"message": "no", "code": 500}}, chunk(content="theirs"), DONE)),
    "an error by name": Shape(sized(b"event: error\n" + sse({"error": {"message": "no"}}))),
    "cut at once": Shape(HEAD + CHUNKED, close=True),
}

# Odd, and of one meaning: the answer is whole, and is charged as it says.
WHOLE = {
    "as it should be": Shape(sized(ANSWER)),
    "packed as itself": Shape(sized(ANSWER, b"content-encoding: identity")),
    "after many interim answers": Shape(b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + sized(ANSWER)),
    "extensions": Shape(pieces(ANSWER, extension=b';a=b;c="d"')),
    "lines behind the body": Shape(pieces(ANSWER, trailer=b"x-tollway-cost-usd: 99\r\nset-cookie: a=1\r\n")),
    "a byte a chunk": Shape(pieces(*(bytes([byte]) for byte in ANSWER))),
    "until it hangs up": Shape(HEAD + b"\r\n" + ANSWER, close=True),
    "HTTP/1.0": Shape(b"HTTP/1.0 200 OK\r\n\r\n" + ANSWER, close=True),
    "usage in two of its members": Shape(
        sized(b'{"usage": {"prompt_tokens": 9, "completion_tokens": 9},' + ANSWER[1:])
    ),
    "a choice of no order": Shape(sized(ANSWER.replace(b'"index": 0', b'"index": 1000000000000000000000000'))),
}

WHOLE_STREAM = {
    "as it should be": Shape(sized(STREAM)),
    "a byte a chunk": Shape(pieces(*(bytes([byte]) for byte in STREAM))),
    "more than was said": Shape(HEAD + b"content-length: %d\r\n\r\n" % (len(STREAM) + 9) + STREAM, close=True),
    "done twice": Shape(events(chunk(content="theirs"), chunk(finish="stop"), USED, DONE, DONE)),
    "more behind the end": Shape(
        events(chunk(content="theirs"), chunk(finish="stop"), USED, DONE, chunk(content="!"), {**USED, "usage": {}})
    ),
    "noise behind the end": Shape(HEAD + b"\r\n" + STREAM, b": hello\n\n" * 50),
    "an error behind the usage": Shape(events(chunk(content="theirs"), chunk(finish="stop"), USED, {"error": {}})),
    "no UTF-8 behind the usage": Shape(sized(STREAM.replace(b"data: [DONE]", b'data: {"\xff"}'))),
}

# Usage is cumulative: however often it is told, the call is charged once, by what was told last.
TOLD_AGAIN = {
    "at the end": Shape(events(chunk(content="theirs"), chunk(finish="stop"), USED, USED, DONE)),
    "with the finish and behind it": Shape(
        events(chunk(content="theirs"), chunk(finish="stop") | {"usage": USAGE}, USED, DONE)
    ),
    "in every chunk": Shape(
        events(
            chunk(role="assistant") | {"usage": {"prompt_tokens": 20, "completion_tokens": 0}},
            *(
                chunk(content=word) | {"usage": {"prompt_tokens": 20, "completion_tokens": 2}}
                for word in ("the", "irs")
            ),
            chunk(finish="stop") | {"usage": USAGE},
            DONE,
        )
    ),
    "less than before": Shape(
        events(
            chunk(content="theirs") | {"usage": {"prompt_tokens": 900, "completion_tokens": 90}},
            chunk(finish="stop") | {"usage": USAGE},
            DONE,
        )
    ),
    "without end": Shape(HEAD + b"\r\n" + STREAM.removesuffix(sse(DONE)), sse(USED) * 20),
    "behind the end": Shape(events(chunk(content="theirs"), chunk(finish="stop"), USED, DONE, USED)),
    "and then not": Shape(
        events(chunk(content="theirs") | {"usage": USAGE}, chunk(finish="stop") | {"usage": None}, DONE)
    ),
}

SOON = 'timeouts = { first_byte = "200ms", idle = "200ms", batch = "200ms", total = "20s" }\nprice ='
SHAPES = {
    f"{kind}-{number}": shape
    for kind, shapes in (
        ("broken-batch", BROKEN_BATCH),
        ("broken-stream", BROKEN_STREAM),
        ("whole-batch", WHOLE),
        ("whole-stream", WHOLE_STREAM),
        ("told-again", TOLD_AGAIN),
    )
    for number, shape in enumerate(shapes.values())
}


def named(kind: str, shapes: dict[str, Shape], case: str) -> str:
    return f"{kind}-{list(shapes).index(case)}"


async def play(connection: Connection) -> None:
    """The shape that the request's path names, until one of them ends the connection."""
    while (request := await connection.request()) is not None:
        shape = SHAPES[request.line.split("/")[1]]
        with suppress(ConnectionError):
            await connection.send(shape.first)
            while shape.endless:
                await connection.send(shape.endless)
                await asyncio.sleep(0)
        if shape.close or shape.endless:
            return


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Its books are on disk, and proved from their rows at the end."""
    books = tmp_path_factory.mktemp("books") / "ledger.db"
    async with RawServer(play) as raw:
        hostile = "".join(
            provider(name, f"{raw.url}/{name}", model="sim/model").replace(
                "price =", SOON if name.startswith("broken") else "price ="
            )
            for name in SHAPES
        )
        config = f'[server]\nmax_answer = "1MB"\n{hostile}'
        async with running({"sim": f"text={OURS}&prompt_tokens=20"}, config=config, ledger=books) as router:
            yield router
    report = operator.audit(books)
    assert report.clean, report.differences
    assert report.pending == 0


async def ask(router: Running, wallet: Wallet, providers: list[str], *, stream: bool) -> httpx2.Response:
    body = chat(stream=stream, max_tokens=100, provider={"order": providers, "only": providers})
    return await router.post(wallet, body | ({"stream_options": {"include_usage": True}} if stream else {}))


def said(answer: httpx2.Response, *, stream: bool) -> str:
    """The text of a whole answer."""
    if not stream:
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text
    told = answer.text.rstrip("\n").split("\n\n")
    assert told[-1] == f"data: {DONE}"
    assert told.count(f"data: {DONE}") == 1
    usages = [chunk["usage"] for chunk in map(payload, told[:-1]) if chunk.get("usage") is not None]
    assert len(usages) == 1
    return content(told)


EITHER = [
    *(pytest.param("broken-batch", case, False, id=f"batch-{case}") for case in BROKEN_BATCH),
    *(pytest.param("broken-stream", case, True, id=f"stream-{case}") for case in BROKEN_STREAM),
]


@pytest.mark.parametrize(("kind", "case", "stream"), EITHER)
async def test_what_is_no_answer_is_a_clear_error_that_costs_nothing_or_the_next_providers_answer(
    router: Running, kind: str, case: str, stream: bool
) -> None:
    name = named(kind, BROKEN_STREAM if stream else BROKEN_BATCH, case)
    wallet = await router.wallet("1.00")
    alone = await ask(router, wallet, [name], stream=stream)
    assert alone.status_code in (502, 504), alone.text
    error = alone.json()["error"]
    assert error["code"] in ("provider_error", "provider_timeout")
    assert "127.0.0.1" not in alone.text
    call = await settled(router, wallet, alone.headers["x-request-id"])
    assert (call["charged"], call["kinds"]) == (0, {"hold", "void"})
    answer = await ask(router, wallet, [name, "sim"], stream=stream)
    assert answer.status_code == 200
    assert said(answer, stream=stream) == OURS
    call = await settled(router, wallet, answer.headers["x-request-id"])
    assert call["provider"] == "sim"
    assert [attempt["provider"] for attempt in call["attempts"]] == [name, "sim"]


@pytest.mark.parametrize(
    ("kind", "case", "stream"),
    [
        *(pytest.param("whole-batch", case, False, id=f"batch-{case}") for case in WHOLE),
        *(pytest.param("whole-stream", case, True, id=f"stream-{case}") for case in WHOLE_STREAM),
    ],
)
async def test_an_odd_answer_of_one_meaning_is_whole_and_charged_once_for_what_it_came_to(
    router: Running, kind: str, case: str, stream: bool
) -> None:
    await whole_and_charged_once(router, named(kind, WHOLE_STREAM if stream else WHOLE, case), stream=stream)


@pytest.mark.parametrize("case", TOLD_AGAIN)
async def test_usage_that_is_told_again_and_again_is_charged_once(router: Running, case: str) -> None:
    await whole_and_charged_once(router, named("told-again", TOLD_AGAIN, case), stream=True)


async def whole_and_charged_once(router: Running, name: str, *, stream: bool) -> None:
    wallet = await router.wallet("1.00")
    answer = await ask(router, wallet, [name], stream=stream)
    assert answer.status_code == 200, answer.text
    assert said(answer, stream=stream) == "theirs"
    call = await settled(router, wallet, answer.headers["x-request-id"])
    assert (call["charged"], call["kinds"]) == (COST, {"hold", "post"})
    assert (call["usage_origin"], call["flags"]) == ("provider", [])
    assert call["usage"] == call["usage"] | {"prompt": 20, "completion": 5}
    entries = (await router.get("/session/transactions", wallet))["data"]
    assert [entry["kind"] for entry in entries].count("post") == 1


# What follows a token that the client has read: the answer can't be whole any more, and no other provider can help.
LATER = {
    "comments without end": (b": hello\n\n" * 50, "provider_timeout"),
    "noise without end": (sse("hello") * 50, "provider_timeout"),
    "a line without end": (b"data: " + b"x" * 50_000, "provider_error"),
    "no UTF-8": (sse(chunk(content="more")).replace(b"more", b"m\xffre"), "provider_error"),
    "no JSON": (b'data: {"choices": [\n\n', "provider_error"),
    "very deep": (b'data: {"choices": ' + b"[" * 5_000 + b"]" * 5_000 + b"}\n\n", "provider_error"),
    "an error": (sse({"error": {"message": "we are called 127.0.0.1"}}), "provider_error"),
    "another answer": (HEAD + b"content-length: 2\r\n\r\n{}", "provider_timeout"),
    "packed bytes": (gzip.compress(STREAM), "provider_timeout"),
}


@pytest.mark.parametrize("case", LATER)
async def test_what_turns_bad_after_its_first_token_ends_in_an_error_frame_that_costs_nothing(case: str) -> None:
    more, code = LATER[case]
    read = asyncio.Event()

    async def turning(connection: Connection) -> None:
        await connection.request()
        await connection.send(HEAD + b"\r\n" + sse(chunk(content="theirs")))
        await read.wait()
        with suppress(ConnectionError):
            await connection.send(more)
            while "without end" in case:
                await connection.send(more)
                await asyncio.sleep(0)
            await connection.wait_dropped()

    async with RawServer(turning) as raw:
        config = provider("raw", raw.url).replace("price =", SOON)
        async with running({"sim": f"text={OURS}"}, config=config) as router:
            wallet = await router.wallet("1.00")
            async with streaming(router, wallet, chat(stream=True, model="raw/model")) as stream:
                assert (await stream.data())["choices"][0]["delta"] == {"content": "theirs"}
                read.set()
                rest = await stream.rest()
                frame = payload(rest[-1])
                assert frame["error"]["code"] == code
                assert [event for event in rest if DONE in event or "127.0.0.1" in event] == []
                call = await settled(router, wallet, await stream.request_id())
            assert (call["charged"], call["ended"]) == (0, "provider_failed")


@pytest.mark.parametrize("framing", [b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER, pieces(ANSWER)[len(HEAD) :]])
async def test_an_answer_that_nobody_asked_for_answers_nobody(framing: bytes) -> None:
    """Two answers to one request: the second must not wait on its connection for the next caller."""
    evil = sized(json.dumps(completion("meant for another", usage=USAGE)).encode())
    asked = 0

    async def twice(connection: Connection) -> None:
        nonlocal asked
        while await connection.request() is not None:
            asked += 1
            await connection.send(HEAD + framing + evil)

    async with RawServer(twice) as raw, running(config=provider("raw", raw.url)) as router:
        wallet = await router.wallet("1.00")
        for count in (1, 2, 3):
            answer = await router.post(wallet, chat(model="raw/model"))
            assert "another" not in answer.text
            assert said(answer, stream=False) == "theirs"
            assert asked == count
        await settled(router, wallet)


@pytest.mark.parametrize("status", [200, 413, 503])
async def test_an_answer_before_the_request_was_read_is_an_answer(status: int) -> None:
    body = ANSWER if status == 200 else b'{"error": {"message": "too large for us"}}'

    async def hasty(connection: Connection) -> None:
        await connection.head()
        await connection.send(sized(body, b"connection: close", head=b"HTTP/1.1 %d Any\r\n" % status))

    long = "x" * 60_000
    async with RawServer(hasty) as raw, running({"sim": f"text={OURS}"}, config=provider("raw", raw.url)) as router:
        wallet = await router.wallet("10.00")
        answer = await router.post(wallet, chat(long, model="raw/model"))
        call = await settled(router, wallet, answer.headers["x-request-id"])
        expected = {200: (200, COST), 413: (413, 0), 503: (503, 0)}[status]
        assert (answer.status_code, call["charged"]) == expected


@pytest.mark.parametrize(
    "wait", [b"1\x85", b"\xb2", b"1e400", b"-1", b"9" * 400, b"Tue, 99 Foo 10000 99:99:99 GMT", b""]
)
async def test_a_wait_that_makes_no_sense_is_none(wait: bytes) -> None:
    limited = sized(b"{}", b"retry-after: " + wait, b"date: " + wait, head=b"HTTP/1.1 429 Wait\r\n")

    async def limiting(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(limited)

    async with RawServer(limiting) as raw:
        config = provider("raw", raw.url, model="sim/model")
        async with running({"sim": f"text={OURS}"}, config=config) as router:
            wallet = await router.wallet("1.00")
            answer = await ask(router, wallet, ["raw"], stream=False)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_provider_available")
            assert said(await ask(router, wallet, ["raw", "sim"], stream=False), stream=False) == OURS
            await settled(router, wallet)


# --- what is the operator's

KEY = "an-operators-key-of-no-usual-form"
ECHOES = {
    "a refusal of the request": (400, {"error": {"message": f"{KEY} may not", "type": KEY, "code": KEY, "param": KEY}}),
    "a refusal of the key": (401, {"error": {"message": f"no such key: {KEY}", "code": KEY}}),
    "a limit": (429, {"error": {"message": f"{KEY} asked too much", "type": KEY}}),
    "trouble": (500, {"detail": [{"msg": f"authorization: Bearer {KEY}"}]}),
    "an error that looks like an answer": (200, {"error": {"message": KEY, "code": KEY}}),
    "a page": (502, f"<html>Authorization: Bearer {KEY}</html>"),
    "an odd status": (299, {"authorization": f"Bearer {KEY}"}),
}


# Not readable as HTTP: what is said of it must not quote it.
GARBAGE = {
    "a first line": f"HTTP/1.1 {KEY}\r\n\r\n".encode(),
    "no protocol": f"{KEY} HTTP/1.1\r\n\r\n".encode(),
    "a header without a colon": f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(),
    "a length": f"HTTP/1.1 200 OK\r\ncontent-length: {KEY}\r\n\r\n".encode(),
    "a coding": f"HTTP/1.1 200 OK\r\ntransfer-encoding: {KEY}\r\n\r\n".encode(),
    "a packing": sized(ANSWER, b"content-encoding: " + KEY.encode()),
    "a chunk": f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{KEY}\r\n".encode(),
}


def echo(case: str, *, stream: bool) -> bytes:
    """What a provider sends that has our key on its tongue."""
    key = KEY.encode()
    if case in GARBAGE:
        return GARBAGE[case]
    status, value = ECHOES[case]
    body = (value if isinstance(value, str) else json.dumps(value)).encode()
    if status == 200 and stream:
        body = sse(value)
    headers = (b"x-key: " + key, b"retry-after: " + key, b"location: http://" + key, b"keep-alive: timeout=" + key)
    return sized(body, *headers, head=b"HTTP/1.1 %d %b\r\n" % (status, key))


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
@pytest.mark.parametrize("case", [*ECHOES, *GARBAGE])
async def test_our_key_comes_back_to_nobody(case: str, stream: bool, tmp_path, caplog) -> None:
    caplog.set_level("DEBUG")

    async def echoing(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(echo(case, stream=stream))
            if case in GARBAGE:
                return

    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    async with RawServer(echoing) as raw:
        config = provider("raw", raw.url).replace("base_url", f'api_key_file = "{tmp_path / "key"}"\nbase_url')
        async with running(config=config) as router:
            wallet = await router.wallet("1.00")
            answer = await router.post(wallet, chat(model="raw/model", stream=stream))
            assert answer.status_code >= 400
            generation = await router.http.get(
                f"/v1/generations/{answer.headers['x-request-id']}", headers=router.headers(wallet)
            )
            told = [answer.text, str(answer.headers), generation.text, caplog.text]
            told += [router.router.metrics.text().decode(), (await router.http.get("/v1/providers")).text]
            assert [KEY in text for text in told] == [False] * len(told)
            assert raw.requests[0].header("authorization") == f"Bearer {KEY}"
            await settled(router, wallet)


OUR_HEADERS = (
    "x-request-id",
    "x-tollway-provider",
    "x-tollway-cost-usd",
    "x-tollway-original-request-id",
    "idempotent-replayed",
    "x-should-retry",
    "x-ratelimit-remaining-requests",
    "www-authenticate",
    "payment-required",
    "set-cookie",
    "strict-transport-security",
    "access-control-allow-origin",
    "content-security-policy",
    "alt-svc",
    "clear-site-data",
    "server",
    "date",
    "vary",
    "etag",
)


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_nothing_a_provider_says_in_our_name_is_passed_on(stream: bool) -> None:
    theirs = {"balance_usd": "1000000", "receipt": "forged", "request_id": "theirs"}
    names = {"tollway": theirs, "receipt": "forged"}
    usage = {**USAGE, "cost": "0", "cost_details": {}, "is_byok": True}
    if stream:
        first = b'data: {"toll\\u0077ay": {"a": 1}, "tollway": 5, ' + sse(chunk(content="theirs"))[7:]
        body = first + sse(chunk(finish="stop") | names, {**USED, "usage": usage, **names}, DONE)
    else:
        body = b'{"toll\\u0077ay": {"a": 1}, ' + json.dumps(completion("theirs", usage=usage) | names).encode()[1:]
    headers = [name.encode() + b": theirs" for name in OUR_HEADERS]

    async def lying(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(sized(body, b"content-type: " + EVENT_STREAM.encode(), *headers))

    async with RawServer(lying) as raw, running(config=provider("raw", raw.url)) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(model="raw/model", stream=stream))
        assert answer.status_code == 200
        assert "theirs" not in str(answer.headers).replace("content-type", "")
        call = await settled(router, wallet, answer.headers["x-request-id"])
        assert call["charged"] == COST
        assert call["receipt"] is None
        if stream:
            told = [payload(event) for event in answer.text.rstrip("\n").split("\n\n")[:-1]]
            assert [found.keys() & {"tollway", "usage"} for found in told] == [set()] * len(told)
        else:
            told = answer.json()
            assert told["tollway"]["request_id"] == call["id"]
            assert told["tollway"]["balance_usd"] == "0.99993"
            assert told["usage"] == {**USAGE, "cost": "0.00007"}
            assert answer.text.count('ollway":') == 1 and "u0077" not in answer.text
