"""Reading a request's body off the raw ASGI channel, under a limit. It must not know what the body means."""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

from tollway.domain.errors import ClientGone, Overloaded, RequestError, RequestTooLarge, UnsupportedMediaType
from tollway.intake.limits import BYTES_PER_S_MIN

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

JSON = b"application/json"
_LENGTH_DIGITS_MAX = 18  # more than any size that fits 64 bits


class Patience(Protocol):
    """Whoever ends a wait that is too long: told how many seconds, from now, the rest of a body may take."""

    def extend(self, seconds: float) -> None: ...


class Bodies:
    """What callers have sent and calls still need: all of it together has a limit. Bodies that come in one piece are
    not among it, so that ordinary calls go on while others send more than there is room for."""

    def __init__(self) -> None:
        self.held = 0  # bytes

    def room(self, max_bytes: int) -> "Room":
        """For one call's; `max_bytes` are of all calls."""
        return Room(self, max_bytes)


class Room:
    """What one call's body takes of it, until it is closed."""

    __slots__ = ("_bodies", "_max_bytes", "_taken")

    def __init__(self, bodies: Bodies, max_bytes: int) -> None:
        self._bodies = bodies
        self._max_bytes = max_bytes
        self._taken = 0

    def close(self) -> None:
        """What was taken is given back."""
        self._bodies.held -= self._taken

    def take(self, size: int) -> None:
        """Raises Overloaded."""
        if self._bodies.held + size > self._max_bytes:
            raise Overloaded("This router holds as many bytes of requests as it may: try again.", retry_after_ms=1_000)
        self._bodies.held += size
        self._taken += size


async def read_body(
    receive: Receive,
    headers: Mapping[bytes, bytes],
    room: Room,
    max_bytes: int,
    patience: Patience,
    slow_sender_s: float,
) -> bytes:
    """The whole body, at most `max_bytes`. `headers` have lower-case names, as ASGI gives them.

    A declared length over the limit is refused before anything is read; an undeclared one as soon as it is passed.
    `patience` counts `slow_sender_s` already; while the body comes in pieces it is extended by what they buy.
    Raises UnsupportedMediaType, RequestTooLarge, RequestError (a content-length that is no number), Overloaded, and
    ClientGone.
    """
    _check_headers(headers, max_bytes)
    started = time.monotonic()
    body, more = _piece(await receive())
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if not more:
        return body
    room.take(len(body))
    whole = bytearray(body)  # not a list of pieces: a sender of tiny ones must not cost many times their size
    while more:
        patience.extend(started + slow_sender_s + len(whole) / BYTES_PER_S_MIN - time.monotonic())
        piece, more = _piece(await receive())
        if len(whole) + len(piece) > max_bytes:
            raise _too_large(max_bytes)
        room.take(len(piece))
        whole += piece
    return bytes(whole)


def _piece(message: MutableMapping[str, Any]) -> tuple[bytes, bool]:
    if message["type"] != "http.request":
        raise ClientGone("The client left while it was sending its request.")
    return message.get("body", b""), message.get("more_body", False)


def _check_headers(headers: Mapping[bytes, bytes], max_bytes: int) -> None:
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            raise RequestError("content-length must be a number of bytes.")
        if len(length) > _LENGTH_DIGITS_MAX or int(length) > max_bytes:
            raise _too_large(max_bytes)
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() != b"identity":
        raise UnsupportedMediaType("Compressed bodies are not accepted: send it without content-encoding.")
    content_type = headers.get(b"content-type", b"")
    if content_type != JSON and content_type.partition(b";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType("The body must be JSON: send it with content-type: application/json.")


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is too large: this router accepts at most {max_bytes} bytes.")
