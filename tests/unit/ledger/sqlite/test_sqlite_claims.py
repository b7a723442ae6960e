"""Idempotency-Keys in the embedded store: what is read, what is cleared away, what a failed commit leaves."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from helpers.faulty_disk import FaultyDisk
from helpers.ledgers import START_MS, USD, WALLET, HandClock, WatchingObserver, credit, fresh_id, hold, post
from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Claimed, Held, Hold, Post, Posted
from tollway.domain.errors import LedgerUnavailable
from tollway.ledger.claims import CLAIM_MS
from tollway.ledger.sqlite import store
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.store import SqliteLedger


class Setting:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = HandClock()
        self.disk = FaultyDisk()
        self.observer = WatchingObserver()

    async def open(self) -> SqliteLedger:
        self.ledger = await SqliteLedger.open(self.path, self.clock, self.observer, connect=self.disk)
        return self.ledger

    def claims(self) -> int:
        connection = sqlite3.connect(self.path)
        try:
            (number,) = connection.execute("SELECT count(*) FROM claims").fetchone()
        finally:
            connection.close()
        return int(number)


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path / "books.db")
    await (await setting.open()).apply([credit(5 * USD)])
    yield setting
    await setting.ledger.aclose()
    assert audit(setting.path).clean


def keyed(id: str, key: str = "a") -> Hold:
    return hold(USD, id=id, claim=Claim(key=key, request="r"))


def success(id: str, key: str = "a") -> Post:
    return msgspec.structs.replace(post(id, 10), kept=Kept(key=key, answer=b"{}"))


async def test_once_a_minute_expired_claims_are_cleared_away(setting: Setting) -> None:
    for number in range(6):
        own = fresh_id()
        await setting.ledger.apply([keyed(own, str(number)), success(own, str(number))])
    assert setting.claims() == 6
    setting.clock.ms += CLAIM_MS
    own = fresh_id()
    await setting.ledger.apply([keyed(own, "new"), success(own, "new")])
    assert setting.claims() == 1
    assert await setting.ledger.answer(WALLET, "new") is not None


async def test_between_the_minutes_each_new_claim_clears_two_away(setting: Setting) -> None:
    for number in range(6):
        own = fresh_id()
        await setting.ledger.apply([keyed(own, str(number)), success(own, str(number))])
    setting.clock.ms += CLAIM_MS
    setting.ledger._forgotten_at_ms = setting.clock.ms
    own = fresh_id()
    await setting.ledger.apply([keyed(own, "new"), success(own, "new")])
    assert setting.claims() == 6 - 2 + 1


async def test_a_claim_that_left_memory_is_read(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RECENT_CHAINS", 1)
    own, slow = fresh_id(), fresh_id()
    await setting.ledger.apply([keyed(own), success(own)])
    await setting.ledger.apply([keyed(slow, "slow")])
    for _ in range(4):
        other = fresh_id()
        await setting.ledger.apply([hold(1, id=other), post(other, 1)])
    assert await setting.ledger.apply([keyed(fresh_id())]) == [Claimed(id=own, answered=True, same=True)]
    assert await setting.ledger.apply([keyed(fresh_id(), "slow")]) == [Claimed(id=slow, answered=False, same=True)]
    await setting.ledger.apply([success(slow, "slow")])
    stored = await setting.ledger.answer(WALLET, "slow")
    assert stored is not None and stored.id == slow


async def test_an_answer_counts_once_it_is_on_disk(setting: Setting) -> None:
    own = fresh_id()
    await setting.ledger.apply([keyed(own)])
    setting.disk.pause()
    posting = asyncio.create_task(setting.ledger.apply([success(own)]))
    await setting.disk.until_waiting()
    assert await setting.ledger.answer(WALLET, "a") is None
    setting.disk.resume()
    await posting
    assert await setting.ledger.answer(WALLET, "a") is not None


async def test_a_claim_whose_commit_failed_is_free_again(setting: Setting) -> None:
    own = fresh_id()
    setting.disk.fault = "full"
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([keyed(own), success(own)])
    setting.disk.fault = "none"
    await setting.observer.until("ledger_recovered")
    [held, posted] = await setting.ledger.apply([keyed(again := fresh_id()), success(again)])
    assert isinstance(held, Held) and isinstance(posted, Posted)


async def test_an_earlier_call_under_the_key_leaves_nothing_behind(setting: Setting) -> None:
    first, second = fresh_id(), fresh_id()
    await setting.ledger.apply([keyed(first), success(first)])
    setting.clock.ms = START_MS + CLAIM_MS
    await setting.ledger.apply([keyed(second), success(second)])
    stored = await setting.ledger.answer(WALLET, "a")
    assert stored is not None and stored.id == second
    assert setting.claims() == 1
