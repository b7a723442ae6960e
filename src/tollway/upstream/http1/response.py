"""An answer as far as it came: its connection puts in, whoever asked takes out.

It must not know how the bytes got here; that it is read slowly it says through `Source`.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from tollway.domain.errors import ProviderFault
from tollway.upstream.http1.rounds import Rounds

READ_BYTES_MAX = 64 << 10  # pieces that came one by one are given together up to here
UNREAD_BYTES_MAX = 128 << 10  # the socket is left alone while more than this waits to be read
UNREAD_PARTS_MAX = 4096  # the same for a body of tiny reads, each of which costs more than its bytes


class Source(Protocol):
    """The connection that an answer comes on."""

    paused: bool  # it reads nothing more for now

    def resume(self) -> None:
        """What was unread has been read."""

    def drop(self) -> None:
        """Nobody wants the rest."""


class Headers(Mapping[str, str]):
    """Fields as text, which each becomes when it is asked for: of an answer that is well hardly any is."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode() in self._fields

    def __getitem__(self, name: str) -> str:
        value = self._fields.get(name.encode())
        if value is None:
            raise KeyError(name)
        return value.strip(b" \t").decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Response:
    """domain.seams.HttpResponse. `fields` are the headers as they came, names in lower case, the first of each."""

    __slots__ = (
        "_cause",
        "_failure",
        "_headers",
        "_late",
        "_loop",
        "_pumped",
        "_rounds",
        "_source",
        "_waiter",
        "broken",
        "ended",
        "fields",
        "parts",
        "size",
        "stale",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, source: Source, rounds: Rounds) -> None:
        self.status = 0  # until the head has come
        self.fields: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []  # of the body, not yet read
        self.size = 0  # of the parts, together
        self.ended = False  # nothing more comes
        self.broken = ""  # why, when that wasn't the end of the answer
        self.stale = False  # the connection was lost that may have been closed before the request came
        self._cause: BaseException | None = None
        self._source: Source | None = source  # until it ended
        self._headers: Mapping[str, str] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pumped: Callable[[bytes], bool] | None = None  # takes what comes, while nothing is unread
        self._failure: Exception | None = None  # what that raised
        self._loop = loop
        self._rounds = rounds
        self._late = False  # what came is handed over in a round to come

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = Headers(self.fields)
        return self._headers

    async def head(self) -> None:
        """Until the head has come. Raises ProviderFault when it never will."""
        while not self.status:
            if self.ended:
                raise ProviderFault(
                    "stale_connection" if self.stale else "connect_failed", self.broken
                ) from self._cause
            await self._more()

    async def read(self) -> bytes:
        while not self.size:
            if self.broken:
                raise ProviderFault("cut", f"the body broke off: {self.broken}", status=self.status) from self._cause
            if self.ended:
                return b""
            await self._more()
        return self._take()

    def whole(self) -> bytes | None:
        if not self.ended or self.broken:
            return None
        parts, self.parts, self.size = self.parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        while self.size:
            if not take(self._take()):
                return
        if self.ended:
            return
        self._pumped = take
        try:
            await self._more()
        finally:
            self._pumped = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def close(self) -> None:
        source = self._source
        if source is not None:
            self.end("it was closed by us")
            source.drop()

    @property
    def crowded(self) -> bool:
        """More is unread than should be kept here."""
        return self.size > UNREAD_BYTES_MAX or len(self.parts) > UNREAD_PARTS_MAX

    def add(self, pieces: list[bytes]) -> None:
        """More of the body came: all that one read brought, which is taken out of `pieces`."""
        if len(pieces) == 1:
            data = pieces.pop()
        else:
            data = b"".join(pieces)
            pieces.clear()
        take = self._pumped
        if take is None:
            self._keep(data)
            self.wake()
            return
        rounds = self._rounds
        if rounds.room:
            rounds.room -= 1
        elif self._late or rounds.later(self):
            self._late = True
            self._keep(data)
            return
        if len(data) <= READ_BYTES_MAX:
            self._give(take, data)
        else:
            self._keep(data)
            self.hand_over()

    def hand_over(self) -> None:
        """It has its turn: rounds.Late."""
        self._late = False
        while (take := self._pumped) is not None and self.size:
            self._give(take, self._take())

    def _keep(self, data: bytes) -> None:
        """Until it is read. A read of the socket may bring more than is given together."""
        self.size += len(data)
        if len(data) <= READ_BYTES_MAX:
            self.parts.append(data)
        else:
            self.parts += [data[at : at + READ_BYTES_MAX] for at in range(0, len(data), READ_BYTES_MAX)]

    def _give(self, take: Callable[[bytes], bool], data: bytes) -> None:
        try:
            if take(data):
                return
        except Exception as error:  # not the connection's to handle: it has called us
            self._failure = error
        self._pumped = None
        self.wake()

    def wake(self) -> None:
        """Whoever waits has something to see."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def end(self, broken: str = "", cause: BaseException | None = None, *, stale: bool = False) -> None:
        """Nothing more comes: the answer is whole, or `broken` for this reason. What came before can still be read."""
        self.stale = stale
        self.ended = True
        self.broken = broken
        self._cause = cause
        self._source = None
        self.wake()

    def _more(self) -> asyncio.Future[None]:
        """What to wait for: see `wake`."""
        assert self._waiter is None or self._waiter.done(), "an answer has one reader"
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _take(self) -> bytes:
        parts = self.parts
        if len(parts) == 1:
            data = parts.pop()
            self.size = 0
        elif self.size <= READ_BYTES_MAX:
            data = b"".join(parts)
            parts.clear()
            self.size = 0
        else:
            count, size = 1, len(parts[0])
            while count < len(parts) and size + len(parts[count]) <= READ_BYTES_MAX:
                size += len(parts[count])
                count += 1
            data = b"".join(parts[:count])
            del parts[:count]
            self.size -= size
        source = self._source
        if source is not None and source.paused and self.size < READ_BYTES_MAX:
            source.resume()
        return data
