"""SQLite connections whose commits fail when a test says so, in the ways that disks do."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Literal

from tollway.ledger.sqlite.database import connect

Fault = Literal["none", "full", "before_commit", "after_commit"]


class FaultyDisk:
    """Makes connections. `fault` decides what the next commits do, `pause` makes them wait; `stuck` makes opening the
    file fail as well."""

    def __init__(self) -> None:
        self.fault: Fault = "none"
        self.stuck = False
        self.pages_max = 0  # over 0: the file may not grow beyond
        self._gate = threading.Event()
        self._gate.set()
        self._waiting = threading.Event()

    def pause(self) -> None:
        """Keep commits waiting until `resume`."""
        self._waiting.clear()
        self._gate.clear()

    async def until_waiting(self) -> None:
        """Until a commit waits."""
        assert await asyncio.to_thread(self._waiting.wait, 10)

    def resume(self) -> None:
        self._gate.set()

    def pass_gate(self) -> None:
        if not self._gate.is_set():
            self._waiting.set()
            assert self._gate.wait(10)

    def __call__(self, path: Path) -> sqlite3.Connection:
        if self.stuck:
            raise io_error("disk I/O error", sqlite3.SQLITE_IOERR_READ)
        connect(path).close()
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_Connection)
        connection.disk = self
        connection.execute("PRAGMA synchronous = FULL")
        if self.pages_max:
            connection.execute(f"PRAGMA max_page_count = {self.pages_max}")
        return connection


class _Connection(sqlite3.Connection):
    disk: FaultyDisk

    def commit(self) -> None:
        self.disk.pass_gate()
        if self.disk.fault == "full":
            raise io_error("database or disk is full", sqlite3.SQLITE_FULL)
        if self.disk.fault == "before_commit":
            raise io_error("disk I/O error", sqlite3.SQLITE_IOERR_FSYNC)
        super().commit()
        if self.disk.fault == "after_commit":
            raise io_error("disk I/O error", sqlite3.SQLITE_IOERR_FSYNC)


def io_error(message: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error
