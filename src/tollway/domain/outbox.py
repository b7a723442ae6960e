"""Small writes of one round of the event loop, made one after the other at its end.

A write to somebody on the same machine who sleeps wakes him, and each fills the processor's caches with the kernel's
code. Of several in a row only the first wakes, and only the last is followed by other work.

It must not know what is written, nor what follows from it.
"""

import asyncio
import logging

log = logging.getLogger("tollway")

HELD_MAX = 16  # writes, then they are made at once: whoever came first waits for little
SMALL_BYTES_MAX = 16 << 10  # of a write that may wait; of a larger one the writing itself is the work


class Outbox:
    """`round` counts how often what was held has been written."""

    __slots__ = ("_held", "_loop", "round")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[tuple[asyncio.WriteTransport, bytes]] = []
        self.round = 0

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """As `transport.write`, before the loop waits again. Whoever closes `transport` calls `release` first; what is
        still held for one that was aborted or lost is dropped."""
        held = self._held
        if not held:
            self._loop.call_soon(self.release)
        held.append((transport, data))
        if len(held) >= HELD_MAX or len(data) > SMALL_BYTES_MAX:
            self.release()

    def release(self) -> None:
        """Write what is held, in the order in which it came."""
        self.round += 1
        held, self._held = self._held, []
        for transport, data in held:
            if transport.is_closing():
                continue
            try:
                transport.write(data)
            except Exception:  # the others' writes are still to be made
                log.exception("a write failed")
                transport.abort()
