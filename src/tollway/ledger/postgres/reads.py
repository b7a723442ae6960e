"""Reads of what is committed: statements, calls, usage, what stands against calls. Knows nothing of what is queued."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
import psycopg

from tollway.domain.answer import RESPONSE_ID_CHARS_MAX
from tollway.domain.commands import Disabled, Statement, StoredAnswer, UsageBy, UsageReport
from tollway.domain.errors import LedgerUnavailable, RecordPruned
from tollway.domain.keys import KeyPage, KeyState
from tollway.domain.observer import Observer
from tollway.domain.record import CallRecord
from tollway.domain.usage import Usage
from tollway.ledger import keys
from tollway.ledger.decision import recounted
from tollway.ledger.postgres.arrays import literal_of, text
from tollway.ledger.postgres.page import read_account
from tollway.ledger.postgres.server import RETRY_AFTER_MS, Readers, first_line
from tollway.ledger.rows import read_key, read_transfer
from tollway.ledger.statement import check_limit, decode_cursor, statement_of
from tollway.ledger.transfer import Account
from tollway.ledger.usage import NAMES_READ_MAX, check_period, day_key, day_number, report, unnamed
from tollway.wire import json

PRUNED = "The record of this call is not kept any more: the statement still has what it moved."
SECRET_BYTES = 32
# How far back a provider's response id is looked for: about the account's newest 5,000 calls.
RESPONSE_WALK_TRANSFERS_MAX = 10_000


class _Seen(msgspec.Struct, frozen=True):
    """One look at what stands against calls."""

    revoked: frozenset[str]  # of the message hashes that were asked for
    disabled: Mapping[str, Disabled]


class Reads:
    """Every method raises LedgerUnavailable when the database can't answer."""

    def __init__(self, readers: Readers, observer: Observer) -> None:
        self._readers = readers
        self._observer = observer
        self._asked: set[str] = set()  # message hashes of the next look
        self._next: asyncio.Future[_Seen] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def account(self, id: str) -> Account | None:
        rows = await self._fetch("account", text(id))
        return read_account(rows[0]) if rows else None

    async def statement(self, account: str, limit: int, cursor: str | None) -> Statement:
        """ValueError for a limit out of range, and for a cursor that isn't one of this account's statement."""
        check_limit(limit)
        if cursor is None:
            known = await self.account(account)
            seq = 0 if known is None else known.last_seq
        else:
            seq = decode_cursor(cursor)
            if not await self._fetch("belongs", seq, text(account)):
                raise ValueError("cursor: not one of this account's statement")
        rows = await self._fetch("statement", seq, limit) if seq else []
        return statement_of([read_transfer(row) for row in rows], limit)

    async def call(self, account: str, id: str) -> CallRecord | None:
        account, wanted = text(account), text(id)
        rows = await self._fetch("call_by_id", wanted, account)
        if not rows:
            limits = (RESPONSE_WALK_TRANSFERS_MAX, wanted[:RESPONSE_ID_CHARS_MAX])
            rows = await self._fetch("call_by_response", account, *limits)
        if not rows and await self._fetch("ended", wanted, account):
            raise RecordPruned(PRUNED, param="id")
        if not rows:
            return None
        record, delivery, own = json.decode_as(rows[0][0].encode(), CallRecord), rows[0][1], rows[0][2]
        if own is not None:
            record = recounted(record, json.decode_as(own.encode(), Usage))
        return record if delivery is None else msgspec.structs.replace(record, delivery=delivery)

    async def usage(self, account: str, by: UsageBy, first: date, last: date) -> UsageReport:
        """ValueError for a period of too many days, or with too many names."""
        check_period(first, last)
        days = (day_number(first), day_number(last), text(account))
        if by not in ("user", "key"):
            rows = await self._fetch("usage", by, *days)
            return report(by, {day_key(int(key)) if by == "day" else key: sums for key, *sums in rows})
        # One row is of all calls, the others of those that had such a name: one statement, so that they agree.
        rows = await self._fetch("usage_by_name", *days, by, NAMES_READ_MAX + 1, *days)
        if sum(row[1] for row in rows if row[0] is not None) > NAMES_READ_MAX:
            raise ValueError(f"period: it has more than {NAMES_READ_MAX} pairs of a day and a {by}")
        groups = {name: sums for name, _, *sums in rows}
        rest = unnamed(groups.pop(None), groups)
        return report(by, groups | {None: rest} if rest[0] else groups)

    async def key(self, secret_hash: str, at_ms: int) -> KeyState | None:
        rows = await self._fetch("key_of_secret", text(secret_hash))
        return (await self._states(rows, at_ms))[0] if rows else None

    async def keys(self, account: str, at_ms: int, limit: int, cursor: str | None) -> KeyPage:
        """ValueError for a limit out of range, and for a cursor that isn't one of ours."""
        check_limit(limit)
        account, before = text(account), keys.before(cursor)
        found = await self._states(await self._fetch("keys_of", account, before, limit + 1), at_ms)
        ((total, living),) = await self._fetch("count_keys", account)
        return keys.page(found, limit, living=living, total=total)

    async def _states(self, rows: Sequence[tuple[Any, ...]], at_ms: int) -> list[KeyState]:
        known = [read_key(row) for row in rows]
        spending = [one.key.spending(at_ms) for one in known]
        counted = {row[0]: read_account(row) for row in await self._fetch("accounts_named", literal_of(spending))}
        return [keys.state(one, counted.get(own) or Account(id=own)) for one, own in zip(known, spending, strict=True)]

    async def answer(self, place: str, after_ms: int) -> StoredAnswer | None:
        """What is kept with a claim that was made after `after_ms`."""
        rows = await self._fetch("answer", place, after_ms)
        if not rows:
            return None
        own_id, request, answer, record, available = rows[0]
        return StoredAnswer(
            id=own_id,
            request=request,
            answer=answer,
            record=json.decode_as(record.encode(), CallRecord),
            available=available,
        )

    async def secret(self, name: str) -> bytes:
        """The same for every process: the first to ask makes it."""
        rows = await self._fetch("secret", name)
        if not rows:
            await self._fetch("insert_secret", name, os.urandom(SECRET_BYTES))
            rows = await self._fetch("secret", name)
        return bytes(rows[0][0])

    async def revoked(self, message_hash: str) -> bool:
        self._asked.add(message_hash)
        return message_hash in (await self._look()).revoked

    async def disabled(self) -> Mapping[str, Disabled]:
        return (await self._look()).disabled

    async def aclose(self) -> None:
        if self._looking is not None:
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._readers.aclose()

    async def _look(self) -> _Seen:
        """What stands against calls, looked up in the database each time, so that an operator's or a caller's word
        holds everywhere as soon as it is answered. Those who ask while one look is under way share the next one,
        which begins after they asked."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._looking is None:
                self._looking = asyncio.create_task(self._look_on())
        return await asyncio.shield(self._next)

    async def _look_on(self) -> None:
        while self._next is not None:
            waiting, self._next = self._next, None
            asked, self._asked = self._asked, set()
            try:
                rows = await self._fetch("revoked_or_disabled", literal_of(asked))
            except Exception as error:  # whatever it is, nobody may wait for ever
                waiting.set_exception(error)
                waiting.exception()  # whoever asked may have left: it is no error that nobody takes it
            else:
                waiting.set_result(_seen(rows))
        self._looking = None

    async def _fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        try:
            return await self._readers.fetch(query, parameters)
        except (psycopg.Error, OSError) as error:
            self._observer.alarm("ledger_read_failed", f"{type(error).__name__}: {first_line(error)}")
            raise LedgerUnavailable("The ledger can't read its database.", retry_after_ms=RETRY_AFTER_MS) from error


def _seen(rows: Sequence[tuple[Any, ...]]) -> _Seen:
    return _Seen(
        revoked=frozenset(key for key, since_ms, _ in rows if since_ms is None),
        disabled={key: Disabled(since_ms=since_ms, why=why) for key, since_ms, why in rows if since_ms is not None},
    )
