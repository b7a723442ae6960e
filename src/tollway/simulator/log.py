"""What the simulator saw and did, one record an attempt. Filled in while the attempt runs, read as immutable records.

Keeping it costs the hot path one object: names and values are decoded when somebody looks."""

import sys
from collections import deque
from typing import Any

import msgspec

LOG_ATTEMPTS_MAX = 10_000
LOG_BYTES_MAX = 64 * 1024 * 1024  # of bodies: a few of the largest requests, or all of the usual ones


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the simulator. `ended` is "open" while it runs, then "complete", "client_closed", "stopped",
    "status" (an error was asked for), "refused" (the request or its scenario was wrong, or the client pipelined) or the
    name of the fault."""

    sequence: int
    at: float  # Unix seconds
    path: str
    model: str | None
    stream: bool
    headers: tuple[tuple[str, str], ...]  # as they were sent, in order
    body: bytes
    status: int | None  # None while, or because, no status line was sent
    events: int  # data events of a stream, [DONE] included
    prompt_tokens: int  # that a provider would bill: 0 until a 200 was sent
    completion_tokens: int  # sent so far; a completion_tokens= of the scenario once complete
    ended: str
    client_closed: bool  # the client was gone before the answer's end, even when a fault has its name in `ended`


class Exchange:
    """An attempt while it runs."""

    __slots__ = (
        "at",
        "body",
        "client_closed",
        "completion_tokens",
        "ended",
        "events",
        "headers",
        "model",
        "path",
        "prompt_tokens",
        "sequence",
        "status",
        "stream",
    )

    def __init__(self, sequence: int, at: float, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.sequence = sequence
        self.at = at
        self.path = path
        self.headers = headers
        self.body = body
        self.model: str | None = None
        self.stream = False
        self.status: int | None = None
        self.events = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.ended: str | None = None
        self.client_closed = False

    def record(self) -> Attempt:
        return Attempt(
            sequence=self.sequence,
            at=self.at,
            path=self.path.decode("latin-1"),
            model=self.model,
            stream=self.stream,
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers),
            body=self.body,
            status=self.status,
            events=self.events,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            ended=self.ended or "open",
            client_closed=self.client_closed,
        )


class Log:
    """The newest attempts, oldest first; bounded in number and in bytes of bodies."""

    def __init__(self, attempts_max: int | None = LOG_ATTEMPTS_MAX, bytes_max: int | None = LOG_BYTES_MAX) -> None:
        self._attempts_max = sys.maxsize if attempts_max is None else attempts_max
        self._bytes_max = sys.maxsize if bytes_max is None else bytes_max
        self._kept: deque[Exchange] = deque()
        self._bytes = 0

    def add(self, exchange: Exchange) -> None:
        self._kept.append(exchange)
        self._bytes += len(exchange.body)
        while len(self._kept) > self._attempts_max or self._bytes > self._bytes_max:
            self._bytes -= len(self._kept.popleft().body)

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0

    def records(self, after: int = 0) -> tuple[Attempt, ...]:
        return tuple(exchange.record() for exchange in self._kept if exchange.sequence > after)


def as_json(attempt: Attempt) -> dict[str, Any]:
    """A record for GET /log: the body as text, bytes that are no UTF-8 replaced."""
    return {**msgspec.structs.asdict(attempt), "body": attempt.body.decode("utf-8", "replace")}
