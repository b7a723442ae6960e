"""Connections that may serve another request, by the place they lead to: the last to become free is the first to go out
again, so that what isn't needed grows old and is let go."""

import asyncio
from collections.abc import Hashable

from tollway.upstream.http1.connection import Connection

KEEP_ALIVE_S = 15.0  # an idle connection is dropped before most servers do it, which would break the next call
IDLE_MAX = 256  # a place: after a burst, what is beyond is dropped at once
MARGIN_S = 1.0  # let go of sooner than the other side has said that it will


class Pool:
    """Of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._loop = loop
        self._keep_alive_s = keep_alive_s
        self._idle: dict[Hashable, list[Connection]] = {}
        self._open: dict[Connection, Hashable] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._none_open = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """Connections that are open, in use or idle."""
        return len(self._open)

    def take(self, place: Hashable) -> Connection | None:
        """One that can be used at once."""
        idle = self._idle.get(place)
        while idle:
            connection = idle.pop()
            if connection.usable(self._loop.time()):
                return connection
            connection.drop()
        return None

    def adopt(self, connection: Connection, place: Hashable) -> None:
        """A new one, in use."""
        self._open[connection] = place

    def free(self, connection: Connection) -> None:
        """Its answer is over."""
        place = self._open.get(connection)
        keep_s = self._keep_alive_s
        if connection.keep_s is not None:
            keep_s = min(keep_s, connection.keep_s - MARGIN_S)
        if place is None or keep_s <= 0 or self._closed:
            connection.drop()
            return
        connection.idle_until = self._loop.time() + keep_s
        idle = self._idle.setdefault(place, [])
        idle.append(connection)
        if len(idle) > IDLE_MAX:
            idle.pop(0).drop()
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._keep_alive_s, self._sweep)

    def lost(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        if self._closed and not self._open:
            self._none_open.set()

    async def aclose(self) -> None:
        """Drop all, those in use too, and wait until their sockets are closed."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._idle.clear()
        self._closed = True
        for connection in list(self._open):
            connection.drop()
        if self._open:
            await self._none_open.wait()

    def _sweep(self) -> None:
        """Drop what is too old, or lost: one timer for all, and none where nothing is idle."""
        now = self._loop.time()
        self._sweeping = None
        for place, idle in list(self._idle.items()):
            kept = []
            for connection in idle:
                if connection.usable(now):
                    kept.append(connection)
                else:
                    connection.drop()
            if kept:
                self._idle[place] = kept
            else:
                del self._idle[place]
        if self._idle:
            self._sweeping = self._loop.call_later(self._keep_alive_s, self._sweep)
