"""An operator's hands on a ledger in PostgreSQL: straight into the database, which routers don't notice.

Reading is blocking, on a connection of its own: one consistent state of the books.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from tollway.config.places import LedgerUrl
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Disabled, Frozen, Result, Statement
from tollway.domain.errors import LedgerUnusable
from tollway.domain.observer import NullObserver
from tollway.domain.recount import RecountSums
from tollway.ledger.audit import AuditReport, Rows, replay
from tollway.ledger.billed import Entry
from tollway.ledger.control import ControlCommand
from tollway.ledger.postgres.page import read_account
from tollway.ledger.postgres.queries import QUERIES, migrations
from tollway.ledger.postgres.schema import read_version
from tollway.ledger.postgres.server import conninfo, unusable
from tollway.ledger.postgres.store import PostgresLedger
from tollway.ledger.report import Flow, Money
from tollway.ledger.rows import read_transfer, recount_sums
from tollway.ledger.schema import check_current
from tollway.ledger.statement import check_limit, decode_cursor, statement_of
from tollway.ledger.transfer import Account, Transfer
from tollway.ledger.usage import DAY_MS

ROWS_AT_ONCE = 2_000  # that an audit fetches; the rest stays with the server

Cursor = psycopg.Cursor[tuple[Any, ...]]


class NoBooks(LedgerUnusable):
    """Nothing has been booked in this database yet."""


class PostgresDesk:
    """Implements ledger.desk.Desk."""

    def __init__(self, url: LedgerUrl) -> None:
        self._url = url

    async def apply(self, commands: Sequence[ControlCommand]) -> list[Result]:
        ledger = await PostgresLedger.open(self._url, SystemClock(), NullObserver())
        try:
            return await ledger.apply(commands)
        finally:
            await ledger.aclose()

    def statement(self, account: str, limit: int, cursor: str | None) -> Statement:
        check_limit(limit)
        with self._reading() as connection:
            if cursor is None:
                known = _account(connection, account)
                seq = 0 if known is None else known.last_seq
            else:
                seq = decode_cursor(cursor)
                if connection.execute(QUERIES["belongs"], (seq, account)).fetchone() is None:
                    raise ValueError("cursor: not one of this account's statement")
            rows = connection.execute(QUERIES["statement"], (seq, limit)).fetchall()
        return statement_of([read_transfer(row) for row in rows], limit)

    def disabled(self) -> Mapping[str, Disabled]:
        try:
            with self._reading() as connection:
                rows = connection.execute(QUERIES["disabled"]).fetchall()
        except NoBooks:
            return {}
        return {own: Disabled(since_ms=since_ms, why=why) for own, since_ms, why in rows}

    def frozen(self) -> Mapping[str, Frozen]:
        try:
            with self._reading() as connection:
                rows = connection.execute(QUERIES["frozen"]).fetchall()
        except NoBooks:
            return {}
        return {own: Frozen(since_ms=since_ms, by=who, why=why) for own, since_ms, who, why in rows}

    def money(self) -> Money:
        with self._reading() as connection:
            flows = [
                Flow(day, kind, other, count, int(amount), int(cost), int(loss), int(forgiven), source)
                for day, kind, other, count, amount, cost, loss, forgiven, source in connection.execute(
                    QUERIES["flows"], (DAY_MS,)
                )
            ]
            count, held = _row(connection, "all_pending")
            return Money(
                flows=flows,
                accounts=[read_account(row) for row in connection.execute(QUERIES["all_accounts"])],
                pending=(count, int(held)),
                unsettled=[
                    (day, number, int(amount))
                    for day, number, amount in connection.execute(QUERIES["unsettled"], (DAY_MS,))
                ],
            )

    def recounts(self, after_ms: int) -> list[RecountSums]:
        with self._reading() as connection:
            return [recount_sums(row) for row in connection.execute(QUERIES["recounts"], (after_ms,))]

    def entries(self, provider: str, after_ms: int, before_ms: int) -> Iterator[Entry]:
        with self._reading() as connection, connection.cursor(name="billed") as rows:
            rows.itersize = ROWS_AT_ONCE
            rows.execute(QUERIES["billed"], (after_ms, before_ms, provider))
            for row in rows:
                yield Entry(*row)

    def transfers(self) -> Iterator[Transfer]:
        with self._reading() as connection, connection.cursor(name="transfers") as transfers:
            transfers.itersize = ROWS_AT_ONCE
            transfers.execute(QUERIES["all_transfers"])
            for row in transfers:
                yield read_transfer(row)

    def audit(self) -> AuditReport:
        with self._reading() as connection:
            reversed_ids = {own for (own,) in connection.execute(QUERIES["reversed"])}
            (pruned_to,) = _row(connection, "pruned")
            cleared = {no for (no,) in connection.execute(QUERIES["cleared_epochs"])}
            with connection.cursor(name="audit") as transfers:
                transfers.itersize = ROWS_AT_ONCE
                transfers.execute(QUERIES["all_transfers"])
                return replay(
                    Rows(
                        transfers=transfers,
                        accounts=(read_account(row) for row in connection.execute(QUERIES["all_accounts"])),
                        usage=connection.execute(QUERIES["usage_of_accounts"]),
                        reversed=reversed_ids,
                        pruned_to=pruned_to,
                        abandoned=cleared.__contains__,
                    )
                )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection in a transaction that reads one state of books that this tollway understands."""
        try:
            with psycopg.connect(conninfo(self._url), autocommit=True) as connection:
                connection.execute(QUERIES["begin_read"])
                version = read_version(connection)
                if not version:
                    raise NoBooks("The ledger's database is empty: credit an account or start the router first.")
                check_current(version, migrations())
                connection.execute(QUERIES["find_tables"])
                yield connection
        except psycopg.Error as error:
            raise unusable(error) from error


def _account(connection: psycopg.Connection[tuple[Any, ...]], account: str) -> Account | None:
    row = connection.execute(QUERIES["account"], (account,)).fetchone()
    return None if row is None else read_account(row)


def _row(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> tuple[Any, ...]:
    row = connection.execute(QUERIES[query]).fetchone()
    assert row is not None, "asked for exactly one row"
    return row
