"""One connection to a provider, or to a proxy: one request at a time, and what comes back, parsed by llhttp.

It knows bytes and HTTP's framing, not where it leads or who asks. What llhttp lets pass and we don't: transfer codings
other than chunked, versions other than 1.0 and 1.1, a switch of protocols, and whatever has no end.
"""

import asyncio
import re
import select
from collections.abc import Callable
from typing import cast

import httptools

from tollway.domain.outbox import SMALL_BYTES_MAX, Outbox
from tollway.upstream.http1.response import Response
from tollway.upstream.http1.rounds import Rounds

HEAD_BYTES_MAX = 64 << 10  # an answer's head, those of informational answers before it included
HEADERS_MAX = 128
INFORMATIONAL_MAX = 16  # 1xx answers before the one that counts
FRAMING_BYTES_MAX = 64 << 10  # chunk extensions and trailers between two bytes of a body, or after the last
AT_ONCE_BYTES_MAX = (
    256 << 10
)  # a larger request body is written in pieces of this size, as fast as the provider takes it

_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*(\d{1,6})\b", re.IGNORECASE)
_FRAMES = frozenset({b"content-length", b"transfer-encoding"})


class Unreadable(Exception):
    """What came is no HTTP/1.1 answer that can be trusted to end where it says."""


class Connection(asyncio.Protocol):
    """`on_free` is told when it can serve another request, `on_lost` when it never will again."""

    __slots__ = (
        "_bodyless",
        "_came",
        "_complete",
        "_fields",
        "_framing_bytes",
        "_head_bytes",
        "_informational",
        "_keep",
        "_loop",
        "_lost",
        "_on_free",
        "_on_lost",
        "_outbox",
        "_parser",
        "_poll",
        "_put_in",
        "_response",
        "_rounds",
        "_transport",
        "_unsent",
        "_write_paused",
        "idle_until",
        "keep_s",
        "on_body",
        "paused",
        "served",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
        rounds: Rounds,
        outbox: Outbox,
    ) -> None:
        self._loop = loop
        self._rounds = rounds
        self._outbox = outbox
        self._put_in = -1  # the round of the outbox in which the request was given to it
        self._on_free = on_free
        self._on_lost = on_lost
        self._came: list[bytes] = []  # of a body, in the read that is being parsed
        self.on_body = self._came.append  # which the parser calls for every chunk: no step between
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._unsent = memoryview(b"")
        self._write_paused = False
        self.paused = False
        self._lost = False
        self._keep = False
        self._complete = False
        self._bodyless = False
        self._head_bytes = 0
        self._informational = 0
        self._framing_bytes = 0
        self.served = 0  # answers
        self.keep_s: int | None = None  # how long the other side keeps an idle connection, where it says so
        self.idle_until = 0.0  # the loop's time

    def attach(self, transport: asyncio.BaseTransport) -> None:
        """The transport to write to: the one it was made with, or TLS over it. Raises OSError when it is closed."""
        self._transport = cast(asyncio.Transport, transport)
        if self._transport.is_closing():
            raise ConnectionResetError("closed before it was used")
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    @property
    def tls(self) -> object:
        """The ssl.SSLObject, where there is one."""
        return self._transport.get_extra_info("ssl_object")

    def usable(self, now: float) -> bool:
        """Whether an idle connection can take a request: not past its time, nothing said and not closed by the other
        side, not even since the event loop last looked."""
        return not self._lost and now < self.idle_until and not self._transport.is_closing() and not self._poll.poll(0)

    def send(self, head: bytes, body: bytes, *, bodyless: bool) -> Response:
        """Write a request. `bodyless`: its answer has no body, whatever its head says (HEAD)."""
        assert self._response is None, "one request at a time"
        self._response = response = Response(self._loop, self, self._rounds)
        self._head_bytes = self._informational = 0
        self._complete = False
        self._bodyless = bodyless
        if self._lost:
            self._fail(None)
        elif len(body) <= SMALL_BYTES_MAX:
            self._put_in = self._outbox.round
            self._outbox.write(self._transport, head + body)
        else:
            pieces = memoryview(body)
            self._transport.writelines((head, pieces[:AT_ONCE_BYTES_MAX]))
            self._unsent = pieces[AT_ONCE_BYTES_MAX:]
            self._send_more()
        return response

    def resume(self) -> None:
        if self.paused and not self._lost:
            self.paused = False
            self._transport.resume_reading()

    def drop(self) -> None:
        """End the connection at once, whatever is under way."""
        if not self._lost:
            self._lost = True
            self._transport.abort()
            if self._response is not None:
                response, self._response = self._response, None
                response.end("it was closed by us")

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attach(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._fail(exc)
        self._unsent = memoryview(b"")
        del self._parser  # it knows this connection: as a ring they would wait for the garbage collector
        self._on_lost(self)

    def eof_received(self) -> None:
        response = self._response
        if response is not None and response.status and not response.fields.keys() & _FRAMES:
            self._keep = False
            self._finish(response)  # a body that lasts until the connection ends
        else:
            self._fail(None)
            self.drop()  # what is still unsent will not be answered either

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._send_more()

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            self.drop()  # unasked: whatever it is, it must not be taken for the answer to the next request
            return
        try:
            if response.status:
                self._parser.feed_data(data)
            else:
                self._feed_head(response, data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Unreadable) as error:
            if not self._complete:
                if self._came:
                    response.add(self._came)
                self._refuse(response, error)
                return
            self._keep = False  # what came after the answer is not ours to read
        if self._complete:
            self._finish(response)
        elif self._came:
            self._framing_bytes = 0
            response.add(self._came)
            if response.size and not self.paused and response.crowded:
                self.paused = True
                self._transport.pause_reading()
        elif response.status:
            self._framing_bytes += len(data)
            if self._framing_bytes > FRAMING_BYTES_MAX:
                self._refuse(response, Unreadable(f"over {FRAMING_BYTES_MAX} bytes of chunk extensions or trailers"))

    # --- httptools

    def on_message_begin(self) -> None:
        if self._complete:
            raise Unreadable("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        response, fields = self._response, self._fields
        assert response is not None
        self._fields = []
        status = self._parser.get_status_code()
        if self._parser.get_http_version() not in ("1.1", "1.0"):
            raise Unreadable("not HTTP/1.1")
        if len(fields) > HEADERS_MAX:
            raise Unreadable(f"over {HEADERS_MAX} headers")
        if status < 200:
            self._informational += 1
            if status < 100 or status == 101 or self._informational > INFORMATIONAL_MAX:
                raise Unreadable(f"a status of {status}, or over {INFORMATIONAL_MAX} informational answers")
            return
        found = dict(reversed(fields))
        if b"transfer-encoding" in found:
            codings = [value.strip(b" \t").lower() for name, value in fields if name == b"transfer-encoding"]
            if codings != [b"chunked"]:
                raise Unreadable("a transfer coding other than chunked")
        if b"keep-alive" in found and (timeout := _TIMEOUT.search(found[b"keep-alive"])):
            self.keep_s = int(timeout[1])
        response.fields = found
        response.status = status
        self._framing_bytes = 0
        if self._bodyless:
            self._complete, self._keep = True, False

    def on_message_complete(self) -> None:
        response = self._response
        assert response is not None
        if response.status and not self._complete:  # and not an informational answer
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    # --- how an answer ends

    def _feed_head(self, response: Response, data: bytes) -> None:
        if not self._head_bytes and not data.startswith(b"H"):
            raise Unreadable("not HTTP")
        room = HEAD_BYTES_MAX - self._head_bytes
        self._head_bytes += len(data)
        if len(data) <= room:
            self._parser.feed_data(data)
        else:
            self._parser.feed_data(data[:room])
            if not response.status:
                raise Unreadable(f"over {HEAD_BYTES_MAX} bytes of head")
            self._parser.feed_data(data[room:])
        if response.status and not self._complete:  # else it is woken when it has come to its end
            response.wake()

    def _finish(self, response: Response) -> None:
        self._response = None
        self.served += 1
        if self._bodyless:
            self._came.clear()
        elif self._came:
            response.add(self._came)
        response.end()
        written = self._put_in != self._outbox.round and not self._transport.get_write_buffer_size()
        if self._keep and written and not self._unsent and not self._lost:
            if self.paused:
                self.resume()
            self._on_free(self)
        else:
            self.drop()

    def _refuse(self, response: Response, error: Exception) -> None:
        """What came can't be trusted to be framed as it says: nothing more is read."""
        self._response = None
        cause = error.__context__ if isinstance(error.__context__, Unreadable) else error
        why = f"{cause}" if response.status else f"no readable answer: {cause}"
        response.end(why, error)
        self.drop()

    def _fail(self, error: Exception | None) -> None:
        """The connection was lost under an answer."""
        if self._response is not None:
            response, self._response = self._response, None
            why = "the connection was closed" if error is None else words(error)
            if not response.status:
                why = f"reset {'on a reused connection' if self.served else 'before an answer'}: {why}"
            response.end(why, error, stale=self.served > 0)

    def _send_more(self) -> None:
        while self._unsent and not self._write_paused and not self._lost:
            piece = self._unsent[:AT_ONCE_BYTES_MAX]
            self._unsent = self._unsent[AT_ONCE_BYTES_MAX:]
            self._transport.write(piece)


def words(error: BaseException) -> str:
    """An error as a log shows it."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
