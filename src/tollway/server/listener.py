"""A listening socket that is answered: opened, and closed when what is under way has ended."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate

from tollway.domain.errors import TollwayError
from tollway.server.connection import Connection, HeadLimits, Site
from tollway.server.exchange import App

BACKLOG = 2048


class Listener:
    def __init__(self, server: asyncio.Server, site: Site) -> None:
        self._server = server
        self._site = site

    @classmethod
    async def open(
        cls,
        sock: socket.socket,
        app: App,
        limits: Callable[[], HeadLimits],
        refusal: Callable[[TollwayError], bytes],
        tls: ssl.SSLContext | None = None,
    ) -> "Listener":
        """Answer `sock`, which is bound; with TLS, where `tls` is given."""
        loop = asyncio.get_running_loop()
        site = Site(app, limits, refusal, Date().line, set(), set(), asyncio.Event())
        server = await loop.create_server(lambda: Connection(site, loop), sock=sock, backlog=BACKLOG, ssl=tls)
        return cls(server, site)

    async def close(self, seconds: float) -> None:
        """Accept nobody any more; wait `seconds` at most for the answers that are under way, and hang up."""
        self._server.close()
        for connection in tuple(self._site.connections):
            connection.shut_down()
        if self._site.connections:
            self._site.empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._site.empty.wait(), seconds)
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
