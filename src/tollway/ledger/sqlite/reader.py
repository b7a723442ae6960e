"""Reads of what is committed, in a thread of their own. Knows nothing of what is queued or in memory."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TypeVar

import msgspec

from tollway.domain.answer import RESPONSE_ID_CHARS_MAX
from tollway.domain.commands import Statement, StoredAnswer, UsageBy, UsageReport
from tollway.domain.errors import LedgerUnavailable, RecordPruned
from tollway.domain.keys import KeyPage, KeyState
from tollway.domain.observer import Observer
from tollway.domain.record import CallRecord
from tollway.domain.usage import Usage
from tollway.ledger import keys
from tollway.ledger.decision import KnownClaim, KnownKey, recounted
from tollway.ledger.rows import read_key, read_transfer
from tollway.ledger.sqlite.database import connect_read_only, read_account
from tollway.ledger.sqlite.queries import QUERIES
from tollway.ledger.statement import check_limit, decode_cursor, statement_of
from tollway.ledger.transfer import Account, Transfer
from tollway.ledger.usage import NAMES_READ_MAX, check_period, day_key, day_number, report, unnamed
from tollway.wire import json

# How far back a provider's response id is looked for: about the account's newest 5,000 calls. An index of these ids
# would cost each call about as much as the rest of its booking; the router's own id finds any call, however old.
RESPONSE_WALK_TRANSFERS_MAX = 10_000

READ_S_MAX = 10.0  # with the reads before it: a file that takes longer is one that can't be read
RETRY_AFTER_MS = 1000  # what a caller is told while the file fails

PRUNED = "The record of this call is not kept any more: the statement still has what it moved."

T = TypeVar("T")


class Reader:
    """One read-only connection and the thread that uses it. Everything raises LedgerUnavailable when the file fails,
    before `open` and after `aclose`."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._connection: sqlite3.Connection | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="tollway-ledger-reader")

    def open(self, path: Path) -> None:
        """Raises LedgerUnusable or sqlite3.Error."""
        self._connection = connect_read_only(path)

    async def account(self, id: str) -> Account:
        return await self._run(lambda file: read_account(file, id))

    async def chain(self, id: str) -> tuple[Transfer, ...]:
        return await self._run(lambda file: read_chain(file, id))

    async def key(self, id: str) -> KnownKey | None:
        return await self._run(lambda file: read_one_key(file, QUERIES["key"], id))

    async def key_of_secret(self, secret_hash: str, at_ms: int) -> KeyState | None:
        return await self._run(lambda file: read_key_state(file, secret_hash, at_ms))

    async def keys(self, account: str, at_ms: int, limit: int, cursor: str | None) -> KeyPage:
        return await self._run(lambda file: read_keys(file, account, at_ms, limit, cursor))

    async def statement(self, account: str, limit: int, cursor: str | None) -> Statement:
        return await self._run(lambda file: read_statement(file, account, limit, cursor))

    async def call(self, account: str, id: str) -> CallRecord | None:
        return await self._run(lambda file: read_call(file, account, id))

    async def usage(self, account: str, by: UsageBy, first: date, last: date) -> UsageReport:
        return await self._run(lambda file: read_usage(file, account, by, first, last))

    async def claim(self, place: str) -> KnownClaim | None:
        return await self._run(lambda file: read_claim(file, place))

    async def kept(self, shelf: str) -> int:
        return await self._run(lambda file: read_kept(file, shelf))

    async def answer(self, place: str, after_ms: int) -> StoredAnswer | None:
        return await self._run(lambda file: read_answer(file, place, after_ms))

    async def aclose(self) -> None:
        """What is being read is read to its end."""
        connection, self._connection = self._connection, None
        await asyncio.to_thread(self._executor.shutdown)
        if connection is not None:
            connection.close()

    def failed(self, error: sqlite3.Error) -> LedgerUnavailable:
        """What a failure means for who waits; the operator is told of it."""
        self._observer.alarm("ledger_read_failed", f"{type(error).__name__}: {error}")
        return unreadable()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise LedgerUnavailable("The ledger is closed.")
        try:
            async with asyncio.timeout(READ_S_MAX):
                return await asyncio.get_running_loop().run_in_executor(self._executor, work, connection)
        except sqlite3.Error as error:
            raise self.failed(error) from error
        except TimeoutError as error:
            self._observer.alarm("ledger_read_failed", f"no answer within {READ_S_MAX:.0f} s")
            raise unreadable() from error


def unreadable() -> LedgerUnavailable:
    return LedgerUnavailable("The ledger can't read its file.", retry_after_ms=RETRY_AFTER_MS)


def read_chain(connection: sqlite3.Connection, id: str) -> tuple[Transfer, ...]:
    return tuple(read_transfer(row) for row in connection.execute(QUERIES["chain"], (id,)).fetchall())


