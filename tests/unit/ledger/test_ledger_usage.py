"""Sums of usage on disk: how many users are told apart, and what a column can't hold."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from helpers.ledgers import USD, WALLET, HandClock, credit, fresh_id, hold, post
from tollway.domain.commands import Posted
from tollway.domain.observer import NullObserver
from tollway.domain.usage import Usage
from tollway.ledger.rows import TOKENS_MAX
from tollway.ledger.sqlite import reader
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.store import SqliteLedger

DAY = date(2026, 1, 1)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = await SqliteLedger.open(tmp_path / "books.db", HandClock(), NullObserver())
    await ledger.apply([credit(USD)])
    yield ledger
    await ledger.aclose()


async def test_a_period_with_more_users_than_are_read_is_refused_and_told_apart_otherwise(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "NAMES_READ_MAX", 3)
    calls = [fresh_id() for _ in range(4)]
    await ledger.apply([hold(5, id=call) for call in calls])
    await ledger.apply([post(call, 5, user=f"u-{number}") for number, call in enumerate(calls[:3])])
    assert len((await ledger.usage(WALLET, by="user", first=DAY, last=DAY)).lines) == 3
    await ledger.apply([post(calls[3], 5, user="u-3")])
    with pytest.raises(ValueError, match="a day and a user"):
        await ledger.usage(WALLET, by="user", first=DAY, last=DAY)
    assert (await ledger.usage(WALLET, by="model", first=DAY, last=DAY)).total.calls == 4


async def test_absurd_tokens_fail_no_booking(ledger: SqliteLedger, tmp_path: Path) -> None:
    call, sane = fresh_id(), fresh_id()
    absurd = Usage(prompt=2**80, completion=-5)
    await ledger.apply([hold(5, id=call), hold(5, id=sane)])
    posted = await ledger.apply([post(call, 5, usage=absurd, model="a"), post(sane, 4, model="b")])
    assert all(isinstance(result, Posted) for result in posted)
    total = (await ledger.usage(WALLET, by="day", first=DAY, last=DAY)).total
    assert (total.calls, total.prompt, total.completion, total.charged) == (2, TOKENS_MAX, 0, 9)
    assert audit(tmp_path / "books.db").clean
