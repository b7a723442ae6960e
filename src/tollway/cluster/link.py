"""The one connection to Valkey: operations go in batches, a round trip each, and nobody waits for one that is lost.

Theory. Whoever asks puts an operation into the queue; one task sends all that wait as one script call and gives out the
answers. So operations are carried out in the order in which they were said, a busy router sends larger batches and not
more of them, and a Valkey that doesn't answer costs those ANSWER_S who were waiting when it was lost. From then on
every question fails at once, until a probe beside the path has been answered.

Must not know what is counted, or what a lost Valkey means for a call.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import msgspec
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from tollway.config.valkey import ValkeyUrl
from tollway.domain.errors import LimitsUnavailable
from tollway.domain.observer import Observer

ANSWER_S = 1.0  # for a batch; one takes a millisecond, so a Valkey that takes longer is lost
CONNECT_S = 2.0  # with TLS and password; nobody but the start waits for it
PROBE_S = 1.0  # between two tries to reach a Valkey that is lost
BATCH_MAX = 256  # operations; Valkey serves nobody else for 2 ms meanwhile
SAID_MAX = 10_000  # operations that nobody waits for, while Valkey is lost: about 3 MB

SCRIPT = files("tollway.cluster").joinpath("batch.lua").read_bytes()
DIGEST = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()  # what EVALSHA names a script by

Operation = Sequence[Any]  # its name in batch.lua, and what it takes


class _Said:
    """One operation in the queue. `answer` is what somebody waits for; `unwanted` is told what was answered to somebody
    who has gone. What is `repeatable` is said again when nobody knows whether it was heard."""

    __slots__ = ("answer", "operation", "repeatable", "unwanted")

    def __init__(
        self,
        operation: Operation,
        answer: asyncio.Future[Any] | None = None,
        unwanted: Callable[[Any], None] | None = None,
        repeatable: bool = False,
    ) -> None:
        self.operation = operation
        self.answer = answer
        self.unwanted = unwanted
        self.repeatable = repeatable


class Link:
    """Belongs to one event loop. `now_us`: whose clock counts, if it isn't Valkey's own."""

    def __init__(
        self,
        url: ValkeyUrl,
        password: str | None,
        observer: Observer,
        now_us: Callable[[], int] | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.lost = False
        self.connected: Callable[[], None] = lambda: None  # called whenever a connection has been made
        self._url = url
        self._password = password
        self._observer = observer
        self._now_us = now_us
        self._answer_s = answer_s
        self._connection: AbstractConnection | None = None
        self._queue: deque[_Said] = deque()
        self._wake = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Connect, if that can be done: a Valkey that is lost from the beginning is sought as any other."""
        await self._connect()
        self._serving = asyncio.create_task(self._serve())

    async def aclose(self) -> None:
        """Say what is still to be said, and hang up."""
        self._closing = True
        self._wake.set()
        if self._serving is not None:
            if self._connection is None:
                self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        self._fail(self._queue)
        await self._hang_up()

    async def ask(self, operation: Operation, unwanted: Callable[[Any], None] | None = None) -> Any:
        """What is answered. Raises LimitsUnavailable; then nobody knows whether it was carried out, but at once and
        without trying when Valkey is lost."""
        if self._connection is None:
            raise LimitsUnavailable("Valkey is lost")
        answer = asyncio.get_running_loop().create_future()
        self._queue.append(_Said(operation, answer, unwanted))
        self._wake.set()
        return await answer

    def say(self, operation: Operation, *, repeatable: bool = False) -> None:
        """Have it carried out, some time. While Valkey is lost the newest SAID_MAX are kept."""
        if self._connection is None and len(self._queue) >= SAID_MAX:
            self._queue.popleft()
        self._queue.append(_Said(operation, None, None, repeatable))
        self._wake.set()

    async def _serve(self) -> None:
        while not self._closing or (self._queue and self._connection is not None):
            if self._connection is None:
                await asyncio.sleep(PROBE_S)
                await self._connect()
                continue
            await self._wake.wait()
            self._wake.clear()
            while self._queue and self._connection is not None:
                await self._exchange(self._connection)

    async def _exchange(self, connection: AbstractConnection) -> None:
        """Send a batch and give out its answers; or lose the connection."""
        batch: list[_Said] = []
        while self._queue and len(batch) < BATCH_MAX:
            said = self._queue.popleft()
            if said.answer is None or not said.answer.done():  # else whoever asked has gone
                batch.append(said)
        if not batch:
            return
        try:
            async with asyncio.timeout(self._answer_s):
                answers = await self._call(connection, [said.operation for said in batch])
            _give_out(batch, answers)
        except asyncio.CancelledError:
            self._give_up(batch)
            await self._hang_up()
            raise
        except Exception as error:  # whatever it is: nobody may be left waiting
            self._give_up(batch)
            await self._lose(error)

    async def _call(self, connection: AbstractConnection, operations: list[Operation]) -> list[Any]:
        now = b"" if self._now_us is None else b"%d" % self._now_us()
        packed = msgspec.msgpack.encode(operations)
        try:
            await connection.send_command("EVALSHA", DIGEST, 0, now, packed)
            answer = await connection.read_response(disable_decoding=True)
        except NoScriptError:  # once for each start of Valkey
            await connection.send_command("EVAL", SCRIPT, 0, now, packed)
            answer = await connection.read_response(disable_decoding=True)
        return msgspec.msgpack.decode(answer, type=list[Any])

    async def _connect(self) -> None:
        connection = _connection(self._url, self._password)
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._call(connection, [])
        except asyncio.CancelledError:
            await connection.disconnect(nowait=True)
            raise
        except Exception as error:  # whatever it is: the next probe must come
            await connection.disconnect(nowait=True)
            self._report(error)
            return
        self._connection = connection
        self.connected()
        self._wake.set()
        if self.lost:
            self.lost = False
            self._observer.alarm("cluster_recovered", f"{self._url} answers again: limits are counted")

    async def _lose(self, error: Exception) -> None:
        await self._hang_up()
        self._fail(self._queue)
        self._queue = deque(said for said in self._queue if said.answer is None)
        self._report(error)

    def _report(self, error: Exception) -> None:
        """Once for each time that it is lost, however many ask."""
        if not self.lost:
            self.lost = True
            why = str(error) or "no answer in time"
            self._observer.alarm("cluster_lost", f"{self._url} can't be asked ({type(error).__name__}: {why})")

    def _give_up(self, batch: list[_Said]) -> None:
        """Nobody knows whether the batch was carried out."""
        self._fail(batch)
        self._queue.extendleft(said for said in reversed(batch) if said.repeatable)

    def _fail(self, some: Sequence[_Said]) -> None:
        for said in some:
            if said.answer is not None and not said.answer.done():
                said.answer.set_exception(LimitsUnavailable("Valkey was lost"))

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _give_out(batch: Sequence[_Said], answers: Sequence[Any]) -> None:
    for said, answer in zip(batch, answers, strict=True):
        if said.answer is None:
            continue
        if not said.answer.done():
            said.answer.set_result(answer)
        elif said.unwanted is not None:
            said.unwanted(answer)


def _connection(url: ValkeyUrl, password: str | None) -> AbstractConnection:
    """Not connected yet. Tries nothing twice, and sets no timer of its own: who calls does."""
    common: dict[str, Any] = {
        "db": url.db,
        "username": url.username,
        "password": password,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "client_name": "tollway",
        "protocol": 2,
    }
    if url.path is not None:
        return UnixDomainSocketConnection(path=url.path, **common)
    kind = SSLConnection if url.tls else Connection
    return kind(host=url.host, port=url.port, **common)
