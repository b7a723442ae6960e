"""Target: what a client sends, through our own server (server/).

However it is cut into reads, the application is given the same requests, each the one that another, strict reader
finds in its place: none is made of another's body, none is lost before one that is served; each has one answer; and
nothing is read behind a refusal.
"""

import asyncio
import atexit
import re
from typing import Any, NamedTuple

from fuzz import cuts, messages
from tollway.domain.outbox import Outbox
from tollway.egress.reply import refusal
from tollway.server.connection import Connection, HeadLimits, Site

BYTEWISE_MAX = 200
CALM = 3
TURNS_MAX = 400  # of the loop, for an application that has all it needs
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)
ANSWER = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) ")


class Wire:
    """asyncio.Transport, as far as a connection uses it."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.paused = False

    def get_extra_info(self, name: str) -> Any:
        return None

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        assert not self.closed, "something is said on a closed connection"
        self.written += data

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    abort = close


class Came(NamedTuple):
    """The requests that were served, the statuses that were answered, and whether the connection was closed by us."""

    served: list[messages.Request]
    statuses: list[bytes]
    closed: bool


def check(data: bytes) -> None:
    stream, pieces = cuts.split(data)
    came = LOOP.run_until_complete(play([stream]))
    ways = [pieces, list(cuts.bytewise(stream))] if len(stream) <= BYTEWISE_MAX else [pieces]
    for reads in ways:
        assert LOOP.run_until_complete(play(reads)) == came, "how it is cut decides what is read"
    expected = [_path_alone(request) for request in messages.requests(stream)]
    assert came.served == expected[: len(came.served)], "another reader finds other requests"
    good = came.statuses[: len(came.served)]
    assert good == [b"200"] * len(came.served), "a request that was served has another answer"
    refused = came.statuses[len(came.served) :]
    assert len(refused) <= 1
    assert came.closed or not refused, "something may follow a refusal"


def _path_alone(request: messages.Request) -> messages.Request:
    """Of a target that names a server (RFC 9112, 3.2.2) the application is given what stands behind it; and an empty
    query is none."""
    path, mark, query = re.sub(rb"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", b"", request.target).partition(b"?")
    return request._replace(target=path + mark + query if query else path)


async def play(reads: list[bytes]) -> Came:
    served: list[messages.Request] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        served.append(messages.Request(scope["method"].encode(), target, list(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    wire = Wire()
    limits = HeadLimits(16_384, 1e6)
    site = Site(app, lambda: limits, refusal, lambda: b"date: now\r\n", set(), set(), asyncio.Event(), Outbox(LOOP))
    connection = Connection(site, LOOP)
    connection.connection_made(wire)
    for read in reads:
        if read and not wire.closed:
            connection.data_received(read)
            await _settled(wire)
    connection.connection_lost(None)
    await asyncio.gather(*site.tasks)
    written = wire.written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    return Came(served, ANSWER.findall(written), wire.closed)


async def _settled(wire: Wire) -> None:
    """Nothing more happens before the next read, and it can come."""
    calm = 0  # turns in which nothing held the reading up
    for _ in range(TURNS_MAX):
        await asyncio.sleep(0)
        calm = 0 if wire.paused else calm + 1
        if calm == CALM or wire.closed:
            return
    raise AssertionError("nothing is read any more")
