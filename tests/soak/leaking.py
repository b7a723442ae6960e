"""`python -m soak.leaking LEAKS ARGUMENTS`: the `tollway` command with leaks, for a soak to be seen to find them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from tollway import cli
from tollway.ledger.booking import Booking
from tollway.pipeline import Pipeline
from tollway.server.connection import Connection

KEPT_BYTES = 100_000


def keep(leak: Callable[[Any], None]) -> None:
    """Have `leak` done at every call."""
    chat = Pipeline.chat

    async def leaking(self: Pipeline, *arguments: Any) -> None:
        leak(self)
        await chat(self, *arguments)

    Pipeline.chat = leaking  # type: ignore[method-assign]


def memory() -> None:
    kept: list[bytearray] = []
    keep(lambda _: kept.append(bytearray(KEPT_BYTES)))


def files() -> None:
    keep(lambda _: os.dup(2))


def tasks() -> None:
    kept: list[asyncio.Future[Any]] = []
    keep(lambda _: kept.append(asyncio.ensure_future(asyncio.Event().wait())))


def connections() -> None:
    """One that is never heard of again, as far as its server knows."""
    lost = Connection.connection_lost
    count = 0

    def forgotten(self: Connection, exc: Exception | None) -> None:
        nonlocal count
        count += 1
        lost(self, exc)
        if count % 50 == 0:
            self._site.connections.add(self)

    Connection.connection_lost = forgotten  # type: ignore[method-assign]


def holds() -> None:
    """The hold of a call that came to nothing stays."""
    close = Booking.close
    count = 0

    async def left_open(self: Booking) -> None:
        nonlocal count
        count += 1
        if count % 20:
            await close(self)

    Booking.close = left_open  # type: ignore[method-assign]


LEAKS: dict[str, Callable[[], None]] = {
    "memory": memory,
    "files": files,
    "tasks": tasks,
    "connections": connections,
    "holds": holds,
}


def main() -> None:
    for leak in sys.argv[1].split(","):
        LEAKS[leak]()
    sys.argv = ["tollway", *sys.argv[2:]]
    with contextlib.suppress(BrokenPipeError):
        cli.main()


if __name__ == "__main__":
    main()
