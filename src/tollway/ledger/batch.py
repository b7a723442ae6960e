"""What one commit writes: rows gathered on the event loop, handed whole to the writer.

Knows the shape of rows, but neither SQL nor the rules by which rows come about.
"""

import asyncio
from collections import defaultdict
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

from tollway.domain.answer import RESPONSE_ID_CHARS_MAX
from tollway.domain.commands import BurnNonce, Command, Revoke, SetFrozen, SetProvider
from tollway.domain.record import CallRecord, Delivery
from tollway.ledger.books import REVOCATION_GRACE_MS, Books
from tollway.ledger.claims import CLAIM_MS, FORGET_EACH, FORGET_MAX
from tollway.ledger.decision import Decision, DeliveryNote, KnownClaim, KnownKey, Note, RecountNote
from tollway.ledger.rows import Row, hold_row, other_row, post_row, recount_row, storable
from tollway.ledger.transfer import Account, Leg, Transfer, provider_of
from tollway.ledger.usage import DAY_MS, Sums, add_call
from tollway.wire import json

_SIDES = itemgetter(0, 1)  # of a leg
_NUMBER = attrgetter("no")


class Batch:
    """Rows by the query that writes them, the accounts they touch, and who waits for them.

    A query's rows are one list, the values of one row after those of another. What each call writes is int, str or
    bytearray, which sqlite3 hands over as they are: about anything else it asks its adapters, 0.3 us a value. So it is
    the query that makes NULL of "" and -1."""

    __slots__ = (
        "commands",
        "deliveries",
        "forget_nonces_ms",
        "forget_revocations_ms",
        "keys",
        "legs",
        "number",
        "rows",
        "state",
        "subjects",
        "usage",
        "usage_by_name",
        "waiters",
    )

    def __init__(self) -> None:
        self.number = 0
        self.commands = 0
        self.rows: defaultdict[str, list[Any]] = defaultdict(list)
        self.subjects: set[object] = set()  # what it is about, see `subject_of`
        self.legs: list[Leg] = []  # of the transfers
        self.state: Row = ()
        self.forget_nonces_ms: int | None = None  # nonces that expired up to then may go
        self.forget_revocations_ms = 0
        self.keys: set[str] = set()  # on their way to disk
        self.deliveries: dict[str, tuple[int, Delivery]] = {}  # by call id, with its post's seq: on their way to disk
        self.usage: dict[tuple[int, int, str, str], Sums] = {}  # of posts by day, account, model, provider
        self.usage_by_name: dict[tuple[int, int, str, str], Sums] = {}  # by day, account, kind of name, name
        self.waiters: list[asyncio.Future[None]] = []

    def add(self, decision: Decision, record: bytes | None, epoch: int) -> None:
        """Write what was decided; `record` is the decision's, encoded."""
        self.commands += 1
        transfer = decision.transfer
        if transfer is None:
            if decision.note is not None:
                self._add_note(decision.note)
            return
        kind, legs = transfer.kind, decision.legs
        self.subjects.add(transfer.id)
        self.legs += legs
        if kind == "hold":
            self.rows["insert_hold"].extend(hold_row(transfer, legs, epoch))
        elif kind == "post":
            self.rows["insert_post"].extend(post_row(transfer, legs))
        else:
            self.rows[f"insert_{kind}"].extend(other_row(transfer, legs))
        if record is not None and decision.record is not None:
            response_id = (decision.record.response_id or "")[:RESPONSE_ID_CHARS_MAX]
            self.rows["insert_call"].extend((transfer.seq, response_id, bytearray(record)))
            if kind == "post":
                self._count(legs[0][0].no, transfer, decision.record)
        if decision.claim is not None:
            self._add_claim(decision.claim, decision.answer, transfer.account)

    def touched(self) -> dict[int, Account]:
        """The accounts whose counters it moves, by number."""
        sides = list(chain.from_iterable(map(_SIDES, self.legs)))
        return dict(zip(map(_NUMBER, sides), sides, strict=True))

    def add_secret(self, name: str, value: bytes) -> None:
        self.commands += 1
        self._append("insert_secret", (name, value))

    def forget(self, now_ms: int, books: Books) -> None:
        """Clear away what `books` have just forgotten, and some claims that have expired."""
        self.forget_nonces_ms = books.forgotten_ms
        self.forget_revocations_ms = now_ms - REVOCATION_GRACE_MS
        self._forget_claims(FORGET_MAX, now_ms)
        # No claim of a day before yesterday stands any more: what its answers came to says nothing.
        self._append("forget_kept", ((now_ms - CLAIM_MS) // DAY_MS,))

    def leave_deliveries(self, other: "Batch") -> None:
        """To be written by `other`, a later one, unless there is nothing else to write in this one."""
        notes = len(self.deliveries)
        if notes < self.commands:
            self.commands -= notes
            other.commands += notes
            self.deliveries, other.deliveries = other.deliveries, self.deliveries

    def seal(self, number: int, books: Books) -> None:
        """Fix what memory says now: the counters as they will be when this batch is committed."""
        self.number = number
        pending_sum = posted_sum = 0
        rows = self.rows["insert_account"]
        for account in self.touched().values():
            debits_pending, debits_posted = account.debits_pending, account.debits_posted
            credits_pending, credits_posted = account.credits_pending, account.credits_posted
            pending, posted = debits_pending - credits_pending, debits_posted - credits_posted
            pending_before, posted_before = account.stored or (0, 0)
            pending_sum += pending - pending_before
            posted_sum += posted - posted_before
            account.stored = (pending, posted)
            rows += (
                account.no,
                account.id,
                debits_pending,
                debits_posted,
                credits_pending,
                credits_posted,
                account.last_seq,
            )
        for (day, account_no, model, provider), sums in self.usage.items():
            self._append("insert_usage", (day, account_no, model, provider_of(provider), *storable(sums)))
        for by_name, sums in self.usage_by_name.items():
            self._append("insert_usage_by_name", (*by_name, *storable(sums)))
        if self.deliveries:
            self.rows["insert_delivery"] += chain.from_iterable(self.deliveries.values())
        assert pending_sum == 0 == posted_sum, "a batch must leave the sum over all accounts at zero"
        oldest = next(iter(books.pending.values()), None)
        self.state = (
            number,
            books.next_seq,
            books.next_account_no,
            oldest[0].seq if oldest is not None else books.next_seq,
            books.newest_ms,
            books.forgotten_ms,
        )

    def done(self) -> None:
        """Tell everybody who waits for it that it is on disk."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits for it."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _add_note(self, note: Note) -> None:
        if isinstance(note, DeliveryNote):  # of each call: first
            self.deliveries.setdefault(note.id, (note.seq, note.delivery))
        elif isinstance(note, BurnNonce):
            self._append("insert_nonce", (note.account, note.nonce, note.expires_ms))
            self.subjects.add(subject_of(note))
        elif isinstance(note, Revoke):
            self._append("insert_revocation", (note.message_hash, note.account, note.expires_ms))
            self.subjects.add(subject_of(note))
        elif isinstance(note, KnownKey):
            row = (note.key.id, note.key.account, note.secret_hash, json.encode(note.key).decode(), note.ended_ms)
            self._append("insert_key", row)
            self.subjects.add(note.key.id)
            self.keys.add(note.key.id)
        elif isinstance(note, SetProvider):
            off = note.disabled
            self._append("insert_provider", (note.provider, off and off.since_ms, off and off.why))
            self.subjects.add(subject_of(note))
        elif isinstance(note, SetFrozen):
            since = note.frozen
            self._append(
                "insert_frozen", (note.account, since and since.since_ms, since and since.by, since and since.why)
            )
            self.subjects.add(subject_of(note))
        elif isinstance(note, RecountNote):
            self._append("insert_recount", recount_row(note))

    def _count(self, account_no: int, post: Transfer, record: CallRecord) -> None:
        """Add a posted call to what this batch adds to the sums on disk."""
        day, usage, charged = post.at_ms // DAY_MS, record.usage, post.amount
        add_call(self.usage, (day, account_no, post.model, post.counterparty), usage, charged)
        if record.user is not None:
            add_call(self.usage_by_name, (day, account_no, "user", record.user), usage, charged)
        if record.key is not None:
            add_call(self.usage_by_name, (day, account_no, "key", record.key), usage, charged)

    def _add_claim(self, claim: KnownClaim, answer: bytes | None, account: str) -> None:
        if claim.answered:
            self._append("answer_claim", (answer, claim.place, claim.id))
            if answer is not None:
                self._append("insert_kept", (claim.at_ms // DAY_MS, account, len(answer)))
        else:
            self._append("insert_claim", (claim.place, claim.id, claim.request, claim.at_ms))
            self._forget_claims(FORGET_EACH, claim.at_ms)

    def _forget_claims(self, number: int, now_ms: int) -> None:
        """The oldest first, and what is kept with them."""
        self._append("forget_claims", (number, now_ms - CLAIM_MS))

    def _append(self, query: str, row: Row) -> None:
        self.rows[query].extend(row)


def subject_of(command: Command) -> object:
    """What an unknown outcome is remembered by."""
    if isinstance(command, BurnNonce):
        return (command.account, command.nonce)
    if isinstance(command, SetProvider):
        return command.provider
    if isinstance(command, SetFrozen):
        return command.account
    return command.message_hash if isinstance(command, Revoke) else command.id
