"""Answers that nobody reads: a connection that takes nothing more of what was written to it is dropped.

A stream has its own limit while it runs (egress/reply.py). This is for what is over: an answer that was written whole,
the rest of one that was broken off, one that can't begin because an earlier one fills the socket.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple, Protocol

BYTES_PER_S_MIN = 32 * 1024  # a large answer may take as long as a slow line needs
LOOKS = 8  # in the time that a reader has
MARGIN_S = 2.0  # a stream's own limit is to be the first: it knows what the call costs


class Reader(Protocol):
    """A connection. `settled`: nothing is written to it for now but what is in its buffer; `resumes` counts the times
    that its buffer was emptied after it had been full."""

    transport: asyncio.Transport
    resumes: int

    @property
    def settled(self) -> bool: ...


class Behind(NamedTuple):
    """How far a reader was behind when it was first seen to be: bytes, and seconds of a clock."""

    since: float
    size: int
    resumes: int


class Unread:
    """Looks at all connections of a server now and then."""

    def __init__(self) -> None:
        self._behind: dict[Reader, Behind] = {}
        self._next = 0.0

    def look(self, readers: Iterable[Reader], now: float, slow_reader_s: float) -> None:
        """Drop those that have been behind for `slow_reader_s` and took less than BYTES_PER_S_MIN. May be called often:
        it looks only when it is time to."""
        if now < self._next:
            return
        self._next = now + slow_reader_s / LOOKS
        behind: dict[Reader, Behind] = {}
        for reader in readers:
            size = reader.transport.get_write_buffer_size()
            if not size or not reader.settled:
                continue
            seen = self._behind.get(reader)
            if seen is None or seen.resumes != reader.resumes or size > seen.size:
                seen = Behind(now, size, reader.resumes)
            waited = now - seen.since
            if waited >= slow_reader_s + MARGIN_S and seen.size - size < waited * BYTES_PER_S_MIN:
                drop(reader.transport)
            else:
                behind[reader] = seen
        self._behind = behind


def drop(transport: asyncio.Transport) -> None:
    """Hang up, and have the system forget what it still holds for the other side, which it would go on offering."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
