"""Target: what a provider sends, through our own HTTP/1.1 (upstream/http1).

However it is cut into reads: a whole answer is the one that another, strict reader finds; anything else is a
ProviderFault; and a connection is used again only where nothing is left on it that could be taken for an answer.
"""

import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, NamedTuple

from fuzz import cuts, messages
from tollway.domain.errors import ProviderFault
from tollway.domain.outbox import Outbox
from tollway.upstream.http1.connection import Connection
from tollway.upstream.http1.response import Response
from tollway.upstream.http1.rounds import Rounds

BYTEWISE_MAX = 300


class Waits(Exception):
    """A read that would go on waiting."""


class Never:
    """A future that is waited for, and the loop that makes it: whatever would wait has to be over."""

    def create_future(self) -> "Never":
        return self

    def call_soon(self, callback: Any) -> None:
        """There is no next round."""

    def done(self) -> bool:
        return True

    def set_result(self, value: None) -> None:
        pass

    def __await__(self) -> Iterator[None]:
        yield


class Quiet:
    """A socket on which nothing happens."""

    def fileno(self) -> int:
        return 0


class Wire:
    """asyncio.Transport, as far as a connection uses it."""

    def __init__(self) -> None:
        self.aborted = False

    def get_extra_info(self, name: str) -> Any:
        return Quiet() if name == "socket" else None

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


class Came(NamedTuple):
    """What came of an answer: its fault is None when it is whole."""

    status: int
    headers: dict[str, str]
    body: bytes
    fault: str | None
    reusable: bool


def check(data: bytes) -> None:
    """The first byte says how the connection ends behind it: in order, by a reset, or not at all."""
    ending = data[0] % 3 if data else 0
    stream, pieces = cuts.split(data[1:])
    came = play([stream], ending)
    ways = [pieces, list(cuts.bytewise(stream))] if len(stream) <= BYTEWISE_MAX else [pieces]
    played = [came, *(play(reads, ending) for reads in ways)]
    try:
        expected = messages.answer(stream, ended=ending == 0)
    except messages.Unclear:
        expected = None
    for way in played:
        assert way[:-1] == came[:-1], "how it is cut decides what is read"
        if way.reusable:
            assert way.fault is None, "a connection is used again behind a fault"
            # Blank lines are nothing (RFC 9112, 2.2), and it is chance whether they come with the answer or behind it.
            assert expected is not None and expected.rest is not None, "it ends with its connection"
            assert expected.rest.strip(b"\r\n") == b"", "something is left for the next request"
    if came.fault is None:
        assert expected is not None, "another reader finds no whole answer"
        assert (came.status, came.body) == (expected.status, expected.body), "another reader finds another answer"
        assert came.headers == _first(expected.headers)


def play(reads: list[bytes], ending: int) -> Came:
    free: list[Connection] = []
    wire = Wire()
    loop = Never()
    outbox = Outbox(loop)
    connection = Connection(
        loop, free.append, lambda lost: free.remove(lost) if lost in free else None, Rounds(loop), outbox
    )
    connection.connection_made(wire)
    response = connection.send(b"", b"", bodyless=False)
    outbox.release()
    for read in reads:
        if read and not wire.aborted:
            connection.data_received(read)
    if not wire.aborted and ending == 0:
        connection.eof_received()
        if not wire.aborted:
            connection.connection_lost(None)
    elif not wire.aborted and ending == 1:
        connection.connection_lost(ConnectionResetError("reset"))
    reusable = bool(free) and not wire.aborted
    body, fault = b"", None
    try:
        over(response.head())
        while piece := over(response.read()):
            body += piece
    except ProviderFault as problem:
        fault = problem.outcome
        assert wire.aborted or ending != 2, "a connection is kept behind a fault"
    except Waits:
        assert ending == 2 and not wire.aborted, "a read waits for what can't come"
        fault = "waits"
    headers = dict(response.headers)
    _close(response)
    return Came(response.status, headers, body, fault, reusable and fault is None)


def over(reading: Coroutine[Any, Any, Any]) -> Any:
    """What is there already."""
    try:
        reading.send(None)
    except StopIteration as done:
        return done.value
    with contextlib.closing(reading):
        raise Waits


def _close(response: Response) -> None:
    response.close()
    response.close()


def _first(headers: messages.Headers) -> dict[str, str]:
    """As domain.seams.HttpResponse has them: the first of each name."""
    return {name.decode(): value.decode("latin-1") for name, value in reversed(headers)}
