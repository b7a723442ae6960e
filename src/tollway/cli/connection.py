"""A client's connection: uvicorn's HTTP/1.1 with what it lacks.

A request's head has a limit, a deadline and one meaning; what is no HTTP is answered in the shape of every other error,
after the answers to what came before it; and who asks for another protocol is served over this one.

It knows bytes and time, not what is asked for: requests whose head is whole go on as uvicorn sends them.
"""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tollway.cli.head import complaint, framing
from tollway.domain.errors import HeadersTooLarge, RequestError, RequestTimeout, TollwayError
from tollway.domain.ids import new_id
from tollway.egress.reply import error_headers, error_object
from tollway.wire import json

NO_HTTP = "This is no valid HTTP/1.1 request."
ORDINARY_TARGET_BYTES = 1_024  # of a longer one the limit is looked up


class HeadLimits(NamedTuple):
    """`seconds` are for a head that has begun, and for the first one to begin; between requests uvicorn's keep-alive
    timeout holds."""

    bytes: int
    seconds: float


class Refused(Exception):
    """Raised to the parser, which then reads no further."""


class Connection(HttpToolsProtocol):
    """Use a subclass made by `connection`."""

    head_limits: Callable[[], HeadLimits]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = -1  # of a head that is arriving; -1 when none is
        self._begun = 0  # heads, in what is being read
        self._deadline: asyncio.TimerHandle | None = None
        self._wrong: TollwayError | None = None  # what a callback found, for the one who fed the parser
        self._last_word: TollwayError | None = None  # said when all that came before it is answered: nothing is read
        self._repeating = False  # the parser is shown a head that has been read already
        self._unanswered = 0  # requests

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        if not self._repeating:
            self._head_bytes = 0
            self._begun += 1
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._repeating:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes behind a body (RFC 9110, 6.5) is no header: it must not be taken for a sign-in, or for an address.
        if self._head_bytes >= 0:
            super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        if self._repeating:
            return
        self._head_bytes = -1
        if len(self.url) > ORDINARY_TARGET_BYTES and len(self.url) > (most := self.head_limits().bytes):
            self._wrong = HeadersTooLarge(f"The request's address is over {most} bytes.")
        elif (wrong := complaint(self.parser.get_http_version(), self.url, self.headers)) is not None:
            self._wrong = RequestError(f"{NO_HTTP} {wrong}")
        if self._wrong is not None:
            raise Refused
        super().on_headers_complete()
        self._unanswered += 1

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # else its body is still to come, see `_parse`
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unanswered -= 1
        if self._last_word is not None and not self._unanswered:
            self._say(self._last_word)

    def data_received(self, data: bytes) -> None:
        if self._last_word is not None:
            return None
        # A head that begins behind something else is counted from the next read on: a read is small, 256 KiB at most.
        goes_on = self._head_bytes >= 0
        counts = goes_on or not self._in_body()
        self._begun = 0
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            return self._refuse(self._wrong or RequestError(NO_HTTP))
        if self.transport.is_closing():
            return None
        if counts and self._head_bytes >= 0 and self._begun == (0 if goes_on else 1):
            self._head_bytes += len(data)
        if self._head_bytes < 0:
            if self._deadline is not None:
                self._disarm()
            self._keep_alive_again()
        elif self._head_bytes > (most := self.head_limits().bytes):
            self._refuse(HeadersTooLarge(f"The request's headers are over {most} bytes."))
        elif self._deadline is None:
            self._arm()
        return None

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It takes a request that asks for another protocol for one without a body; we have none to
        change to, and what follows is its body as ever (RFC 9110, 7.8): another parser is shown how it is framed."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self._repeating = True
            self.parser.feed_data(framing(self.headers))
            self._repeating = False

    def _in_body(self) -> bool:
        """The newest request is not known to be whole. What follows one that was answered early may be its body."""
        return self._known() and self.cycle.more_body

    def _known(self) -> bool:
        """There has been a request on this connection."""
        return isinstance(self.cycle, RequestResponseCycle)  # uvicorn says None to begin with

    def _keep_alive_again(self) -> None:
        """The rest of a request that was answered early keeps coming, and uvicorn has forgotten its timer."""
        if self._known() and self.cycle.response_complete and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(seconds := self.head_limits().seconds, self._too_late, seconds)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self, seconds: float) -> None:
        if self._head_bytes < 0:
            self.transport.close()  # nothing was said, so there is nothing to answer
        else:
            self._refuse(RequestTimeout(f"The request's headers took over {seconds:g} seconds: send it again."))

    def _refuse(self, error: TollwayError) -> None:
        """Read nothing more; answer once whatever came whole before this has been answered, and close."""
        self._disarm()
        self._last_word = error
        if self._unanswered and self.cycle.more_body:  # and the rest of it won't come
            self._unanswered -= 1
            if self.pipeline:
                self.pipeline.popleft()  # it has not begun
            else:
                # Whoever reads its body finds the client gone, and nothing that is answered is sent.
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                if self.cycle.response_started:
                    return self.transport.close()
        return None if self._unanswered else self._say(error)

    def _say(self, error: TollwayError) -> None:
        if not self.transport.is_closing():
            self.transport.write(_answer(error))
            self.transport.close()


def connection(limits: Callable[[], HeadLimits]) -> type[Connection]:
    """The protocol for uvicorn. `limits` is asked for each head: they may change."""

    class Limited(Connection):
        head_limits = staticmethod(limits)

    return Limited


def _answer(error: TollwayError) -> bytes:
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
