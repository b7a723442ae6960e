"""One HTTP answer to one caller, over ASGI's `send`: its headers, its JSON, its errors, its keep-alive comments.

An answer is started once and ended once. Writing waits until the client's socket takes the bytes, so a slow reader
slows its provider down and is never buffered for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tollway.domain.errors import MethodNotAllowed, SignInError, TollwayError
from tollway.domain.waiting import Watch
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
    if error.retry_after_ms is not None:
        headers.append((b"retry-after", str(-(-error.retry_after_ms // 1000)).encode()))
        headers.append((b"retry-after-ms", str(error.retry_after_ms).encode()))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if isinstance(error, SignInError):
        headers.append((b"www-authenticate", challenge))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if error.status == 402:
        headers.append((b"cache-control", b"no-store"))
    return headers


class Reply:
    """`started` and `ended` tell what the client has been given; `watch` bounds how long a slow reader may take."""

    def __init__(self, send: Send, request_id: str, *, challenge: bytes = b"Sign-In-With-X") -> None:
        self._send = send
        self.request_id = request_id
        self._request_id = request_id.encode()
        self._challenge = challenge
        self.started = False
        self.ended = False
        self._silence: asyncio.TimerHandle | None = None
        self._silence_s = 0.0
        self._last_write = 0.0
        self._comment: asyncio.Task[None] | None = None

    async def json(self, status: int, body: bytes, headers: tuple[Header, ...] | list[Header] = ()) -> None:
        """A whole answer."""
        assert not self.started, "an answer is started once"
        self.started = self.ended = True
        length = (b"content-length", str(len(body)).encode())
        request_id = (b"x-request-id", self._request_id)
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [JSON_TYPE, length, request_id, *headers]}
        )
        await self._send({"type": "http.response.body", "body": body})

    async def error(self, error: TollwayError) -> None:
        """A clear error with its true status; the last thing that may be said before anything else was."""
        body = json.encode({"error": error_object(error)})
        await self.json(error.status, body, error_headers(error, self._challenge))

    def keep_alive(self, seconds: float) -> None:
        """From now on, after `seconds` without a byte, commit to 200 and send a comment; until the answer ends."""
        self._silence_s = seconds
        loop = asyncio.get_running_loop()
        self._last_write = loop.time()
        self._silence = loop.call_later(seconds, self._on_silence)

    async def write(self, data: bytes, watch: Watch, slow_reader_s: float) -> None:
        """Relay bytes of a stream, starting it if need be. Raises Interrupted when the client takes too long."""
        if self._comment is not None:
            await self._settle_comment(watch)
        if not self.started:
            await self._start_stream()
        self._last_write = asyncio.get_running_loop().time()
        watch.limit("slow_reader", slow_reader_s)
        await watch.wait(self._body(data, more=True))

    async def finish(self, data: bytes, watch: Watch, slow_reader_s: float) -> None:
        """The last bytes of a stream."""
        if self._comment is not None:
            await self._settle_comment(watch)
        self._stop_comments()
        if not self.started:
            await self._start_stream()
        self.ended = True
        watch.limit("slow_reader", slow_reader_s)
        await watch.wait(self._body(data, more=False))

    async def quiet(self) -> None:
        """No more comments. After it `started` is final: an error still has its true status, or it is a frame."""
        self._stop_comments()
        if self._comment is not None:
            self._comment.cancel()
            await asyncio.gather(self._comment, return_exceptions=True)
            self._comment = None

    async def break_off(self) -> None:
        """Neither an ending nor an error: the server closes the connection of an answer begun and not ended."""
        await self.quiet()
        if not self.started:
            self.started = True
            headers = [JSON_TYPE, (b"content-length", b"1"), (b"x-request-id", self._request_id)]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _settle_comment(self, watch: Watch) -> None:
        comment, self._comment = self._comment, None
        if comment is not None:
            try:
                await watch.wait(_join(comment))
            finally:
                comment.cancel()

    def _stop_comments(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _on_silence(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._last_write + self._silence_s
        if loop.time() >= due:
            # While one comment waits for a slow socket, no second one is queued behind it.
            if self._comment is None or self._comment.done():
                self._comment = loop.create_task(self._send_comment())
            self._last_write = loop.time()
            due = self._last_write + self._silence_s
        self._silence = loop.call_at(due, self._on_silence)

    async def _send_comment(self) -> None:
        if not self.started:
            await self._start_stream()
        await self._body(KEEP_ALIVE, more=True)

    async def _start_stream(self) -> None:
        self.started = True
        headers = [*STREAM_HEADERS, (b"x-request-id", self._request_id)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def _join(task: asyncio.Task[None]) -> None:
    await task
