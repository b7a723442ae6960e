"""The one thread that writes the database: a batch a commit. Says of each batch whether it is on disk.

Knows nothing of accounts, rules or the event loop: `deliver` is called in this thread.

How a commit can fail, and what is then known:
    before COMMIT           the transaction is rolled back: refused.
    COMMIT: no room         the log's last frame, which carries the commit mark, wasn't written: refused.
    COMMIT: anything else   the mark may be in the log. The file is opened anew, the log is moved into it and cut
                            (a frame that was given up can't come back after that), and the number of the last batch
                            is read: committed or refused. If even that fails: unknown, until `recover` succeeds.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

import msgspec

from tollway.ledger.batch import Batch
from tollway.ledger.sqlite.database import Connect, Snapshot, begin_epoch, migrate, read_snapshot, read_state
from tollway.ledger.sqlite.queries import QUERIES
from tollway.ledger.sqlite.statements import write_rows

# As much as a large batch writes: a disk where only this much fits is not called mended for one small page.
PROBE_BYTES = 1_000_000

Outcome = Literal["committed", "refused", "unknown"]
T = TypeVar("T")


class Written(msgspec.Struct, frozen=True):
    outcome: Outcome
    seconds: float
    detail: str = ""


Job = tuple["Future[Any]", Callable[[], Any]]


class Writer:
    """Owns the writing connection, and is the only one to use it."""

    def __init__(self, path: Path, connect: Connect, deliver: Callable[[Batch, Written], None]) -> None:
        self._path = path
        self._connect = connect
        self._deliver = deliver
        self._connection: sqlite3.Connection | None = None
        self._queue: SimpleQueue[Batch | Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tollway-ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        self._queue.put(batch)

    def open(self, now_ms: int) -> "Future[Snapshot]":
        """Open the books for a new epoch. Fails with LedgerUnusable, sqlite3.Error or OSError."""
        return self._soon(lambda: self._open(now_ms))

    def recover(self) -> "Future[Snapshot]":
        """Open the books again after a failure, prove that commits work, and read what is so. Fails with sqlite3.Error
        or OSError as long as they don't."""
        return self._soon(self._recover)

    def prune(self, before_ms: int, limit: int) -> "Future[int]":
        """Remove up to `limit` records of calls, in a transaction of its own between two batches. Fails with
        sqlite3.Error."""
        return self._soon(lambda: self._prune(before_ms, limit))

    def close(self) -> None:
        """Finish what was submitted, close the file, end the thread."""
        self._queue.put(None)
        self._thread.join()

    # --- in the thread

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if isinstance(job, Batch):
                self._deliver(job, self._write(job))
                continue
            future, work = job
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except Exception as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
        self._disconnect()

    def _write(self, batch: Batch) -> Written:
        started = time.perf_counter()

        def written(outcome: Outcome, error: BaseException | None = None) -> Written:
            return Written(outcome, time.perf_counter() - started, "" if error is None else _describe(error))

        connection = self._connection
        assert connection is not None, "nothing is submitted before the books are open"
        try:
            connection.execute(QUERIES["begin"])
            for query, values in batch.rows.items():
                write_rows(connection, query, values)
            if batch.forget_nonces_ms is not None:
                connection.execute(QUERIES["forget_nonces"], (batch.forget_nonces_ms,))
                connection.execute(QUERIES["forget_revocations"], (batch.forget_revocations_ms,))
            connection.execute(QUERIES["update_state"], batch.state)
        except Exception as error:
            self._roll_back(connection)
            return written("refused", error)
        try:
            connection.commit()
        except sqlite3.Error as error:
            return written(self._outcome_of(batch, connection, error), error)
        return written("committed")

    def _outcome_of(self, batch: Batch, connection: sqlite3.Connection, error: sqlite3.Error) -> Outcome:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            self._roll_back(connection)
            return "refused"
        try:
            committed = read_state(self._reconnect()).batch == batch.number
        except (sqlite3.Error, OSError):
            return "unknown"
        return "committed" if committed else "refused"

    def _open(self, now_ms: int) -> Snapshot:
        connection = self._connection = self._connect(self._path)
        migrate(connection, now_ms)
        begin_epoch(connection, now_ms)
        return read_snapshot(connection)

    def _recover(self) -> Snapshot:
        connection = self._reconnect()
        connection.execute(QUERIES["begin"])
        connection.execute(QUERIES["fill_probe"], (PROBE_BYTES,))
        connection.commit()
        connection.execute(QUERIES["begin"])
        connection.execute(QUERIES["empty_probe"])
        connection.commit()
        return read_snapshot(connection)

    def _prune(self, before_ms: int, limit: int) -> int:
        connection = self._connection
        if connection is None:
            raise sqlite3.OperationalError("the books are closed")
        try:
            connection.execute(QUERIES["begin"])
            connection.execute(QUERIES["prune_up_to"], (limit, before_ms))
            connection.execute(QUERIES["prune_deliveries"])
            connection.execute(QUERIES["prune_recounts"])
            removed = connection.execute(QUERIES["prune_calls"]).rowcount
            connection.commit()
        except sqlite3.Error:
            self._roll_back(connection)
            raise
        return removed

    def _reconnect(self) -> sqlite3.Connection:
        """A fresh connection, with the log moved into the file and cut to nothing."""
        self._disconnect()
        connection = self._connection = self._connect(self._path)
        (busy, _, _) = connection.execute(QUERIES["checkpoint"]).fetchone()
        if busy:
            raise sqlite3.OperationalError("the log is in use and can't be cut")
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()

    def _soon(self, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        self._queue.put((future, work))
        return future


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
