"""One request and its answer, as ASGI has them (spec 2.4): what the application may read, and what it sends as bytes.

It knows how an answer is framed (RFC 9112) and not what is in it; when the next request's turn comes is its
connection's affair.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

from tollway.domain.errors import InternalError, TollwayError

log = logging.getLogger("tollway.server")

UNREAD_BYTES_MAX = 64 << 10  # of a body that its application hasn't asked for: then nothing more is read
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n"  # its size, and it
END_OF_CHUNKS = b"0\r\n\r\n"

CHUNKED, UNTIL_THE_END = -1, -2  # how an answer is framed that has no length

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
App = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Mapping[str, Any]], Awaitable[None]]], Awaitable[None]
]


class Line(Protocol):
    """What an exchange needs of its connection."""

    write_paused: bool
    write: Callable[[bytes], object]

    def answered(self, exchange: "Exchange") -> None: ...

    async def drained(self) -> None: ...

    def resume_reading(self) -> None: ...

    def refusal(self, error: TollwayError) -> bytes: ...

    def date(self) -> bytes: ...


class Exchange:
    """Made when a head is whole. `domain.waiting.Client` to whom the scope is given."""

    __slots__ = (
        "_body",
        "_chunks_to",
        "_head",
        "_head_only",
        "_length",
        "_line",
        "_modern",
        "_told",
        "_unread",
        "_waiter",
        "complete",
        "expects",
        "keep_alive",
        "left",
        "more_body",
        "scope",
        "started",
    )

    def __init__(self, line: Line, scope: Scope, *, modern: bool, keep_alive: bool, expects: bool) -> None:
        """`modern`: the client speaks HTTP/1.1, so it knows chunks; `expects`: it waits for a 100 to send its body."""
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects = expects
        self.more_body = True  # of the request, still to come
        self.left = False  # the client is gone, or can't be answered
        self.started = False  # the answer's first bytes are out
        self.complete = False  # and its last
        self._line = line
        self._modern = modern
        self._head_only = scope["method"] == "HEAD"
        self._body: list[bytes] | None = []  # what came and wasn't asked for; None when all of it was taken
        self._unread = 0
        self._head = b""  # of the answer, until its body begins
        self._length = 0  # of the answer's body, what is to come of it
        self._chunks_to: Callable[[bytes], object] | None = None  # takes more of a body in chunks that has begun
        self._waiter: asyncio.Future[None] | None = None
        self._told: Callable[[], None] | None = None

    # --- what the connection says

    def feed(self, body: bytes) -> bool:
        """More of the request's body; whether there is more of it unread than there should be."""
        if self.complete or self._body is None:
            return False
        self._body.append(body)
        self._unread += len(body)
        self._wake()
        return self._unread > UNREAD_BYTES_MAX

    def fed(self) -> None:
        """The request is whole."""
        self.more_body = False
        self._wake()

    def gone(self) -> None:
        """Nobody is there any more to be answered."""
        if self.left or self.complete:
            return
        self.left = True
        self._chunks_to = None
        self._wake()
        if self._told is not None:
            self._told()

    def write(self, data: bytes) -> bool:
        """More of a body that has begun, at once; False when the client's socket is full, or nothing has begun: then it
        is `send` that waits."""
        if self._line.write_paused:
            return False
        if (write := self._chunks_to) is not None and data:  # as `_write`, which every event would go through
            write(CHUNK % (len(data), data))
            return True
        if not self.started or self.left:
            return False
        self._write(data, more=True)
        return True

    def listen(self) -> None:
        """It is always noticed."""

    def when_left(self, tell: Callable[[], None] | None) -> None:
        """`tell` is called once, when the client leaves before its answer is complete; at once if it has left."""
        self._told = tell
        if self.left and tell is not None:
            tell()

    def close(self) -> None:
        """Whoever asked to be told isn't interested any more."""
        self._told = None

    # --- what the application does

    async def run(self, app: App) -> None:
        """The application from its call to its return. Whatever it leaves undone ends the connection."""
        scope, self.scope = self.scope, {}  # which names this exchange: a circle would be left to the garbage collector
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            log.exception("an application failed")
        if self.complete or self.left:
            return
        self.keep_alive = False
        if self.started or self._head:
            self._line.write(self._head)  # begun and not ended, which the client must be able to tell
        else:
            self._line.write(self._line.refusal(InternalError("The request was not answered.")))
        self.complete = True
        self._chunks_to = None
        self._line.answered(self)

    async def receive(self) -> Message:
        while True:
            if self.left or self.complete:
                return {"type": "http.disconnect"}
            body = self._body
            if body is not None and (body or not self.more_body):
                piece = body[0] if len(body) == 1 else b"".join(body)
                self._body = [] if self.more_body else None
                self._unread = 0
                return {"type": "http.request", "body": piece, "more_body": self.more_body}
            if self._waiter is not None:
                raise RuntimeError("a request is received by one at a time")
            if self.expects:
                self.expects = False
                self._line.write(CONTINUE)
            if self.more_body:
                self._line.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def send(self, message: Mapping[str, Any]) -> None:
        """Waits while the client's socket takes nothing; what is sent to a client that left is dropped."""
        line = self._line
        if line.write_paused:
            await line.drained()
        if self.left:
            return
        if message["type"] == "http.response.body":
            self._write(message.get("body", b""), more=message.get("more_body", False))
        elif message["type"] == "http.response.start" and not self.started and not self._head:
            self.expects = False
            self._head = self._compose(message["status"], message["headers"])
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']}")

    def _write(self, body: bytes, *, more: bool) -> None:
        if self.complete or not (self.started or self._head):
            raise RuntimeError("a body before its head, or behind its end")
        length = self._length
        if length == CHUNKED:
            if body:
                body = CHUNK % (len(body), body)
            if not more:
                body += END_OF_CHUNKS
        elif self._head_only:
            body = b""
        elif length >= 0:
            self._length = length - len(body)
            if self._length < 0 or (self._length and not more):
                raise RuntimeError("a body that hasn't the length that its head says")
        if not self.started:
            self.started = True
            body, self._head = self._head + body, b""
            if length == CHUNKED:
                self._chunks_to = self._line.write
        if body:
            self._line.write(body)
        if not more:
            self.complete = True
            self._chunks_to = None
            self._wake()
            self._line.answered(self)

    def _compose(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The answer's head, and how its body is framed."""
        # RFC 9110, 6.4.1: these have no body, whatever their headers say.
        self._length = 0 if self._head_only or status in (204, 304) else CHUNKED if self._modern else UNTIL_THE_END
        head = STATUS_LINES[status] + self._line.date() + b"\r\n".join([*map(b": ".join, headers), b""])
        by_name = dict(headers)
        if (length := by_name.get(b"content-length")) is not None:
            self._length = int(length)
        if head.count(b"\n") != len(headers) + 2 or head.count(b"\r") != len(headers) + 2 or b"\0" in head:
            raise ValueError("a header that holds a line's end")  # it could be taken for another header, or an answer
        if self._length == CHUNKED:
            head += b"transfer-encoding: chunked\r\n"
        elif self._length == UNTIL_THE_END:
            self.keep_alive = False
        if by_name.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            head += b"connection: close\r\n"
        return head + b"\r\n"

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def place(address: object) -> tuple[str, int] | None:
    """Host and port, as a scope has them; None for what has none (a Unix socket)."""
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
