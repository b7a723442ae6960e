"""The embedded ledger: decisions in memory on the event loop, rows in SQLite by group commit.

Knows how memory and disk are kept alike; what may be booked is the book's business, how rows are written the writer's.

A command's way: what memory lacks is loaded (`_load`); the book decides and memory is changed at once; the rows join
the queued batch; when somebody waits for one of them (nobody does for a hold's, see `DECIDED`) and the writer is free,
that batch is sealed and handed over, and a new one begun. So a batch holds whatever was booked while the last commit
ran, rows go to disk first in, first out (words of delivery later, many at once), and memory is ahead of the disk by at
most two batches. A commit that fails takes both of them: their senders are told, memory is rebuilt from disk, and
nothing is booked until a probe has been committed.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, cast

import msgspec

from tollway.domain.clock import Clock
from tollway.domain.commands import (
    Balance,
    Command,
    Disabled,
    Hold,
    NoteDelivery,
    Result,
    Statement,
    StoredAnswer,
    UsageBy,
    UsageReport,
)
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable, LedgerUnusable
from tollway.domain.keys import KeyPage, KeyState
from tollway.domain.observer import Observer
from tollway.domain.record import CallRecord
from tollway.ledger.batch import Batch, subject_of
from tollway.ledger.books import Books, NotLoaded
from tollway.ledger.claims import CLAIM_MS, place_of
from tollway.ledger.decision import Expire
from tollway.ledger.sqlite.database import Connect, Snapshot, connect, true_path
from tollway.ledger.sqlite.loading import Loading
from tollway.ledger.sqlite.lock import FileLock, lock_path
from tollway.ledger.sqlite.patience import Patience
from tollway.ledger.sqlite.reader import RETRY_AFTER_MS, Reader, unreadable
from tollway.ledger.sqlite.rebuilt import rebuilt
from tollway.ledger.sqlite.writer import Writer, Written
from tollway.wire import json

RECENT_CHAINS = 4096  # ended chains kept in memory, once to twice as many: repeats of these cost no read
ACCOUNTS_MAX = 100_000  # in memory, about 50 MB; the older half goes when there are more
QUEUE_COMMANDS_MAX = 50_000  # waiting for the disk; a hold that finds more is refused, so memory stays bounded
FORGET_EVERY_MS = 60_000
RECOVER_DELAY_S_MIN = 0.05  # between attempts to commit a probe, doubled each time
RECOVER_DELAY_S_MAX = 5.0
RIDE_S_MAX = 0.1  # how long what nobody waits for may wait for a commit that others need
# Commands that are answered before they are on disk. A hold that never gets there reserves nothing in books that are
# read again: its call can't have been posted either, for rows go to disk in their order.
DECIDED = frozenset((Hold, NoteDelivery))

Phase = Literal["opening", "up", "down", "closing", "closed"]


class SqliteLedger:
    """Implements domain.seams.Ledger for one process. `await SqliteLedger.open(...)` makes one."""

    def __init__(self, path: Path, clock: Clock, observer: Observer, connect: Connect) -> None:
        """Raises LedgerLocked."""
        self._clock = clock
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._lock = FileLock(lock_path(path))
        self._writer = Writer(path, connect, self._deliver)
        self._reader = Reader(observer)
        self._phase: Phase = "opening"
        self._books = Books(complete=False)
        self._epoch = 0
        self._batch_number = 0  # of the last batch sealed
        self._queued = Batch()
        self._writing: Batch | None = None
        self._scheduled = False  # the queued batch is about to be handed over
        self._scheduled_later = False
        self._deliveries_due = False  # they have been left to later commits for RIDE_S_MAX
        self._loading = Loading(self._books, self._reader)
        self._unsure: set[object] = set()  # what an unknown outcome is about, until it is known
        self._forgotten_at_ms = clock.now_ms()
        self._secrets: dict[str, bytes] = {}
        self._new_secrets: dict[str, bytes] = {}  # not yet on disk
        self._recovery: asyncio.Task[None] | None = None
        self._patience = Patience(self._loop, self._on_silence)

    @classmethod
    async def open(cls, path: Path, clock: Clock, observer: Observer, *, connect: Connect = connect) -> "SqliteLedger":
        """Take the lock, bring the schema up to date, expire the holds that an earlier process left.

        `connect` makes the writing connections. Raises LedgerLocked, or LedgerUnusable that says what to do."""
        path = true_path(path)
        try:
            ledger = cls(path, clock, observer, connect)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            ledger._rebuild(await asyncio.wrap_future(ledger._writer.open(clock.now_ms())))
            ledger._reader.open(path)
            for hold in tuple(ledger._books.pending):
                ledger._carry_out(Expire(id=hold), clock.now_ms())
            if (committed := ledger._commit()) is not None:
                await committed
            ledger._phase = "up"
        except BaseException as error:
            await ledger._let_go()
            if isinstance(error, sqlite3.Error | OSError | LedgerUnavailable | LedgerOutcomeUnknown):
                raise _unusable(path, error) from error
            raise
        return ledger

    # --- the seam

    @property
    def ready(self) -> bool:
        return self._phase == "up"

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        self._check(commands)
        # One command is decided at once and read for only where it finds something missing; of several none is entered
        # before all can be, for nothing may have to be waited for between two.
        at_ms = self._clock.now_ms() if len(commands) == 1 else await self._load(commands)
        try:
            try:
                results = [self._carry_out(command, at_ms) for command in commands]
            except NotLoaded:
                at_ms = await self._load(commands)
                results = [self._carry_out(command, at_ms) for command in commands]
        except AssertionError as error:
            self._go_down("ledger_fault", f"memory contradicts itself: {error}")
            raise LedgerUnavailable("The ledger found a fault in itself and booked nothing.") from error
        if DECIDED.issuperset(map(type, commands)):
            self._schedule_later()
        elif (committed := self._commit()) is not None:
            await committed
        return cast("list[Result]", results)  # whatever is a command is answered

    async def balance(self, account: str) -> Balance | None:
        known = self._books.accounts.get(account) if self._phase == "up" else None
        if known is None:
            known = await self._reader.account(account)
        return known.balance() if known.no else None

    async def statement(self, account: str, *, limit: int, cursor: str | None = None) -> Statement:
        return await self._reader.statement(account, limit, cursor)

    async def call(self, account: str, id: str) -> CallRecord | None:
        record = await self._reader.call(account, id)
        for batch in (self._writing, self._queued):
            if record is not None and batch is not None and record.id in batch.deliveries:
                return msgspec.structs.replace(record, delivery=batch.deliveries[record.id][1])
        return record

    async def usage(self, account: str, *, by: UsageBy, first: date, last: date) -> UsageReport:
        return await self._reader.usage(account, by, first, last)

    async def key(self, secret_hash: str) -> KeyState | None:
        state = await self._reader.key_of_secret(secret_hash, self._clock.now_ms())
        known = self._books.keys.get(state.key.id) if state is not None else None
        if state is None or known is None:
            return state
        return msgspec.structs.replace(state, ended_ms=known.ended_ms)  # an end counts before it is on disk

    async def keys(self, account: str, *, limit: int, cursor: str | None = None) -> KeyPage:
        return await self._reader.keys(account, self._clock.now_ms(), limit, cursor)

    async def answer(self, account: str, key: str) -> StoredAnswer | None:
        return await self._reader.answer(place_of(account, key), self._clock.now_ms() - CLAIM_MS)

    async def revoked(self, message_hash: str) -> bool:
        return message_hash in self._books.revocations

    async def disabled(self) -> Mapping[str, Disabled]:
        return self._books.disabled

    async def prune(self, before_ms: int, limit: int) -> int:
        if self._phase != "up":
            raise unreadable()
        try:
            return await asyncio.wrap_future(self._writer.prune(before_ms, limit))
        except sqlite3.Error as error:
            raise self._reader.failed(error) from error

    async def secret(self, name: str) -> bytes:
        if name in self._secrets:
            return self._secrets[name]
        self._check(())
        if name not in self._new_secrets:
            self._new_secrets[name] = os.urandom(32)
            self._queued.add_secret(name, self._new_secrets[name])
            self._schedule()
        value = self._new_secrets[name]
        if (committed := self._commit()) is not None:
            await committed
        self._secrets[name] = value
        return value

    async def aclose(self) -> None:
        if self._phase in ("closing", "closed"):
            return
        self._phase = "closing"
        while self._writing is not None or self._queued.commands:
            if (committed := self._commit()) is not None:
                with contextlib.suppress(LedgerUnavailable, LedgerOutcomeUnknown):
                    await committed
        await self._let_go()

    # --- booking

    def _check(self, commands: Sequence[Command]) -> None:
        """Raises what stands against booking these now."""
        if self._phase == "up":
            if self._queued.commands < QUEUE_COMMANDS_MAX or not any(isinstance(command, Hold) for command in commands):
                return
            raise LedgerUnavailable("The ledger's disk is too far behind.", retry_after_ms=RETRY_AFTER_MS)
        if self._phase == "down":
            if any(subject_of(command) in self._unsure for command in commands):
                raise LedgerOutcomeUnknown("the ledger can't yet tell whether this was booked")
            raise LedgerUnavailable("The ledger can't commit at the moment.", retry_after_ms=RETRY_AFTER_MS)
        raise LedgerUnavailable("The ledger is closed.")

    async def _load(self, commands: Sequence[Command]) -> int:
        """Read what the book needs for these. The moment at which they can be decided, which is now."""
        at_ms = self._clock.now_ms()
        while missing := self._books.missing(commands, at_ms):
            if not await self._loading.load(missing):
                raise unreadable()
            self._check(commands)
            at_ms = self._clock.now_ms()
        return at_ms

    def _carry_out(self, command: Command | Expire, at_ms: int) -> Result | None:
        """What it writes is queued; when that is handed over is for the caller to say."""
        decision = self._books.decide(command, at_ms)
        if decision.transfer is not None or decision.note is not None:
            # Encoded before anything is entered: a record that can't be must not fail others' bookings.
            record = json.encode(decision.record) if decision.record is not None else None
            self._books.enter(decision)
            self._queued.add(decision, record, self._epoch)
        return decision.result

    def _commit(self) -> asyncio.Future[None] | None:
        """Done when all that is booked so far is on disk; or it fails with LedgerUnavailable or LedgerOutcomeUnknown.
        None: it is already."""
        batch = self._queued if self._queued.commands else self._writing
        if batch is None:
            return None
        committed: asyncio.Future[None] = self._loop.create_future()
        batch.waiters.append(committed)
        self._schedule()
        return committed

    # --- committing

    def _schedule(self) -> None:
        if self._writing is None and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._hand_over)

    def _schedule_later(self) -> None:
        """What nobody waits for rides with the next commit, and has one of its own only when there is no other."""
        if not self._scheduled_later:
            self._scheduled_later = True
            self._loop.call_later(RIDE_S_MAX, self._schedule_now)

    def _schedule_now(self) -> None:
        self._scheduled_later = False
        self._deliveries_due = True
        if self._queued.commands and self._phase == "up":
            self._schedule()

    def _hand_over(self) -> None:
        """Give the queued batch to the writer. Called once all that was ready to run has run, so it is no smaller than
        it has to be, and never waits for more."""
        self._scheduled = False
        batch = self._queued
        if self._writing is not None or not batch.commands:
            return
        now_ms = self._clock.now_ms()
        if now_ms - self._forgotten_at_ms >= FORGET_EVERY_MS:
            self._forgotten_at_ms = now_ms
            self._books.forget(now_ms)
            batch.forget(now_ms, self._books)
        following, due, self._deliveries_due = Batch(), self._deliveries_due, False
        if not due:
            batch.leave_deliveries(following)
        self._batch_number += 1
        try:
            batch.seal(self._batch_number, self._books)
        except AssertionError as error:
            self._go_down("ledger_fault", f"memory contradicts itself: {error}")
            return
        self._writing, self._queued = batch, following
        self._writer.submit(batch)
        self._patience.begin()

    def _deliver(self, batch: Batch, written: Written) -> None:
        """In the writer's thread: one wake-up of the event loop for a whole batch."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._on_written, batch, written)

    def _on_silence(self) -> None:
        """The disk doesn't answer. Whether the batch is on it will be known when it does: until then all is refused."""
        assert self._writing is not None, "a batch is being written"
        self._unsure |= self._writing.subjects
        self._writing.fail(LedgerOutcomeUnknown("the disk did not answer in time"))
        self._go_down("ledger_commit_unknown", "the disk did not answer in time")

    def _on_written(self, batch: Batch, written: Written) -> None:
        self._writing = None
        self._patience.end()
        if written.outcome != "committed":
            error: Exception
            error = _refused()
            if written.outcome == "unknown":
                self._unsure |= batch.subjects
                error = LedgerOutcomeUnknown("the ledger can't tell whether this was booked")
            batch.fail(error)
            self._go_down(f"ledger_commit_{written.outcome}", written.detail)
            return
        batch.done()
        self._observer.committed(batch.commands, written.seconds)
        self._make_room()
        if self._queued.waiters:
            self._schedule()
        elif self._queued.commands:
            self._schedule_later()  # its time may have been up while this commit ran

    def _make_room(self) -> None:
        """Drop the oldest of what is in memory. Only here, for what is dropped must be on disk: the older generation
        of chains was booked before this commit began, and accounts that the queued batch touches stay."""
        books = self._books
        if books.ended_count >= RECENT_CHAINS:
            books.rotate()
        if len(books.accounts) > ACCOUNTS_MAX:
            books.drop_older_accounts(self._queued.touched().values())
        if len(books.keys) > ACCOUNTS_MAX:
            books.drop_older_keys(self._queued.keys)

    # --- failing and recovering

    def _go_down(self, what: str, detail: str) -> None:
        """Stop booking, refuse what is queued, and begin to recover."""
        self._queued.fail(_refused())
        self._queued = Batch()
        self._loading.give_up()
        self._observer.alarm(what, detail)
        if self._phase == "up":
            self._phase = "down"
            self._recovery = self._loop.create_task(self._recover())

    async def _recover(self) -> None:
        delay_s = RECOVER_DELAY_S_MIN
        while True:
            try:
                snapshot = await asyncio.wrap_future(self._writer.recover())
                break
            except (sqlite3.Error, OSError, LedgerUnusable) as error:
                self._observer.alarm("ledger_still_down", f"{type(error).__name__}: {error}")
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RECOVER_DELAY_S_MAX)
        self._rebuild(snapshot)
        self._unsure.clear()
        self._phase = "up"
        self._observer.alarm("ledger_recovered", "a probe was committed; holds are granted again")

    def _rebuild(self, snapshot: Snapshot) -> None:
        """Memory from disk."""
        self._books = rebuilt(snapshot, self._books.newest_ms)
        self._loading = Loading(self._books, self._reader)
        self._epoch = snapshot.epoch
        self._batch_number = snapshot.state.batch
        self._secrets = snapshot.secrets
        self._new_secrets = {}

    async def _let_go(self) -> None:
        self._phase = "closed"
        self._patience.close()
        if self._recovery is not None:
            self._recovery.cancel()
        await self._reader.aclose()
        await asyncio.to_thread(self._writer.close)
        self._lock.release()


def _refused() -> LedgerUnavailable:
    return LedgerUnavailable("The ledger could not commit: nothing was booked.", retry_after_ms=RETRY_AFTER_MS)


def _unusable(path: Path, error: BaseException) -> LedgerUnusable:
    return LedgerUnusable(f"The ledger at {path} can't be opened ({error}): check the folder, its rights and the disk.")
