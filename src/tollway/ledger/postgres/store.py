"""The ledger on PostgreSQL: any number of processes book on the same database, each by group commit.

Knows who waits and what a failure means for them; how a transaction is made is the session's business.

A command's way: it is queued; the one worker takes all that is queued into a transaction, which locks the accounts,
lets the book decide and commits; then its sender is told. What comes meanwhile is the next transaction. Nothing is
decided from memory but the note of a delivery, since a post never changes: so it makes no difference which process a
command comes to, and none keeps a lock while a caller or a provider is awaited.

A transaction that fails is made again where that is safe: always when its COMMIT was not sent; else, since a command
repeated is answered as it was the first time, as soon as the server can be asked. A nonce's burning alone can't be
repeated, and is LedgerOutcomeUnknown at once. While there is no server nothing is queued; a worker tries to reach it.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

import msgspec
import psycopg

from tollway.config.places import LedgerUrl
from tollway.domain.clock import Clock
from tollway.domain.commands import (
    Balance,
    BurnNonce,
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
from tollway.domain.record import CallRecord, Delivery
from tollway.ledger.batch import subject_of
from tollway.ledger.books import Books
from tollway.ledger.claims import CLAIM_MS, place_of
from tollway.ledger.decision import DeliveryNote, Expire
from tollway.ledger.postgres.page import COMMANDS_MAX
from tollway.ledger.postgres.pruning import prune
from tollway.ledger.postgres.reads import Reads
from tollway.ledger.postgres.requests import Queue, Request, fail_all
from tollway.ledger.postgres.server import RETRY_AFTER_MS, Readers, conninfo, first_line, meaning_of, unusable
from tollway.ledger.postgres.session import LEASE_S, Session

QUEUE_COMMANDS_MAX = 50_000  # waiting for the database; a hold that finds more is refused, so memory stays bounded
RECENT_POSTS = 4096  # kept in memory, once to twice as many, for the notes of their deliveries
NOTE_DELAY_S = 0.25  # how long what nobody waits for may wait for a transaction that others need
CHORES_S = 5.0  # how often the lease is renewed when nothing is booked, and dead processes are looked for
FORGET_EVERY_MS = 60_000
TRIES_MAX = 8  # of a transaction that others were in the way of
AGAIN_S_MAX = 0.05  # a random pause before it is tried again, so that two don't meet again
RECONNECT_S_MIN = 0.05  # between attempts to reach the server, doubled each time
RECONNECT_S_MAX = 2.0
NOTES_MAX = 50_000

Phase = Literal["up", "down", "closing", "closed"]


class PostgresLedger:
    """Implements domain.seams.Ledger. `await PostgresLedger.open(...)` makes one."""

    def __init__(self, info: str, clock: Clock, observer: Observer, lease_s: float) -> None:
        self._clock = clock
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._info = info
        self._session = Session(info, lease_s)
        self._reads = Reads(Readers(info), observer)
        self._lease_s = lease_s
        self._phase: Phase = "up"
        self._queue = Queue()
        self._wake = asyncio.Event()
        self._unsure: set[object] = set()  # what an unknown outcome is about, as long as the server can't be asked
        self._recent = Books(complete=True)  # chains of posts
        self._notes: dict[str, tuple[int, Delivery]] = {}  # by call id: the post's seq; on their way to the database
        self._reaps_from_s = 0.0
        self._forgotten_at_ms = clock.now_ms()
        self._chores_due = self._notes_due = self._notes_later = False
        self._draw = random.Random()  # noqa: S311  # a pause is jittered, not secret
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls, url: LedgerUrl, clock: Clock, observer: Observer, *, lease_s: float = LEASE_S
    ) -> "PostgresLedger":
        """Connect, bring the schema up to date, begin an epoch. Raises LedgerUnusable that says what to do."""
        ledger = cls(conninfo(url), clock, observer, lease_s)
        try:
            await ledger._session.open(clock.now_ms())
        except (psycopg.Error, OSError) as error:
            await ledger._session.close()
            raise unusable(error) from error
        except BaseException:
            await ledger._session.close()
            raise
        ledger._came_up()
        ledger._tasks = [ledger._loop.create_task(ledger._work()), ledger._loop.create_task(ledger._remind())]
        return ledger

    # --- the seam

    @property
    def ready(self) -> bool:
        return self._phase == "up"

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        self._check(commands)
        if len(commands) == 1 and isinstance(commands[0], NoteDelivery):
            result = self._note(commands[0])
            if result is not None:
                return [result]
        return await self._submit(commands)

    async def balance(self, account: str) -> Balance | None:
        known = await self._reads.account(account)
        return None if known is None else known.balance()

    async def statement(self, account: str, *, limit: int, cursor: str | None = None) -> Statement:
        return await self._reads.statement(account, limit, cursor)

    async def call(self, account: str, id: str) -> CallRecord | None:
        record = await self._reads.call(account, id)
        if record is not None and record.id in self._notes:
            return msgspec.structs.replace(record, delivery=self._notes[record.id][1])
        return record

    async def usage(self, account: str, *, by: UsageBy, first: date, last: date) -> UsageReport:
        return await self._reads.usage(account, by, first, last)

    async def key(self, secret_hash: str) -> KeyState | None:
        return await self._reads.key(secret_hash, self._clock.now_ms())

    async def keys(self, account: str, *, limit: int, cursor: str | None = None) -> KeyPage:
        return await self._reads.keys(account, self._clock.now_ms(), limit, cursor)

    async def answer(self, account: str, key: str) -> StoredAnswer | None:
        return await self._reads.answer(place_of(account, key), self._clock.now_ms() - CLAIM_MS)

    async def revoked(self, message_hash: str) -> bool:
        return await self._reads.revoked(message_hash)

    async def disabled(self) -> Mapping[str, Disabled]:
        return await self._reads.disabled()

    async def prune(self, before_ms: int, limit: int) -> int:
        if self._phase in ("closing", "closed"):
            raise LedgerUnavailable("The ledger is closed.")
        return await prune(self._info, before_ms, limit)

    async def secret(self, name: str) -> bytes:
        return await self._reads.secret(name)

    async def aclose(self) -> None:
        if self._phase in ("closing", "closed"):
            return
        was_up, self._phase = self._phase == "up", "closing"
        self._wake.set()
        worker, reminder = self._tasks
        reminder.cancel()
        if not was_up:
            worker.cancel()
        await asyncio.gather(worker, reminder, return_exceptions=True)
        self._queue.fail(LedgerUnavailable("The ledger is closed."))
        if was_up:
            with contextlib.suppress(psycopg.Error, OSError, AssertionError):
                await self._expire(self._session.owner.epoch)
                await self._session.end_epoch()
                await self._session.clear_epoch(self._session.owner.epoch)
        self._phase = "closed"
        await self._session.close()
        await self._reads.aclose()

    # --- the queue

    def _check(self, commands: Sequence[Command]) -> None:
        """Raises what stands against booking these now."""
        if self._phase == "up":
            if self._queue.commands < QUEUE_COMMANDS_MAX or not any(isinstance(command, Hold) for command in commands):
                return
            raise LedgerUnavailable("The ledger's database is too far behind.", retry_after_ms=RETRY_AFTER_MS)
        if self._phase == "down":
            if any(subject_of(command) in self._unsure for command in commands):
                raise LedgerOutcomeUnknown("the ledger can't yet tell whether this was booked")
            raise _unreachable()
        raise LedgerUnavailable("The ledger is closed.")

    async def _submit(self, commands: Sequence[Command]) -> list[Result]:
        request = Request(commands, self._loop.create_future())
        self._queue.add(request)
        self._wake.set()
        return await request.future

    def _note(self, command: NoteDelivery) -> Result | None:
        """Decide from memory, for a post that this process made; the row rides with the next transaction."""
        decision = self._recent.decide(command, self._clock.now_ms())
        note = decision.note
        if not isinstance(note, DeliveryNote):
            return None
        if len(self._notes) < NOTES_MAX:
            self._notes.setdefault(note.id, (note.seq, note.delivery))
            if not self._notes_later:
                self._notes_later = True
                self._loop.call_later(NOTE_DELAY_S, self._remind_of_notes)
        return decision.result

    def _remind_of_notes(self) -> None:
        self._notes_later = False
        self._notes_due = bool(self._notes)
        self._wake.set()

    async def _work(self) -> None:
        """The one task that books."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)  # whatever is ready to run may add to the first transaction
            while self._queue:
                await self._book(self._queue.take())
            if self._phase == "closing":
                await self._book([])
                return
            if self._chores_due or self._notes_due:
                self._notes_due = False
                await self._book([])
            if self._chores_due:
                self._chores_due = False
                await self._do_chores()

    # --- booking

    async def _book(self, requests: list[Request]) -> None:
        """Carry requests out and answer every one of them, whatever happens. An empty list renews the lease."""
        tries = 0
        unsure = reached_again = False
        while True:
            try:
                await self._carry_out(requests)
                return
            except (psycopg.Error, OSError) as error:
                meaning = meaning_of(error, self._session.connection)
                if meaning == "again" and (tries := tries + 1) < TRIES_MAX:
                    await self._session.roll_back()
                    await asyncio.sleep(self._draw.uniform(0, AGAIN_S_MAX))
                    continue
                if meaning != "lost":
                    await self._refuse(requests, error)
                    return
                unsure = unsure or self._session.may_have_committed
                self._session.lost()
                self._observer.alarm("ledger_connection_lost", f"{type(error).__name__}: {first_line(error)}")
                if unsure:
                    requests = self._without_burns(requests)
                if not reached_again and await self._reached():
                    reached_again = True
                    continue
                self._go_down(requests, unsure=unsure)
                await self._come_back()
                return
            except Exception as error:  # such as an AssertionError of the books: nobody may wait for ever
                await self._session.roll_back()
                self._observer.alarm("ledger_fault", f"{type(error).__name__}: {error}")
                fail_all(requests, LedgerUnavailable("The ledger found a fault in itself and booked nothing."))
                return

    async def _carry_out(self, requests: list[Request]) -> None:
        started_s = self._loop.time()
        notes = dict(self._notes)
        commands = [command for request in requests for command in request.commands]
        if len(commands) > COMMANDS_MAX:
            raise AssertionError(f"{len(commands)} commands at once, at most {COMMANDS_MAX} are possible")
        page, results = await self._session.book(commands, dict(notes.values()), self._clock.now_ms())
        for own in notes:
            del self._notes[own]
        for own, chain in page.chains.items():
            if chain[-1].kind == "post":
                self._recent.remember(own, chain)
        if self._recent.ended_count >= RECENT_POSTS:
            self._recent.rotate()
        place = 0
        for request in requests:
            request.answer(results[place : place + len(request.commands)])
            place += len(request.commands)
        if commands:
            self._observer.committed(len(commands), self._loop.time() - started_s)

    async def _refuse(self, requests: list[Request], error: BaseException) -> None:
        """The database refused a transaction. When that is for what one of them says, the others shall not suffer."""
        await self._session.roll_back()
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError) and len(requests) > 1:
            for request in requests:
                await self._book([request])
            return
        self._observer.alarm("ledger_commit_refused", f"{type(error).__name__}: {first_line(error)}")
        refusal = LedgerUnavailable("The ledger could not commit: nothing was booked.", retry_after_ms=RETRY_AFTER_MS)
        fail_all(requests, refusal)

    def _without_burns(self, requests: list[Request]) -> list[Request]:
        """Those that may be said again after an unknown outcome. To burn a nonce twice is refused, so it can't be."""
        kept = []
        for request in requests:
            if any(isinstance(command, BurnNonce) for command in request.commands):
                request.fail(LedgerOutcomeUnknown("the ledger can't tell whether this was booked"))
            else:
                kept.append(request)
        return kept

    # --- losing the server and reaching it again

    async def _reached(self) -> bool:
        """Connect again, once."""
        try:
            await self._session.reopen()
        except (psycopg.Error, OSError, LedgerUnusable) as error:
            self._observer.alarm("ledger_still_down", f"{type(error).__name__}: {first_line(error)}")
            return False
        return True

    def _go_down(self, requests: list[Request], *, unsure: bool) -> None:
        """Answer everybody who waits, and book nothing until the server is back."""
        if self._phase == "up":
            self._phase = "down"
        for request in requests:
            if unsure:
                self._unsure.update(subject_of(command) for command in request.commands)
                request.fail(LedgerOutcomeUnknown("the ledger can't tell whether this was booked"))
            else:
                request.fail(_unreachable())
        self._queue.fail(_unreachable())

    async def _come_back(self) -> None:
        delay_s = RECONNECT_S_MIN
        while self._phase == "down":
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RECONNECT_S_MAX)
            if await self._reached():
                self._unsure.clear()
                self._phase = "up"
                self._came_up()
                self._observer.alarm("ledger_recovered", "the database is reached again; holds are granted again")

    # --- chores

    def _came_up(self) -> None:
        """After the server was away every process's lease may have run out: all of them get the time to renew it."""
        self._reaps_from_s = self._loop.time() + self._lease_s

    async def _remind(self) -> None:
        while True:
            await asyncio.sleep(min(CHORES_S, self._lease_s / 3))
            self._chores_due = True
            self._wake.set()

    async def _do_chores(self) -> None:
        """Expire what dead processes held, and forget what is old. What fails now is done the next time."""
        if self._phase != "up":
            return
        try:
            if self._loop.time() >= self._reaps_from_s and (dead := await self._session.end_dead_epochs()):
                self._observer.alarm("ledger_lease_ended", f"{dead} processes did not renew their lease: holds expire")
            for epoch in await self._session.ended_epochs():
                await self._expire(epoch)
                await self._session.clear_epoch(epoch)
            now_ms = self._clock.now_ms()
            if now_ms - self._forgotten_at_ms >= FORGET_EVERY_MS:
                await self._session.forget(now_ms)
                self._forgotten_at_ms = now_ms
        except (psycopg.Error, OSError, AssertionError) as error:
            self._observer.alarm("ledger_chores_failed", f"{type(error).__name__}: {first_line(error)}")
            await self._session.roll_back()

    async def _expire(self, epoch: int) -> None:
        """Expire the pending holds of an epoch that makes no more of them."""
        while pending := await self._session.pending_holds(epoch):
            await self._session.book([Expire(id=own) for own in pending], {}, self._clock.now_ms())


def _unreachable() -> LedgerUnavailable:
    return LedgerUnavailable("The ledger's database can't be reached at the moment.", retry_after_ms=RETRY_AFTER_MS)
