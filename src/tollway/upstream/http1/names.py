"""A host's addresses: asked for once however many wait, and remembered for a few seconds.

It must not know what they are for, or which of them answers.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

KNOWN_S = 10.0  # a provider that moves is followed by then; a burst of new connections asks once
KNOWN_MAX = 1024  # names; they are those of a configuration


class Address(NamedTuple):
    family: int
    sockaddr: tuple[Any, ...]  # as the socket module takes it


Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def system_addresses(host: str, port: int) -> Sequence[Address]:
    """In the system's order of preference (RFC 6724). Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


class Names:
    """Of one event loop."""

    def __init__(self, resolve: Resolve = system_addresses) -> None:
        self._resolve = resolve
        self._known: dict[tuple[str, int], tuple[float, Sequence[Address]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[Sequence[Address]]] = {}

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """At least one, those of the two families in turn (RFC 8305, 4). Raises OSError."""
        if (written := _written(host, port)) is not None:
            return [written]
        place = (host, port)
        until, found = self._known.get(place, (0.0, ()))
        if asyncio.get_running_loop().time() < until:
            return found
        asking = self._asking.get(place)
        if asking is None:
            asking = self._asking[place] = asyncio.create_task(self._ask(place))
            asking.add_done_callback(_look)
        return await asyncio.shield(asking)  # who gives up leaves the others their answer

    def forget(self, host: str, port: int) -> None:
        """Nobody answers there."""
        self._known.pop((host, port), None)

    async def _ask(self, place: tuple[str, int]) -> Sequence[Address]:
        try:
            found = in_turn(await self._resolve(*place))
        finally:
            del self._asking[place]
        if not found:
            raise OSError(f"no address for {place[0]}")
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[place] = (asyncio.get_running_loop().time() + KNOWN_S, found)
        return found


def in_turn(addresses: Sequence[Address]) -> Sequence[Address]:
    """One of each family after the other, each in its order, the family of the first first."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    rows = itertools.zip_longest(*families.values())
    return [address for row in rows for address in row if address is not None]


def _written(host: str, port: int) -> Address | None:
    """A host that is an address itself."""
    for family, sockaddr in ((socket.AF_INET, (host, port)), (socket.AF_INET6, (host, port, 0, 0))):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return Address(family, sockaddr)
    return None


def _look(asking: "asyncio.Task[Sequence[Address]]") -> None:
    """Whoever waited may have given up: then nobody else takes note of a failure."""
    if not asking.cancelled():
        asking.exception()