def read_one_key(connection: sqlite3.Connection, query: str, wanted: str) -> KnownKey | None:
    row = connection.execute(query, (wanted,)).fetchone()
    return None if row is None else read_key(row)


def read_key_state(connection: sqlite3.Connection, secret_hash: str, at_ms: int) -> KeyState | None:
    known = read_one_key(connection, QUERIES["key_of_secret"], secret_hash)
    return None if known is None else keys.state(known, read_account(connection, known.key.spending(at_ms)))


def read_keys(connection: sqlite3.Connection, account: str, at_ms: int, limit: int, cursor: str | None) -> KeyPage:
    """ValueError for a limit out of range, and for a cursor that isn't one of ours."""
    check_limit(limit)
    before = keys.before(cursor)
    rows = connection.execute(QUERIES["keys_of"], (account, before, limit + 1)).fetchall()
    found = [keys.state(known, read_account(connection, known.key.spending(at_ms))) for known in map(read_key, rows)]
    total, living = connection.execute(QUERIES["count_keys"], (account,)).fetchone()
    return keys.page(found, limit, living=living, total=total)


def read_statement(connection: sqlite3.Connection, account: str, limit: int, cursor: str | None) -> Statement:
    """ValueError for a limit out of range, and for a cursor that isn't one of this account's statement."""
    check_limit(limit)
    if cursor is None:
        seq = read_account(connection, account).last_seq
    else:
        seq = decode_cursor(cursor)
        if connection.execute(QUERIES["belongs"], (seq, account)).fetchone() is None:
            raise ValueError("cursor: not one of this account's statement")
    rows = connection.execute(QUERIES["statement"], (seq, limit)).fetchall()
    return statement_of([read_transfer(row) for row in rows], limit)


def read_call(connection: sqlite3.Connection, account: str, id: str) -> CallRecord | None:
    row = connection.execute(QUERIES["call_by_id"], (id, account)).fetchone()
    if row is None:
        wanted = (account, RESPONSE_WALK_TRANSFERS_MAX, id[:RESPONSE_ID_CHARS_MAX])
        row = connection.execute(QUERIES["call_by_response"], wanted).fetchone()
    if row is None and connection.execute(QUERIES["ended"], (id, account)).fetchone() is not None:
        raise RecordPruned(PRUNED, param="id")
    if row is None:
        return None
    record, delivery, own = json.decode_as(row[0], CallRecord), row[1], row[2]
    if own is not None:
        record = recounted(record, json.decode_as(own.encode(), Usage))
    return record if delivery is None else msgspec.structs.replace(record, delivery=delivery)


def read_claim(connection: sqlite3.Connection, place: str) -> KnownClaim | None:
    row = connection.execute(QUERIES["claim"], (place,)).fetchone()
    if row is None:
        return None
    own_place, own_id, request, at_ms, answered = row
    return KnownClaim(own_place, own_id, request, at_ms, bool(answered))


def read_kept(connection: sqlite3.Connection, shelf: str) -> int:
    """The bytes of answers that are kept on `shelf` (claims.shelf_of)."""
    day, _, account = shelf.partition(" ")
    row = connection.execute(QUERIES["kept"], (int(day), account)).fetchone()
    return 0 if row is None else int(row[0])


def read_answer(connection: sqlite3.Connection, place: str, after_ms: int) -> StoredAnswer | None:
    """What is kept with a claim that was made after `after_ms`."""
    row = connection.execute(QUERIES["answer"], (place, after_ms)).fetchone()
    if row is None:
        return None
    own_id, request, answer, record, available = row
    return StoredAnswer(
        id=own_id, request=request, answer=answer, record=json.decode_as(record, CallRecord), available=available
    )


def read_usage(connection: sqlite3.Connection, account: str, by: UsageBy, first: date, last: date) -> UsageReport:
    """ValueError for a period of too many days, or with too many names."""
    check_period(first, last)
    wanted = (day_number(first), day_number(last), account)
    if by not in ("user", "key"):
        rows = connection.execute(QUERIES["usage"], (*wanted, by)).fetchall()
        return report(by, {day_key(key) if by == "day" else key: sums for key, *sums in rows})
    # One row is of all calls, the others of those that had such a name: one statement, so that they agree.
    rows = connection.execute(QUERIES["usage_by_name"], (*wanted, by, NAMES_READ_MAX + 1)).fetchall()
    if sum(row[1] for row in rows if row[0] is not None) > NAMES_READ_MAX:
        raise ValueError(f"period: it has more than {NAMES_READ_MAX} pairs of a day and a {by}")
    groups = {name: sums for name, _, *sums in rows}
    rest = unnamed(groups.pop(None), groups)
    return report(by, groups | {None: rest} if rest[0] else groups)
