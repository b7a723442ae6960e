"""One HTTP answer to one caller, over ASGI's `send`: its headers, its JSON, its errors, its keep-alive comments.

An answer is started once and ended once. Writing waits until the client's socket takes the bytes, so a slow reader
slows its provider down and is never buffered for.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from tollway.domain.errors import MethodNotAllowed, RequestTimeout, SignInError, TollwayError
from tollway.domain.ids import new_id
from tollway.domain.waiting import ClientWatch, Interrupted, Watch
from tollway.wire import json

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON_TYPE: Header = (b"content-type", b"application/json")
STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front must not hold events back
)
KEEP_ALIVE = b": keep-alive\n\n"
# The longest that a client is told to wait and ask again by itself: OpenAI's SDK for Node.js sleeps as long as it is
# told, in silence, so a limit that ends tomorrow has to raise at once.
RETRY_MS_MAX = 120_000


def error_object(error: TollwayError) -> dict[str, object]:
    """OpenAI's error object; further members are for programs."""
    members: dict[str, object] = {
        "code": error.code,
        "message": error.message,
        "type": error.type,
        "param": error.param,
        **error.details,
    }
    if error.attempts:
        members["attempts"] = error.attempts
    return members


def error_headers(error: TollwayError, challenge: bytes) -> list[Header]:
    headers: list[Header] = []
    should_retry = error.should_retry
    if error.retry_after_ms is not None:
        headers.append((b"retry-after", str(-(-error.retry_after_ms // 1000)).encode()))
        headers.append((b"retry-after-ms", str(error.retry_after_ms).encode()))
        if error.retry_after_ms > RETRY_MS_MAX:
            should_retry = False
    if should_retry is not None:
        headers.append((b"x-should-retry", b"true" if should_retry else b"false"))
    if isinstance(error, SignInError):
        headers.append((b"www-authenticate", challenge))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, RequestTimeout):
        headers.append((b"connection", b"close"))  # RFC 9110, 15.5.9: the rest of the request is not waited for
    if error.status == 402:
        headers.append((b"cache-control", b"no-store"))
    return headers


def refusal(error: TollwayError) -> bytes:
    """An error as a whole HTTP/1.1 answer, for what never became a request; the connection closes after it."""
    body = json.encode({"error": error_object(error)})
    headers = {
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        b"x-request-id": new_id(time.time_ns() // 1_000_000).encode(),
        **dict(error_headers(error, b"")),
        b"connection": b"close",
    }
    head = b"".join(b"%b: %b\r\n" % header for header in headers.items())
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (error.status, HTTPStatus(error.status).phrase.encode(), head, body)


class Reply:
    """`started` and `ended` tell what the client may have been given; `added` gives headers that go with whatever
    is answered; `watch` bounds the wait for a slow reader."""

    # Most answers are whole ones: what only a stream changes begins as what all share.
    _silence: asyncio.Handle | None = None
    _silence_s = 0.0
    _last_write = 0.0
    _writing = False  # nothing may come between the parts of a write
    _comment: asyncio.Task[None] | None = None

    @staticmethod
    def never(data: bytes) -> bool:
        """`write` where nothing is sent but by `send`."""
        return False

    def __init__(
        self,
        send: Send,
        request_id: str,
        *,
        challenge: bytes = b"Sign-In-With-X",
        write: Callable[[bytes], bool] = never,
    ) -> None:
        """`write` sends more of a stream at once, where that needs no waiting; False: `send` has to."""
        self._send = send
        self._write_now = write
        self.request_id = request_id
        self._request_id = request_id.encode()
        self._challenge = challenge
        self.added: Callable[[], Iterable[Header]] = tuple
        self.started = False
        self.ended = False
        self._time: Callable[[], float] = float  # the loop's, once somebody asks how long nothing was written

    def json(self, status: int, body: bytes, headers: tuple[Header, ...] | list[Header] = ()) -> Awaitable[None]:
        """A whole answer."""
        return self.whole(status, [JSON_TYPE, (b"content-length", b"%d" % len(body))], body, headers)

    async def whole(
        self, status: int, about: list[Header], body: bytes, headers: tuple[Header, ...] | list[Header] = ()
    ) -> None:
        """A whole answer of any kind; `about` says what the body is, and is empty where there is none (204, 304)."""
        assert not self.started, "an answer is started once"
        self.started = self.ended = True
        head = [*about, (b"x-request-id", self._request_id), *headers, *self.added()]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def error(self, error: TollwayError) -> None:
        """A clear error with its true status; the last thing that may be said before anything else was."""
        body = json.encode({"error": error_object(error)})
        await self.json(error.status, body, error_headers(error, self._challenge))

    def keep_alive(self, seconds: float) -> None:
        """From now on, after `seconds` without a byte, commit to 200 and send a comment; until the answer ends."""
        self._silence_s = seconds
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._last_write = loop.time()
        self._silence = loop.call_later(seconds, self._on_silence)

    async def write(self, data: bytes, watch: ClientWatch, slow_reader_s: float) -> None:
        """Relay bytes of a stream, starting it if need be. Raises Interrupted when the client takes too long, or is
        gone."""
        if self.write_now(data):
            return
        watch.limit("slow_reader", slow_reader_s)
        try:
            await watch.wait(self._through(data, more=True))
        except OSError:
            raise _gone(watch) from None

    def write_now(self, data: bytes) -> bool:
        """As `write`, where that needs no waiting: False where it does, and nothing was written."""
        if self._comment is not None or not self._write_now(data):
            return False
        self._last_write = self._time()
        return True

    async def finish(self, data: bytes, watch: Watch, slow_reader_s: float) -> None:
        """The last bytes of a stream: they are said even if the call's time is up. Raises Interrupted as `write`."""
        assert not self.ended, "an answer is ended once"
        self._stop_comments()
        watch.overtime(slow_reader_s)
        try:
            await watch.wait(self._through(data, more=False))
        except OSError:
            raise _gone(watch) from None

    async def quiet(self) -> None:
        """No more comments. After it `started` is final: an error still has its true status, or it is a frame."""
        self._stop_comments()
        comment, self._comment = self._comment, None
        if comment is not None:
            comment.cancel()
            await asyncio.gather(comment, return_exceptions=True)

    async def break_off(self) -> None:
        """Neither an ending nor an error: the server closes the connection of an answer begun and not ended."""
        await self.quiet()
        if not self.started:
            await self._start([JSON_TYPE, (b"content-length", b"1"), (b"x-request-id", self._request_id)])

    async def _through(self, data: bytes, *, more: bool) -> None:
        self._writing = True
        try:
            comment, self._comment = self._comment, None
            if comment is not None:
                await comment  # ended with this wait, if it is ended
            if not self.started:
                await self._start_stream()
            self.ended = not more
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
            self._last_write = self._time()
        finally:
            self._writing = False

    def _stop_comments(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _on_silence(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._last_write + self._silence_s:
            # While a write or a comment waits for a slow socket, nothing is queued behind it.
            if not self._writing and (self._comment is None or self._comment.done()):
                self._comment = loop.create_task(self._send_comment())
            self._last_write = now
        self._silence = loop.call_at(self._last_write + self._silence_s, self._on_silence)

    async def _send_comment(self) -> None:
        with contextlib.suppress(OSError):  # the client is gone: the next write is told
            if not self.started:
                await self._start_stream()
            await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})

    async def _start_stream(self) -> None:
        await self._start([*STREAM_HEADERS, (b"x-request-id", self._request_id), *self.added()])

    async def _start(self, headers: list[Header]) -> None:
        self.started = True
        try:
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        except asyncio.CancelledError:
            # A server that lets us wait hasn't written the head (an earlier answer fills the socket): nothing is begun.
            self.started = False
            raise


def _gone(watch: ClientWatch) -> Interrupted:
    """An OSError is how a server says that the client is gone (ASGI 2.4)."""
    watch.stop("client_left")
    return Interrupted("client_left")
