"""What a process has at the database to book with: one connection, and an epoch with its lease and its shard.

Knows nothing of commands or who waits. A transaction that takes too long has its connection cut: what that means for
it is told like any lost connection.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from tollway.domain.commands import Result
from tollway.domain.errors import LedgerUnusable
from tollway.domain.keys import Key
from tollway.domain.record import Delivery
from tollway.ledger.books import REVOCATION_GRACE_MS
from tollway.ledger.claims import CLAIM_MS, FORGET_MAX
from tollway.ledger.postgres.arrays import literal_of
from tollway.ledger.postgres.needed import Booked, Entry, Known, Opening, Owner, ends, keys_of, reversals
from tollway.ledger.postgres.page import Moved, Page
from tollway.ledger.postgres.queries import QUERIES
from tollway.ledger.postgres.schema import MIGRATION_S_MAX, migrate
from tollway.ledger.postgres.server import Connection, connect
from tollway.ledger.postgres.transaction import EpochEnded, Transaction
from tollway.ledger.usage import DAY_MS
from tollway.wire import json

# A hold outlives its process by at most this, and a look for such holds (CHORES_S) more. Long enough for a database to
# be restarted, or a process to be paused, without any hold being lost.
LEASE_S = 30.0
TRANSACTION_S_MAX = 15.0  # longer than the server lets a statement run: only a server that is gone takes so long
KEYS_MAX = 20_000  # whose terms are kept in memory, about 10 MB
CLEARED_AT_ONCE = 500  # holds that expire in one transaction


class Session:
    """`open` or `reopen` it before use. Everything raises psycopg.Error or OSError when the server fails."""

    def __init__(self, info: str, lease_s: float) -> None:
        self._info = info
        self._lease_s = lease_s
        self._connection: Connection | None = None
        self._latest: Transaction | None = None
        self._uncertain_from: int | None = None  # transfers of ours that may have been committed begin there
        self._newest_number = 0
        self._terms: dict[str, Key] = {}  # of delegated keys, which never change them
        self.owner = Owner(epoch=0, shard=0)
        self.openings: dict[str, Opening] = {}  # the pending holds of this epoch, oldest first

    @property
    def connection(self) -> Connection:
        assert self._connection is not None, "nothing is booked before the session is open"
        return self._connection

    @property
    def may_have_committed(self) -> bool:
        """Whether the last transaction, which failed with its connection, may be in the books."""
        return self._latest is not None and self._latest.commit_sent

    async def open(self, now_ms: int) -> None:
        """Raises LedgerUnusable for a schema that isn't this code's, and for books that don't balance."""
        self._connection = await connect(self._info)
        with self._cut_when_late(MIGRATION_S_MAX):
            await migrate(self.connection, now_ms)
        with self._cut_when_late():
            pending, posted = await self._one("sums")
            if pending or posted:
                raise LedgerUnusable(
                    f"The books don't balance (debits less credits: {pending} pending, {posted} posted, nano-USD): run "
                    "`tollway ledger audit` and restore the database from a backup."
                )
            await self.begin_epoch()

    async def reopen(self) -> None:
        """Connect again, to go on with the same epoch; if it has ended meanwhile, the next transaction says so."""
        await self.close()
        self._connection = await connect(self._info)
        with self._cut_when_late():
            await self._one("schema_version")

    async def begin_epoch(self) -> None:
        """Holds of the epoch before, if there was one, are no longer this process's: they expire."""
        await self.connection.execute(QUERIES["begin"])
        await self.connection.execute(QUERIES["lock_epochs"])
        epoch, shard, number = await self._one("begin_epoch", self._lease_s)
        await self.connection.execute(QUERIES["commit"])
        self.owner = Owner(epoch=epoch, shard=shard)
        self._newest_number = number
        self._uncertain_from = None
        self.openings = {}

    async def book(
        self, commands: Sequence[Booked], notes: Mapping[int, Delivery], at_ms: int
    ) -> tuple[Page, list[Result | None]]:
        """Carry `commands` out in one transaction. Raises AssertionError when the books contradict themselves, and then
        nothing was booked."""
        self._latest = None
        openings: Mapping[str, Opening] = self.openings
        wanted = [own for own in ends(commands) if own not in openings]
        with self._cut_when_late():
            await self._learn(commands)
            while True:
                if wanted:
                    openings = {**openings, **await self._look_up(wanted)}
                known = Known(openings, await self._entries(reversals(commands)), self._terms)
                transaction = Transaction(self.connection, self.owner, self._lease_s, self._pending_from())
                self._latest = transaction
                try:
                    page, results = await transaction.run(commands, notes, known, at_ms)
                    break
                except Moved:
                    await self.roll_back()
                    wanted = ends(commands)
                except EpochEnded:
                    await self.roll_back()
                    await self.begin_epoch()
                    openings, wanted = {}, ends(commands)
        self._remember(page, transaction.first_number)
        return page, results

    async def roll_back(self) -> None:
        """Leave a failed transaction. A connection that fails at this is found lost by whatever comes next."""
        if self.connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            with contextlib.suppress(psycopg.Error, OSError):
                await self.connection.execute(QUERIES["rollback"])

    def lost(self) -> None:
        """The connection is gone in the middle of a transaction: what it wrote may be in the books."""
        if self._latest is not None and self._latest.commit_sent:
            first = self._latest.first_number
            self._uncertain_from = first if self._uncertain_from is None else min(first, self._uncertain_from)

    async def end_dead_epochs(self) -> int:
        """End the epochs whose lease has run out, by the database's clock; how many there were."""
        with self._cut_when_late():
            return (await self.connection.execute(QUERIES["end_dead_epochs"])).rowcount

    async def ended_epochs(self) -> list[int]:
        """Those that may still have pending holds."""
        with self._cut_when_late():
            cursor = await self.connection.execute(QUERIES["epochs_to_clear"])
            return [no for (no,) in await cursor.fetchall()]

    async def pending_holds(self, epoch: int) -> list[str]:
        with self._cut_when_late():
            cursor = await self.connection.execute(QUERIES["pending_holds"], (epoch, epoch, CLEARED_AT_ONCE))
            return [own for (own,) in await cursor.fetchall()]

    async def clear_epoch(self, epoch: int) -> None:
        """An ended epoch has no pending hold any more."""
        with self._cut_when_late():
            await self.connection.execute(QUERIES["clear_epoch"], (epoch,))

    async def end_epoch(self) -> None:
        """End this process's own."""
        with self._cut_when_late():
            await self.connection.execute(QUERIES["end_epoch"], (self.owner.epoch,))

    async def forget(self, now_ms: int) -> None:
        """Drop nonces and claims that expired, and revocations that did long ago."""
        with self._cut_when_late():
            await self.connection.execute(QUERIES["begin"])
            await self.connection.execute(QUERIES["forget"], (now_ms,))
            await self.connection.execute(QUERIES["forget_nonces"], (now_ms,))
            await self.connection.execute(QUERIES["forget_revocations"], (now_ms - REVOCATION_GRACE_MS,))
            await self.connection.execute(QUERIES["forget_claims"], (now_ms - CLAIM_MS, FORGET_MAX))
            await self.connection.execute(QUERIES["forget_kept"], ((now_ms - CLAIM_MS) // DAY_MS,))
            await self.connection.execute(QUERIES["commit"])

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()

    def _remember(self, page: Page, number: int) -> None:
        self._newest_number = number
        for own, chain in page.chains.items():
            if chain[-1].kind == "hold":
                self.openings[own] = Opening(chain[0].account, self.owner.shard, chain[0].key, chain[0].seq)
            else:
                self.openings.pop(own, None)

    def _pending_from(self) -> int:
        oldest = next(iter(self.openings.values()), None)
        number = self._newest_number if oldest is None else oldest.seq
        return number if self._uncertain_from is None else min(number, self._uncertain_from)

    async def _look_up(self, ids: Sequence[str]) -> dict[str, Opening]:
        cursor = await self.connection.execute(QUERIES["openings"], (literal_of(ids),), prepare=True)
        return {
            own: Opening(account=account, shard=shard, spending=spending or "")
            for own, account, shard, spending in await cursor.fetchall()
        }

    async def _entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        if not ids:
            return {}
        cursor = await self.connection.execute(QUERIES["entries"], (literal_of(ids),))
        return {own: Entry(account, counterparty) for own, account, counterparty in await cursor.fetchall()}

    async def _learn(self, commands: Sequence[Booked]) -> None:
        """The terms of keys that are new to this process. One that doesn't exist is asked for again."""
        unknown = {own for own in keys_of(commands) if own not in self._terms}
        if not unknown:
            return
        if len(self._terms) > KEYS_MAX:
            self._terms = {}
        cursor = await self.connection.execute(QUERIES["terms_of_keys"], (literal_of(unknown),), prepare=True)
        for own, terms in await cursor.fetchall():
            self._terms[own] = json.decode_as(terms.encode(), Key)

    async def _one(self, query: str, *parameters: object) -> tuple[Any, ...]:
        row = await (await self.connection.execute(QUERIES[query], parameters)).fetchone()
        assert row is not None, "asked for exactly one row"
        return row

    @contextlib.contextmanager
    def _cut_when_late(self, after_s: float | None = None) -> Iterator[None]:
        """Shut the connection's socket after a while (None: TRANSACTION_S_MAX), which ends whatever waits for it with
        psycopg.OperationalError. A cancellation would first ask the very server that doesn't answer."""
        timer = asyncio.get_running_loop().call_later(
            TRANSACTION_S_MAX if after_s is None else after_s, _cut, self.connection
        )
        try:
            yield
        finally:
            timer.cancel()


def _cut(connection: Connection) -> None:
    with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)
