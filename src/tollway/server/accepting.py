"""Taking connections in: as many as there may be, and never so fast that a shortage becomes a busy loop.

Where there are as many as there may be, those that have had no request under way for longest are closed to make room;
where every one is being served, the next wait in the system's queue. Must not know HTTP.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Collection
from typing import Protocol, cast

AT_ONCE = 64  # connections taken in before others get their turn
MAKE_ROOM_SHARE = 16  # one in so many of those at rest is closed at a time, so that looking for them costs little
HANDSHAKE_S = 10.0  # for TLS to be agreed on: a round trip or two, and a signature
FULL_S = 0.05  # before it is looked again whether there is room
SHORT_S = 1.0  # before it is tried again when the system has no file or memory left
TIMEOUT_MS_MAX = 2**31 - 1  # a C int
SAY_AGAIN_S = 60.0  # between two alarms of the same flood


class Visitor(Protocol):
    """A connection that was taken in; its transport is None until it is made. `resting_since` is when its last request
    ended, or it began, in the loop's time; None while a request is under way or the connection is closing."""

    @property
    def transport(self) -> asyncio.Transport | None: ...

    @property
    def resting_since(self) -> float | None: ...

    def close(self) -> None: ...


class Acceptor:
    """One a listening socket.

    `connections` are those made and not lost, `most` is how many there may be, `alarm` is told when there are as many.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[], Visitor],
        connections: Collection[Visitor],
        *,
        most: Callable[[], int],
        alarm: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._sock = sock
        self._make = make
        self._connections = connections
        self._most = most
        self._alarm = alarm
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._coming: dict[asyncio.Task[None], list[Visitor]] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0
        self._places = 0  # that were made by closing connections, and are not taken yet
        sock.setblocking(False)
        self._loop.add_reader(sock, self._take_in)

    @property
    def coming(self) -> int:
        """Connections that are not made yet: they are agreeing on TLS."""
        return sum(1 for made in self._coming.values() if not made or made[0].transport is None)

    async def close(self) -> None:
        """Take no more in, and close the socket. Connections that are open stay."""
        if self._pause is None:
            self._loop.remove_reader(self._sock)
        else:
            self._pause.cancel()
        self._sock.close()
        for task in self._coming:
            task.cancel()
        await asyncio.gather(*self._coming, return_exceptions=True)

    def _take_in(self) -> None:
        for number in range(AT_ONCE):
            if not self._has_room() and not self._places:
                if number:
                    return None  # only the first knows that somebody waits: nobody has to go for one who isn't there
                self._places = self._make_room()
                if not self._places:
                    return self._wait(FULL_S)
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return None
            except OSError as error:  # no file, no memory: the connection stays in the queue
                self._say(f"no connection can be taken in: {error.strerror}")
                return self._wait(SHORT_S)
            self._places = max(0, self._places - 1)
            sock.setblocking(False)
            made: list[Visitor] = []
            task = self._loop.create_task(self._begin(sock, made))
            self._coming[task] = made
            task.add_done_callback(self._coming.pop)
        return None

    async def _begin(self, sock: socket.socket, made: list[Visitor]) -> None:
        def make() -> asyncio.Protocol:
            made.append(self._make())
            return cast(asyncio.Protocol, made[0])

        handshake_s = None if self._tls is None else HANDSHAKE_S
        try:
            await self._loop.connect_accepted_socket(make, sock, ssl=self._tls, ssl_handshake_timeout=handshake_s)
        except OSError:  # it left, or speaks no TLS of ours
            sock.close()
        except asyncio.CancelledError:
            sock.close()
            raise

    def _has_room(self) -> bool:
        most, made = self._most(), len(self._connections)
        # The first is quick, the second exact: those that were just made are still among those that come.
        if made + len(self._coming) < most or made + self.coming < most:
            self._places = 0
            return True
        return False

    def _make_room(self) -> int:
        """Close those that have been at rest for longest. How many."""
        resting = [(since, visitor) for visitor in self._connections if (since := visitor.resting_since) is not None]
        self._say(f"{self._most()} connections are open; at rest: {len(resting)}")
        resting.sort(key=lambda pair: pair[0])
        longest = resting[: -(-len(resting) // MAKE_ROOM_SHARE)]
        for _, visitor in longest:
            visitor.close()
        return len(longest)

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._take_in)

    def _say(self, what: str) -> None:
        now = self._loop.time()
        if now >= self._quiet_until:
            self._quiet_until = now + SAY_AGAIN_S
            self._alarm(what)


def keep_watch(sock: socket.socket, unread_s: float) -> None:
    """Have the system find out about peers that vanished without a word: what it accepts from `sock` inherits this.

    A connection on which nothing happens is probed; one whose bytes nobody acknowledges, or takes, for `unread_s` is
    dropped (RFC 5482)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    unread_ms = min(round(unread_s * 1000), TIMEOUT_MS_MAX)
    options = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": unread_ms}
    for name, value in options.items():
        with contextlib.suppress(AttributeError, OSError):  # macOS and others lack some
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
