"""A listening socket that is answered: opened, and closed when what is under way has ended."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import NamedTuple

from tollway.domain.errors import TollwayError
from tollway.domain.outbox import Outbox
from tollway.server.accepting import Acceptor
from tollway.server.connection import Connection, HeadLimits, Site
from tollway.server.exchange import App
from tollway.server.unread import Unread

BACKLOG = 2048
LOOK_S = 1.0  # between two looks at who reads what was written


class Bounds(NamedTuple):
    """Of all connections: how many there may be, how many seconds one may leave its answer unread (both are asked for
    each time: they may change), and who is told when there are too many."""

    connections: Callable[[], int]
    slow_reader_s: Callable[[], float]
    alarm: Callable[[str], None]


class Listener:
    def __init__(self, acceptor: Acceptor, site: Site, slow_reader_s: Callable[[], float]) -> None:
        self._acceptor = acceptor
        self._site = site
        self._slow_reader_s = slow_reader_s
        self._unread = Unread()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    @classmethod
    def open(
        cls,
        sock: socket.socket,
        app: App,
        limits: Callable[[], HeadLimits],
        refusal: Callable[[TollwayError], bytes],
        bounds: Bounds,
        tls: ssl.SSLContext | None = None,
    ) -> "Listener":
        """Answer `sock`, which listens; with TLS, where `tls` is given."""
        loop = asyncio.get_running_loop()
        site = Site(app, limits, refusal, Date().line, set(), set(), asyncio.Event(), Outbox(loop))
        acceptor = Acceptor(
            sock,
            lambda: Connection(site, loop),
            site.connections,
            most=bounds.connections,
            alarm=bounds.alarm,
            tls=tls,
        )
        return cls(acceptor, site, bounds.slow_reader_s)

    @property
    def connections(self) -> int:
        """That are open, those included that are still agreeing on TLS."""
        return len(self._site.connections) + self._acceptor.coming

    def _look(self) -> None:
        self._unread.look(tuple(self._site.connections), self._loop.time(), self._slow_reader_s())
        self._timer = self._loop.call_later(LOOK_S, self._look)

    async def close(self, seconds: float) -> None:
        """Accept nobody any more; wait `seconds` at most for the answers that are under way, and hang up."""
        await self._acceptor.close()
        for connection in tuple(self._site.connections):
            connection.shut_down()
        if self._site.connections:
            self._site.empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._site.empty.wait(), seconds)
        self._timer.cancel()
        for connection in tuple(self._site.connections):
            connection.transport.abort()
        for task in tuple(self._site.tasks):
            task.cancel()


class Date:
    """The Date header (RFC 9110, 6.6.1), made once a second at most."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line
