"""A ledger in memory: the same book without a disk, for tests and for embedding. Nothing outlives the process."""

import os
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import islice

import msgspec

from tollway.domain.clock import Clock
from tollway.domain.commands import Balance, Command, Disabled, Result, Statement, StoredAnswer, UsageBy, UsageReport
from tollway.domain.errors import LedgerUnavailable
from tollway.domain.keys import KeyPage, KeyState
from tollway.domain.record import CallRecord, Delivery
from tollway.domain.usage import Usage
from tollway.ledger import keys
from tollway.ledger.books import Books
from tollway.ledger.claims import CLAIM_MS, FORGET_EACH, place_of
from tollway.ledger.decision import DeliveryNote, Expire, KnownClaim, KnownKey, Note, RecountNote, recounted
from tollway.ledger.statement import check_limit, decode_cursor, statement_of
from tollway.ledger.transfer import Transfer, provider_of
from tollway.ledger.usage import DAY_MS, Sums, add_call, check_period, day_key, day_number, report


class MemoryLedger:
    """Implements domain.seams.Ledger. Keeps every transfer and every record."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._books = Books(complete=True)
        self._transfers: list[Transfer] = []  # by seq, from 1
        self._records: dict[tuple[str, str], CallRecord] = {}  # (account, call id)
        self._by_response: dict[tuple[str, str], CallRecord] = {}  # (account, the provider's response id)
        self._answers: dict[str, tuple[int, bytes | None]] = {}  # by call id: when its claim expires, and the answer
        self._secrets: dict[str, bytes] = {}
        self._deliveries: dict[str, Delivery] = {}  # by call id, as are the recounts
        self._recounts: dict[str, Usage] = {}
        self._closed = False

    @property
    def ready(self) -> bool:
        return not self._closed

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        if self._closed:
            raise LedgerUnavailable("The ledger is closed.")
        at_ms = self._clock.now_ms()
        results: list[Result] = []
        for command in commands:
            result = self._carry_out(command, at_ms)
            assert result is not None, "a command is always answered"
            results.append(result)
        return results

    def new_epoch(self) -> None:
        """What a restart does to the books: holds that are pending expire."""
        at_ms = self._clock.now_ms()
        for hold in tuple(self._books.pending):
            self._carry_out(Expire(id=hold), at_ms)

    async def balance(self, account: str) -> Balance | None:
        known = self._books.accounts.get(account)
        return known.balance() if known is not None and known.no else None

    async def statement(self, account: str, *, limit: int, cursor: str | None = None) -> Statement:
        check_limit(limit)
        known = self._books.accounts.get(account)
        seq = known.last_seq if known is not None else 0
        if cursor is not None:
            seq = decode_cursor(cursor)
            if seq > len(self._transfers) or self._transfers[seq - 1].account != account:
                raise ValueError("cursor: not one of this account's statement")
        page: list[Transfer] = []
        while seq and len(page) < limit:
            page.append(self._transfers[seq - 1])
            seq = page[-1].previous
        return statement_of(page, limit)

    async def call(self, account: str, id: str) -> CallRecord | None:
        record = self._records.get((account, id)) or self._by_response.get((account, id))
        return None if record is None else self._noted(record)

    async def usage(self, account: str, *, by: UsageBy, first: date, last: date) -> UsageReport:
        check_period(first, last)
        days = range(day_number(first), day_number(last) + 1)
        groups: dict[str | None, Sums] = {}
        for post in self._transfers:
            if post.kind == "post" and post.account == account and (day := post.at_ms // DAY_MS) in days:
                record = self._records[account, post.id]
                named: dict[UsageBy, str | None] = {
                    "day": day_key(day),
                    "model": post.model,
                    "provider": provider_of(post.counterparty),
                    "user": record.user,
                    "key": record.key,
                }
                add_call(groups, named[by], record.usage, post.amount)
        return report(by, groups)

    async def key(self, secret_hash: str) -> KeyState | None:
        known = next((known for known in self._keys() if known.secret_hash == secret_hash), None)
        return None if known is None else self._key_state(known)

    async def keys(self, account: str, *, limit: int, cursor: str | None = None) -> KeyPage:
        check_limit(limit)
        before = keys.before(cursor)
        own = sorted((known for known in self._keys() if known.key.account == account), key=_by_id, reverse=True)
        found = [self._key_state(known) for known in own if known.key.id < before]
        living = sum(known.ended_ms is None for known in own)
        return keys.page(found[: limit + 1], limit, living=living, total=len(own))

    async def answer(self, account: str, key: str) -> StoredAnswer | None:
        known = self._books.claim(place_of(account, key))
        if known is None or known.id not in self._answers or known.at_ms <= self._clock.now_ms() - CLAIM_MS:
            return None
        return StoredAnswer(
            id=known.id,
            request=known.request,
            answer=self._answers[known.id][1],
            record=self._noted(self._records[account, known.id]),
            available=self._books.chain(known.id)[-1].available,
        )

    async def revoked(self, message_hash: str) -> bool:
        return message_hash in self._books.revocations

    async def disabled(self) -> Mapping[str, Disabled]:
        return self._books.disabled

    async def prune(self, before_ms: int, limit: int) -> int:
        return 0  # usage is summed from the records, and all ends with the process

    async def secret(self, name: str) -> bytes:
        return self._secrets.setdefault(name, os.urandom(32))

    async def aclose(self) -> None:
        self._closed = True

    def _keys(self) -> list[KnownKey]:
        return [known for known in self._books.keys.values() if known is not None]

    def _key_state(self, known: KnownKey) -> KeyState:
        return keys.state(known, self._books.account(known.key.spending(self._clock.now_ms())))

    def _carry_out(self, command: Command | Expire, at_ms: int) -> Result | None:
        decision = self._books.decide(command, at_ms)
        self._books.enter(decision)
        if decision.transfer is None:
            if decision.note is not None:
                self._note(decision.note)
            return decision.result
        self._transfers.append(decision.transfer)
        record = decision.record
        if record is not None:
            self._records[record.account, record.id] = record
            if record.response_id is not None:
                self._by_response[record.account, record.response_id] = record
        if decision.claim is not None and decision.claim.answered:
            self._keep(decision.claim, decision.answer, at_ms)
        return decision.result

    def _keep(self, claim: KnownClaim, answer: bytes | None, at_ms: int) -> None:
        for own in [own for own, (expires_ms, _) in islice(self._answers.items(), FORGET_EACH) if expires_ms <= at_ms]:
            del self._answers[own]
        self._answers[claim.id] = (claim.at_ms + CLAIM_MS, answer)

    def _note(self, note: Note) -> None:
        """The first note of a call stays."""
        if isinstance(note, DeliveryNote):
            self._deliveries.setdefault(note.id, note.delivery)
        elif isinstance(note, RecountNote):
            self._recounts.setdefault(note.id, note.recount.own)

    def _noted(self, record: CallRecord) -> CallRecord:
        """The record with what was noted of its call."""
        own = self._recounts.get(record.id)
        if own is not None:
            record = recounted(record, own)
        delivery = self._deliveries.get(record.id)
        return record if delivery is None else msgspec.structs.replace(record, delivery=delivery)


def _by_id(known: KnownKey) -> str:
    return known.key.id
