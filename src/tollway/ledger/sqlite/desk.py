"""An operator's hands on an embedded ledger, router running or not.

Writing goes through the router's socket when one runs, else it takes the lock and writes itself; reading opens the file
read-only.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from tollway.domain.clock import SystemClock
from tollway.domain.commands import Disabled, Frozen, Result, Statement
from tollway.domain.errors import LedgerLocked, LedgerUnusable
from tollway.domain.observer import NullObserver
from tollway.domain.recount import RecountSums
from tollway.ledger.audit import AuditReport
from tollway.ledger.billed import Entry
from tollway.ledger.control import ControlCommand, ControlUnreachable, control
from tollway.ledger.report import Money
from tollway.ledger.rows import read_transfer, recount_sums
from tollway.ledger.sqlite import audit as audits
from tollway.ledger.sqlite.backup import Copied, backup, restore
from tollway.ledger.sqlite.database import check_readable, connect_read_only, read_disabled, read_frozen
from tollway.ledger.sqlite.money import read_money
from tollway.ledger.sqlite.queries import QUERIES
from tollway.ledger.sqlite.reader import read_statement
from tollway.ledger.sqlite.store import SqliteLedger
from tollway.ledger.transfer import Transfer

# A router that starts or stops holds the lock for a moment without listening.
LOCKED_TRIES = 50
LOCKED_AGAIN_S = 0.1


class SqliteDesk:
    """Implements ledger.desk.Desk for the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def apply(self, commands: Sequence[ControlCommand]) -> list[Result]:
        for _ in range(LOCKED_TRIES):
            try:
                return [await control(self._path, command) for command in commands]
            except ControlUnreachable:
                pass
            try:
                ledger = await SqliteLedger.open(self._path, SystemClock(), NullObserver())
            except LedgerLocked:
                await _pause(LOCKED_AGAIN_S)
                continue
            try:
                return await ledger.apply(commands)
            finally:
                await ledger.aclose()
        raise LedgerLocked(
            f"Another process owns the ledger at {self._path} but doesn't listen: stop it, then try again."
        )

    def statement(self, account: str, limit: int, cursor: str | None) -> Statement:
        with _Reading(self._path) as connection:
            return read_statement(connection, account, limit, cursor)

    def disabled(self) -> dict[str, Disabled]:
        if not self._path.exists():
            return {}
        with _Reading(self._path) as connection:
            return read_disabled(connection)

    def frozen(self) -> dict[str, Frozen]:
        if not self._path.exists():
            return {}
        with _Reading(self._path) as connection:
            return read_frozen(connection)

    def money(self) -> Money:
        with _Reading(self._path) as connection:
            return read_money(connection)

    def entries(self, provider: str, after_ms: int, before_ms: int) -> Iterator[Entry]:
        with _Reading(self._path) as connection:
            for row in connection.execute(QUERIES["billed"], (after_ms, before_ms, provider)):
                yield Entry(*row)

    def transfers(self) -> Iterator[Transfer]:
        with _Reading(self._path) as connection:
            for row in connection.execute(QUERIES["all_transfers"]):
                yield read_transfer(row)

    def backup(self, file: Path) -> Copied:
        return backup(self._path, file)

    def restore(self, file: Path, now: str) -> Copied:
        return restore(self._path, file, now)

    def recounts(self, after_ms: int) -> list[RecountSums]:
        with _Reading(self._path) as connection:
            return [recount_sums(row) for row in connection.execute(QUERIES["recounts"], (after_ms,))]

    def audit(self) -> AuditReport:
        return audits.audit(self._path)


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


class _Reading:
    """A read-only connection to books that this tollway understands."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection = connect_read_only(database)

    def __enter__(self) -> sqlite3.Connection:
        try:
            check_readable(self._connection, self._database)
        except BaseException:
            self._connection.close()
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._connection.close()
        if isinstance(error, sqlite3.Error):
            raise LedgerUnusable(f"The ledger at {self._database} can't be read ({error}).") from error
