"""A client's connection: uvicorn's HTTP/1.1 with what it lacks.

A request's head has a limit and a deadline, and what is no HTTP is answered in the shape of every other error.

It knows bytes and time, not what is asked for: requests whose head is whole go on as uvicorn sends them.
"""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tollway.domain.errors import HeadersTooLarge, RequestError, RequestTimeout, TollwayError
from tollway.domain.ids import new_id
from tollway.egress.reply import error_headers, error_object
from tollway.wire import json


class HeadLimits(NamedTuple):
    """`seconds` are for a head that has begun, and for the first one to begin; between requests uvicorn's keep-alive
    timeout holds."""

    bytes: int
    seconds: float


class Connection(HttpToolsProtocol):
    """Use a subclass made by `connection`."""

    head_limits: Callable[[], HeadLimits]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = -1  # of a head that is arriving; -1 when none is
        self._begun = 0  # heads, in what is being read
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._begun += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        # A head that begins behind something else is counted from the next read on: a read is small, 256 KiB at most.
        goes_on = self._head_bytes >= 0
        counts = goes_on or not self._in_body()
        self._begun = 0
        super().data_received(data)
        if self.transport.is_closing():
            return
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

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when it can't read a request."""
        self._refuse(RequestError("This is no valid HTTP/1.1 request."))

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
        """Answer, unless an earlier request's answer is under way, and close."""
        self._disarm()
        if not self._known() or self.cycle.response_complete:
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
