"""What an operator does with the books, router running or not: credit, balance, statement, audit, taking
providers out of service.

Knows nothing of terminals: results and errors are values. How a store is reached is its desk's to know.
"""

import datetime as dt
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tollway.config.places import LedgerUrl
from tollway.domain.commands import (
    Credit,
    Credited,
    Disabled,
    Refused,
    Result,
    SetProvider,
    Statement,
)
from tollway.domain.errors import LedgerUnusable
from tollway.domain.recount import RecountSums
from tollway.ledger.accounts import stored_account
from tollway.ledger.audit import AuditReport
from tollway.ledger.billed import Billed
from tollway.ledger.billed import billed as billed_call
from tollway.ledger.control import ControlCommand
from tollway.ledger.desk import Desk
from tollway.ledger.extra import postgres_desk
from tollway.ledger.journal import Format
from tollway.ledger.journal import journal as make_journal
from tollway.ledger.report import MoneyReport, check_days
from tollway.ledger.report import report as make_report
from tollway.ledger.sqlite.backup import Copied
from tollway.ledger.sqlite.desk import SqliteDesk
from tollway.ledger.transfer import provider_account
from tollway.ledger.usage import DAY_MS

REF_CHARS_MAX = 200
WHY_CHARS_MAX = 200
RECOUNT_DAYS_MAX = 3660  # ten years
SOURCE = "operator"

Books = LedgerUrl | Path  # where they are; a path is SQLite's file


def desk(books: Books) -> Desk:
    """Raises LedgerUnusable when the books can't be reached from outside their router."""
    if isinstance(books, Path):
        return SqliteDesk(books)
    if books.store == "postgresql":
        return postgres_desk(books)
    if books.path is None:
        raise LedgerUnusable('ledger.url is "memory:": those books are in the router alone and can\'t be reached.')
    return SqliteDesk(books.path)


async def operate(books: Books, commands: Sequence[ControlCommand]) -> list[Result]:
    """Carry out `commands`, in order, wherever the ledger is.

    Raises LedgerUnusable, LedgerUnavailable, LedgerOutcomeUnknown (ask again: the same ids answer the same)."""
    return await desk(books).apply(commands)


async def credit(books: Books, account: str, amount_nano: int, ref: str) -> Credited | Refused:
    """Credit `account` (any spelling, see `stored_account`). The same `ref` again credits nothing and answers the same;
    with another amount it is Refused(id_reused).

    Raises ValueError for a bad account or ref, and what `operate` raises."""
    if not ref or len(ref) > REF_CHARS_MAX or not ref.isprintable():
        raise ValueError(f"ref: write 1 to {REF_CHARS_MAX} printable characters, such as an invoice number")
    stored = stored_account(account)
    command = Credit(id=credit_id(SOURCE, stored, ref), account=stored, amount=amount_nano, source=SOURCE, ref=ref)
    (result,) = await operate(books, [command])
    assert isinstance(result, Credited | Refused), "a credit is granted or refused"
    return result


def credit_id(source: str, account: str, ref: str) -> str:
    """The id of a credit, which makes repeating one harmless: the same source, account and ref are the same credit."""
    return "credit:" + hashlib.sha256(f"{source}\n{account}\n{ref}".encode()).hexdigest()[:40]


def statement(books: Books, account: str, limit: int, cursor: str | None = None) -> Statement:
    """Newest first. Raises ValueError (account, limit, cursor) and LedgerUnusable."""
    return desk(books).statement(stored_account(account), limit, cursor)


async def set_provider(books: Books, provider: str, *, disabled: bool, why: str | None = None) -> None:
    """Take a provider out of service for calls to come, or back into it; routers know by their next call.

    Raises ValueError for a bad `why`, and what `operate` raises."""
    if why is not None and (not why or len(why) > WHY_CHARS_MAX or not why.isprintable()):
        raise ValueError(f"--why: write 1 to {WHY_CHARS_MAX} printable characters")
    off = Disabled(since_ms=time.time_ns() // 1_000_000, why=why) if disabled else None
    await operate(books, [SetProvider(provider=provider, disabled=off)])


def disabled_providers(books: Books) -> Mapping[str, Disabled]:
    """By id. Raises LedgerUnusable."""
    return desk(books).disabled()


def report(books: Books, first: dt.date | None = None, last: dt.date | None = None) -> MoneyReport:
    """The operator's money over a period of UTC days, both included. Raises ValueError (period) and LedgerUnusable."""
    check_days(first, last)
    return make_report(desk(books).money(), first, last)


def billed(books: Books, provider: str, first: int, last: int) -> Iterator[Billed]:
    """Calls that a provider may bill, of the days (numbers) from `first` to `last` and of one more on either side: what
    is too much is for the reader to leave out. Raises LedgerUnusable."""
    after_ms, before_ms = (first - 1) * DAY_MS, (last + 2) * DAY_MS
    entries = desk(books).entries(provider_account(provider), after_ms, before_ms)
    return (call for entry in entries if (call := billed_call(entry, provider)) is not None)


def journal(books: Books, style: Format, first: dt.date | None = None, last: dt.date | None = None) -> Iterator[str]:
    """The books as text for hledger or beancount, bit by bit. Raises ValueError (period) and LedgerUnusable."""
    check_days(first, last)
    return make_journal(desk(books).transfers(), style, first, last)


def backup(books: Books, file: Path) -> Copied:
    """Copy the books to a new file, router running or not. Raises LedgerUnusable and OSError."""
    return _embedded(books).backup(file)


def restore(books: Books, file: Path) -> Copied:
    """Put the books in `file` in the place of the present ones, which are kept beside. Raises LedgerLocked while a
    router runs, LedgerUnusable and OSError."""
    return _embedded(books).restore(file, dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ"))


def _embedded(books: Books) -> SqliteDesk:
    found = desk(books)
    if not isinstance(found, SqliteDesk):
        raise LedgerUnusable(
            "A ledger on PostgreSQL is backed up with pg_dump and restored with pg_restore: docs/operate.md says how."
        )
    return found


def recounts(books: Books, days: int) -> list[RecountSums]:
    """Calls of the last `days` that our own tokenizer has counted again. Raises ValueError (days), LedgerUnusable."""
    if not 1 <= days <= RECOUNT_DAYS_MAX:
        raise ValueError(f"--days: a number from 1 to {RECOUNT_DAYS_MAX}")
    return desk(books).recounts(time.time_ns() // 1_000_000 - days * DAY_MS)


def audit(books: Books) -> AuditReport:
    """Prove the books from their rows. Raises LedgerUnusable."""
    return desk(books).audit()
