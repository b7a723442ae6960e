"""Call records that are let go of: what every store that keeps its books forgets, and what it never does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.ledger_homes import HOMES, Home, OnPostgres
from helpers.ledgers import OTHER, START_MS, WALLET, credit, fresh_id, hold, post, reverse, void
from helpers.postgres import Server
from tollway.domain.clock import Clock
from tollway.domain.commands import NoteDelivery, Posted, Reversed
from tollway.domain.errors import LedgerUnavailable, RecordPruned
from tollway.ledger import operator
from tollway.ledger.retention import STEP_CALLS, Retention
from tollway.ledger.usage import DAY_MS

HOUR_MS = 3_600_000


@pytest.fixture(params=["sqlite", "postgres"])
async def home(request: pytest.FixtureRequest, tmp_path: Path, postgres: Callable[[], Server]):
    home = HOMES[request.param](tmp_path, postgres)
    await home.open()
    yield home
    await home.close()


def books(home: Home) -> operator.Books:
    return home.url if isinstance(home, OnPostgres) else home.folder / "books.db"


async def called(home: Home, count: int) -> list[str]:
    """Calls, an hour apart."""
    calls = []
    for _ in range(count):
        call = fresh_id(home.clock.ms)
        await home.apply(hold(100, id=call), post(call, 40, 30, response_id=f"r-{call}"))
        await home.one(NoteDelivery(id=call, delivery="complete"))
        calls.append(call)
        home.clock.ms += HOUR_MS
    return calls


async def test_the_oldest_go_first_as_many_as_asked_and_no_younger_one(home: Home) -> None:
    await home.one(credit(1000))
    calls = await called(home, 5)
    young_from = START_MS + 3 * HOUR_MS
    assert await home.ledger.prune(START_MS, 10) == 0
    assert await home.ledger.prune(young_from, 2) == 2
    assert await home.ledger.prune(young_from, 2) == 1
    assert await home.ledger.prune(young_from, 2) == 0
    for call in calls[:3]:
        with pytest.raises(RecordPruned, match="not kept any more"):
            await home.ledger.call(WALLET, call)
        assert await home.ledger.call(WALLET, f"r-{call}") is None
        assert await home.ledger.call(OTHER, call) is None, "others learn nothing"
    for call in calls[3:]:
        record = await home.ledger.call(WALLET, call)
        assert record is not None and record.delivery == "complete"


async def test_no_money_is_forgotten(home: Home) -> None:
    await home.one(credit(1000))
    calls = await called(home, 3)
    given_up = fresh_id(home.clock.ms)
    await home.apply(hold(10, id=given_up), void(given_up))
    before, balance = await home.entries(), await home.available()
    report = operator.report(books(home))
    home.clock.ms += 90 * DAY_MS
    assert await home.ledger.prune(home.clock.ms, 100) == 4
    assert (await home.entries(), await home.available()) == (before, balance)
    assert operator.report(books(home)) == report
    audited = operator.audit(books(home))
    assert audited.differences == [] and audited.posts == 3
    assert await home.one(reverse(calls[0])) == Reversed(account=WALLET, change=40, available=balance + 40)
    await home.restart()
    assert isinstance(await home.one(post(calls[1], 40, 30)), Posted)
    assert operator.audit(books(home)).differences == []


async def test_a_clock_that_went_back_lets_nothing_young_go(home: Home) -> None:
    await home.one(credit(1000))
    (young,) = await called(home, 1)
    home.clock.ms -= 10 * DAY_MS
    await called(home, 2)
    assert await home.ledger.prune(START_MS, 10) == 0, "the young one is in the way"
    assert await home.ledger.call(WALLET, young) is not None


async def test_a_closed_ledger_lets_nothing_go(home: Home) -> None:
    await home.ledger.aclose()
    with pytest.raises(LedgerUnavailable):
        await home.ledger.prune(START_MS, 1)


class Counted:
    def __init__(self, *answers: int | LedgerUnavailable) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, int]] = []

    async def prune(self, before_ms: int, limit: int) -> int:
        self.asked.append((before_ms, limit))
        answer = self.answers.pop(0)
        if isinstance(answer, LedgerUnavailable):
            raise answer
        return answer


async def test_retention_goes_on_as_long_as_steps_are_full() -> None:
    clock: Clock = _Still()
    ledger = Counted(STEP_CALLS, STEP_CALLS - 1, LedgerUnavailable("down"))
    retention = Retention(ledger, clock, 90 * 86_400.0)
    assert [await retention.step() for _ in range(3)] == [True, False, False]
    assert ledger.asked == [(START_MS - 90 * DAY_MS, STEP_CALLS)] * 3


class _Still:
    def now_ms(self) -> int:
        return START_MS

    def monotonic(self) -> float:
        return 0.0
