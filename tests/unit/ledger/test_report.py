"""The operator's money: periods, days, who is owed what, and the proof, over books of which every line is known."""

import datetime as dt
import sqlite3
from pathlib import Path

import pytest

from helpers.ledgers import OTHER, START_MS, WALLET, HandClock, credit, fresh_id, hold, pay, post, reverse, void
from tollway.domain.observer import NullObserver
from tollway.ledger import operator
from tollway.ledger.control import ControlServer
from tollway.ledger.report import Day, Flow, Money, Payable, Source, report
from tollway.ledger.sqlite.store import SqliteLedger
from tollway.ledger.transfer import COUNTER_NANO_MAX, Account
from tollway.ledger.usage import DAY_MS

FIRST, SECOND = dt.date(2026, 1, 1), dt.date(2026, 1, 2)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Two days: money from two sources, calls at a gain, at a loss and given up; then a restart with calls open."""
    path, clock = tmp_path / "books.db", HandClock()
    calls = [fresh_id() for _ in range(5)]
    ledger = await SqliteLedger.open(path, clock, NullObserver())
    await ledger.apply([credit(1000), credit(50, OTHER, source="welcome"), *(hold(100, id=call) for call in calls)])
    await ledger.apply([post(calls[0], 90, 80), post(calls[1], 0, 70, provider="other"), void(calls[2])])
    await ledger.aclose()
    clock.ms += DAY_MS
    ledger = await SqliteLedger.open(path, clock, NullObserver())
    await ledger.apply([post(calls[3], 50, 40), hold(10, 5)])
    await ledger.aclose()
    return path


async def test_it_says_whose_the_money_is(path: Path) -> None:
    found = operator.report(path)
    assert found.balanced and found.differences == []
    assert (found.liabilities, found.payable) == (1050 - 140, 190)
    assert (found.revenue_to_date, found.loss_to_date, found.brought_in) == (20, 70, 1050)
    assert found.providers == [
        Payable(provider="openai", calls=2, cost=120, open=120),
        Payable(provider="other", calls=1, cost=70, open=70),
    ]
    assert found.sources == [
        Source(source="operator", credits=1, amount=1000),
        Source(source="welcome", credits=1, amount=50),
    ]
    assert (found.pending, found.pending_held) == (1, 10)
    assert (found.unsettled, found.unsettled_held) == (1, 100), "a late post is settled"


async def test_days_are_those_of_the_transfers_and_their_sum_is_the_total(path: Path) -> None:
    found = operator.report(path)
    assert found.days == [
        Day(day="2026-01-01", calls=2, credited=1050, charged=90, cost=150, revenue=10, loss=70),
        Day(day="2026-01-02", calls=1, charged=50, cost=40, revenue=10, unsettled=1),
    ]
    assert found.total == Day(
        day="total", calls=3, credited=1050, charged=140, cost=190, revenue=20, loss=70, unsettled=1
    )


async def test_a_period_shows_its_own_flows_and_how_things_stood_at_its_end(path: Path) -> None:
    one = operator.report(path, FIRST, FIRST)
    assert (one.first, one.last, [day.day for day in one.days]) == ("2026-01-01", "2026-01-01", ["2026-01-01"])
    assert (one.liabilities, one.payable, one.revenue_to_date) == (1050 - 90, 150, 10)
    assert (one.unsettled, one.balanced) == (0, True)
    two = operator.report(path, SECOND)
    assert (two.total.charged, two.total.credited, two.sources) == (50, 0, [])
    assert (two.liabilities, two.payable) == (1050 - 140, 190)
    assert two.providers == [
        Payable(provider="openai", calls=1, cost=40, open=120),
        Payable(provider="other", open=70),
    ]
    before = operator.report(path, last=FIRST - dt.timedelta(1))
    assert (before.liabilities, before.payable, before.days, before.providers) == (0, 0, [], [])
    assert before.balanced


async def test_it_is_read_while_a_router_runs(path: Path) -> None:
    ledger = await SqliteLedger.open(path, HandClock(START_MS + 2 * DAY_MS), NullObserver())
    server = ControlServer(ledger, path)
    await server.start()
    await ledger.apply([credit(7), hold(5, account=WALLET)])
    found = operator.report(path)
    await server.aclose()
    await ledger.aclose()
    assert (found.total.credited, found.pending, found.balanced) == (1057, 1, True)


async def test_an_account_that_says_otherwise_than_its_transfers_is_named(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE accounts SET credits_posted = credits_posted + 1 WHERE id = 'provider:openai'")
    connection.execute("UPDATE accounts SET debits_posted = 0 WHERE id LIKE 'eip155:%'")
    connection.commit()
    connection.close()
    found = operator.report(path, last=FIRST)
    assert not found.balanced
    assert found.differences == [
        "all wallets: has 1050, its transfers say 910",
        "provider:openai: has 121, its transfers say 120",
    ]


def test_sums_are_exact_beyond_64_bits() -> None:
    flows = [Flow(day, "credit", "source:operator", 1, COUNTER_NANO_MAX, 0, 0) for day in range(4)]
    accounts = [
        *(Account(id=f"eip155:{number}", credits_posted=COUNTER_NANO_MAX) for number in range(4)),
        *(Account(id="source:operator", debits_posted=COUNTER_NANO_MAX) for _ in range(4)),
    ]
    found = report(Money(flows=flows, accounts=accounts, pending=(0, 0), unsettled=[]))
    assert (found.liabilities, found.balanced) == (4 * COUNTER_NANO_MAX, True)


def test_books_without_a_transfer_are_a_report_of_nothing() -> None:
    found = report(Money(flows=[], accounts=[], pending=(0, 0), unsettled=[]))
    assert (found.total, found.days, found.balanced) == (Day(day="total"), [], True)


def test_a_period_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--from: 2026-01-02 is after --to, 2026-01-01"):
        operator.report(tmp_path / "none.db", SECOND, FIRST)


async def test_what_an_operator_mended_and_paid_is_told_and_everything_still_balances(path: Path) -> None:
    ledger = await SqliteLedger.open(path, HandClock(START_MS + 2 * DAY_MS), NullObserver())
    calls = [fresh_id(START_MS + 2 * DAY_MS) for _ in range(2)]
    await ledger.apply([credit(30, OTHER, id="wrong"), *(hold(100, id=call) for call in calls)])
    await ledger.apply([post(calls[0], 90, 80), post(calls[1], 60, 70), void(calls[1])])
    await ledger.apply([reverse(calls[0]), reverse(calls[1], provider=True), reverse("wrong"), pay(50), pay(9, "new")])
    await ledger.apply([pay(9, "new", id="advance", advance=True)])
    await ledger.aclose()
    found = operator.report(path)
    assert found.differences == [] and found.balanced
    assert found.days[-1] == Day(
        day="2026-01-03",
        calls=2,
        credited=30,
        charged=150,
        cost=80,
        revenue=0,
        loss=80,
        given_back=150,
        taken_back=30,
        paid=59,
        unsettled=1,
    )
    assert found.providers[:2] == [
        Payable(provider="new", paid=9, open=-9),
        Payable(provider="openai", calls=4, cost=200, paid=50, open=150),
    ]
    assert (found.liabilities, found.brought_in, found.payable) == (1050 - 140, 1050 - 59, 190 + 80 - 59)
