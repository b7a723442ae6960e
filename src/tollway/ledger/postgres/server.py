"""The database server: how it is reached, what a session is like, and what its errors mean for what was being done.

Knows nothing of the books.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Literal

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo

from tollway.config.places import LedgerUrl
from tollway.domain.errors import LedgerUnavailable, LedgerUnusable
from tollway.ledger.postgres.queries import QUERIES

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

CONNECT_S_MAX = 10
# A server that vanished, or a network that swallows everything, is found out in about 10 s, also in the middle of a
# statement: TCP by itself takes a quarter of an hour. (libpq's settings; where the system lacks one, it does nothing.)
LOST_LINE = {"tcp_user_timeout": 10_000, "keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3}
# A transaction takes milliseconds. What waits this long for a lock is given up, so that one stuck session can't take
# every caller with it; the server itself ends a session that fell silent in the middle of one.
LOCK_WAIT_MS_MAX = 3_000
STATEMENT_MS_MAX = 10_000
SILENT_MS_MAX = 5_000

RETRY_AFTER_MS = 1_000
READERS_MAX = 4  # connections that read: statements, usage, revocations
READER_WAIT_S_MAX = 5.0  # for one of them to be free; longer, and the database is slower than it is asked

Meaning = Literal["again", "refused", "lost"]
_AGAIN = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.UniqueViolation,  # another replica was first with the same id or account: asked again, it is found
)


def conninfo(url: LedgerUrl) -> str:
    """What libpq is told. A password that isn't configured is libpq's to find: PGPASSWORD, PGPASSFILE, ~/.pgpass.

    Raises LedgerUnusable for a URL that libpq doesn't understand."""
    secret: dict[str, Any] = {} if url.password is None else {"password": url.password.reveal()}
    try:
        return make_conninfo(
            url.conninfo,
            **secret,
            connect_timeout=CONNECT_S_MAX,
            **LOST_LINE,
            application_name="tollway",
            target_session_attrs="read-write",
            client_encoding="utf8",
        )
    except psycopg.ProgrammingError as error:
        raise LedgerUnusable(f"ledger.url is not understood ({first_line(error)}).") from error


async def connect(info: str) -> Connection:
    """Raises psycopg.Error."""
    connection = await psycopg.AsyncConnection.connect(info, autocommit=True)
    try:
        await connection.execute(QUERIES["prepare_session"], SESSION)
    except BaseException:
        await connection.close()
        raise
    return connection


SESSION = (str(LOCK_WAIT_MS_MAX), str(STATEMENT_MS_MAX), str(SILENT_MS_MAX))


def meaning_of(error: BaseException, connection: psycopg.BaseConnection[Any]) -> Meaning:
    """What an error says about a transaction whose COMMIT was not sent: done again it may pass; it is refused; or the
    server is gone. With the last alone a COMMIT that was sent may have happened."""
    if connection.closed or connection.broken or isinstance(error, TimeoutError):
        return "lost"
    if isinstance(error, _AGAIN):
        return "again"
    return "refused"


def unusable(error: BaseException) -> LedgerUnusable:
    return LedgerUnusable(
        f"The ledger's database can't be used ({first_line(error)}): check that PostgreSQL runs, ledger.url, the "
        "password and the role's rights."
    )


def first_line(error: BaseException) -> str:
    """An error in one line, fit for a log: libpq names host, user and database in it, never a password."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


class Readers:
    """A few connections that read, made when they are needed."""

    def __init__(self, info: str) -> None:
        self._info = info
        self._idle: deque[Connection] = deque()
        self._free = asyncio.Semaphore(READERS_MAX)
        self._closed = False

    async def fetch(self, query: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of one statement. A connection that the server dropped while it was idle is replaced once.

        Raises LedgerUnavailable when no connection is free in time, and psycopg.Error."""
        async with self._reader() as connection:
            try:
                return await (await connection.execute(QUERIES[query], parameters, prepare=True)).fetchall()
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        async with self._reader(fresh=True) as connection:
            return await (await connection.execute(QUERIES[query], parameters, prepare=True)).fetchall()

    async def aclose(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.popleft().close()

    @contextlib.asynccontextmanager
    async def _reader(self, *, fresh: bool = False) -> AsyncIterator[Connection]:
        if self._closed:
            raise LedgerUnavailable("The ledger is closed.")
        try:
            async with asyncio.timeout(READER_WAIT_S_MAX):
                await self._free.acquire()
        except TimeoutError:
            raise LedgerUnavailable(
                "The ledger's database is too slow at the moment.", retry_after_ms=RETRY_AFTER_MS
            ) from None
        try:
            connection = self._idle.pop() if self._idle and not fresh else await connect(self._info)
            try:
                yield connection
            finally:
                # Whoever was cancelled in the middle left a reply behind that nobody has read.
                idle = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
                if idle and not connection.closed and not self._closed:
                    self._idle.append(connection)
                else:
                    await connection.close()
        finally:
            self._free.release()
