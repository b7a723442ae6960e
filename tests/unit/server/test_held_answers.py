"""An answer that is still in the outbox when its connection comes to its end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tollway.domain.errors import TollwayError
from tollway.domain.outbox import Outbox
from tollway.server.connection import Connection, HeadLimits, Site


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


async def answers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


def no_refusal(error: TollwayError) -> bytes:
    raise AssertionError(f"nothing is refused: {error}")


def the_client_says_no_more(connection: Connection, wire: Wire) -> None:
    connection.eof_received()
    wire.close()  # as the event loop does then


def room_is_made_for_others(connection: Connection, wire: Wire) -> None:
    assert connection.resting_since is not None
    connection.close()


def the_server_stops(connection: Connection, wire: Wire) -> None:
    connection.shut_down()


@pytest.mark.parametrize("end", [the_client_says_no_more, room_is_made_for_others, the_server_stops])
async def test_it_is_written_first(end: Callable[[Connection, Wire], None]) -> None:
    loop, wire, limits = asyncio.get_running_loop(), Wire(), HeadLimits(16_384, 10.0)
    site = Site(
        answers, lambda: limits, no_refusal, lambda: b"date: now\r\n", set(), set(), asyncio.Event(), Outbox(loop)
    )
    connection = Connection(site, loop)
    connection.connection_made(wire)
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.sleep(0)
    assert not wire.written, "it is held until the round ends"
    end(connection, wire)
    assert wire.closing and wire.written.endswith(b"\r\n\r\nhi")
    await asyncio.sleep(0)
    assert wire.written.count(b"HTTP/1.1 200 OK") == 1
    connection.connection_lost(None)
