"""What an operator does with an embedded ledger, router running or not: credit, balance, statement, audit.

Writing goes through the router's socket when one runs, else it takes the lock and writes itself; reading opens the file
read-only. Knows nothing of terminals: results and errors are values.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tollway.domain.clock import SystemClock
from tollway.domain.commands import Balance, Credit, Credited, Refused, Result, Statement
from tollway.domain.errors import LedgerLocked, LedgerUnusable
from tollway.domain.observer import NullObserver
from tollway.ledger import audit as audits
from tollway.ledger.accounts import stored_account
from tollway.ledger.control import ControlCommand, ControlUnreachable, control
from tollway.ledger.sqlite.database import check_schema, connect_read_only, read_account
from tollway.ledger.sqlite.reader import read_statement
from tollway.ledger.sqlite.store import SqliteLedger

REF_CHARS_MAX = 200
SOURCE = "operator"

# A router that starts or stops holds the lock for a moment without listening.
LOCKED_TRIES = 50
LOCKED_AGAIN_S = 0.1


async def operate(database: Path, commands: Sequence[ControlCommand]) -> list[Result]:
    """Carry out `commands`, in order, wherever the ledger is.

    Raises LedgerUnusable, LedgerUnavailable, LedgerOutcomeUnknown (ask again: the same ids answer the same)."""
    for _ in range(LOCKED_TRIES):
        try:
            return [await control(database, command) for command in commands]
        except ControlUnreachable:
            pass
        try:
            ledger = await SqliteLedger.open(database, SystemClock(), NullObserver())
        except LedgerLocked:
            await _pause(LOCKED_AGAIN_S)
            continue
        try:
            return await ledger.apply(commands)
        finally:
            await ledger.aclose()
    raise LedgerLocked(f"Another process owns the ledger at {database} but doesn't listen: stop it, then try again.")


async def credit(database: Path, account: str, amount_nano: int, ref: str) -> Credited | Refused:
    """Credit `account` (any spelling, see `stored_account`). The same `ref` again credits nothing and answers the same;
    with another amount it is Refused(id_reused).

    Raises ValueError for a bad account or ref, and what `operate` raises."""
    if not ref or len(ref) > REF_CHARS_MAX or not ref.isprintable():
        raise ValueError(f"ref: write 1 to {REF_CHARS_MAX} printable characters, such as an invoice number")
    stored = stored_account(account)
    command = Credit(id=credit_id(SOURCE, stored, ref), account=stored, amount=amount_nano, source=SOURCE, ref=ref)
    (result,) = await operate(database, [command])
    assert isinstance(result, Credited | Refused), "a credit is granted or refused"
    return result


def credit_id(source: str, account: str, ref: str) -> str:
    """The id of a credit, which makes repeating one harmless: the same source, account and ref are the same credit."""
    return "credit:" + hashlib.sha256(f"{source}\n{account}\n{ref}".encode()).hexdigest()[:40]


def balance(database: Path, account: str) -> Balance | None:
    """The account's counters as committed; None for one that the books don't know.

    Raises ValueError (account) and LedgerUnusable."""
    stored = stored_account(account)
    with _Reading(database) as connection:
        known = read_account(connection, stored)
    return known.balance() if known.no else None


def statement(database: Path, account: str, limit: int, cursor: str | None = None) -> Statement:
    """Newest first. Raises ValueError (account, limit, cursor) and LedgerUnusable."""
    stored = stored_account(account)
    with _Reading(database) as connection:
        return read_statement(connection, stored, limit, cursor)


def audit(database: Path) -> audits.AuditReport:
    """Prove the books from their rows. Raises LedgerUnusable."""
    return audits.audit(database)


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


class _Reading:
    """A read-only connection to books that this tollway understands."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection = connect_read_only(database)

    def __enter__(self) -> sqlite3.Connection:
        try:
            if check_schema(self._connection):
                return self._connection
        except BaseException:
            self._connection.close()
            raise
        self._connection.close()
        raise LedgerUnusable(f"The ledger at {self._database} is empty: nothing has been booked yet.")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._connection.close()
        if isinstance(error, sqlite3.Error):
            raise LedgerUnusable(f"The ledger at {self._database} can't be read ({error}).") from error
