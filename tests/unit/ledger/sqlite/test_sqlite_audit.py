"""The audit: clean books are clean, and every kind of damage is found."""

import sqlite3
from pathlib import Path

import pytest

from helpers.ledgers import OTHER, HandClock, credit, fresh_id, hold, pay, post, reverse, void
from tollway.domain.commands import Credited, Paid, Reversed
from tollway.domain.errors import LedgerUnusable
from tollway.domain.observer import NullObserver
from tollway.ledger.audit import DIFFERENCES_SHOWN_MAX
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.database import connect
from tollway.ledger.sqlite.store import SqliteLedger


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Books with one of everything: a post, a loss, a void, a late post, an unsettled and a pending hold."""
    path = tmp_path / "books.db"
    calls = [fresh_id() for _ in range(5)]
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    await ledger.apply([credit(1000), *(hold(100, id=call) for call in calls)])
    await ledger.apply([post(calls[0], 90, 80), post(calls[1], 0, 70), void(calls[2])])
    await ledger.aclose()
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    await ledger.apply([post(calls[3], 50, 40), hold(10, 5)])
    await ledger.aclose()
    return path


@pytest.fixture
async def mended(path: Path) -> Path:
    """The same with entries of an operator's: two reversals of calls, one of a credit, and a payment."""
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    calls = [fresh_id(), fresh_id()]
    await ledger.apply([credit(50, id="wrong"), *(hold(100, id=call) for call in calls)])
    await ledger.apply([post(calls[0], 90, 80), post(calls[1], 60, 70)])
    told = await ledger.apply(
        [reverse(calls[0]), reverse(calls[1], provider=True), reverse("wrong"), pay(100), credit(1, OTHER, id="spent")]
    )
    assert all(isinstance(answer, Reversed | Paid | Credited) for answer in told), told
    await ledger.apply([hold(1, account=OTHER), reverse("spent", force=True)])
    await ledger.aclose()
    return path


async def test_entries_of_an_operators_are_counted_and_clean(mended: Path) -> None:
    report = audit(mended)
    assert report.differences == []
    assert (report.reversals, report.payments) == (4, 1)
    assert (report.given_back_total, report.taken_back_total, report.paid_total) == (150, 51, 100)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE transfers SET amount = 91 WHERE kind = 'reverse' AND amount = 90", "is of another amount than what"),
        ("UPDATE transfers SET cost = 81 WHERE kind = 'reverse' AND amount = 90", "is of another cost than what"),
        ("UPDATE transfers SET price = 7 WHERE kind = 'reverse' AND price = 70", "takes 7 from the provider, where 70"),
        ("UPDATE transfers SET id = 'x' WHERE kind = 'reverse' AND amount = 90", "reverses what was neither credited"),
        (
            "UPDATE transfers SET kind = 'void' WHERE kind = 'post' AND amount = 90",
            "reverses what was neither credited",
        ),
        ("UPDATE transfers SET unlimited = 0 WHERE kind = 'reverse' AND available < 0", "below zero"),
        ("UPDATE transfers SET amount = 99 WHERE kind = 'pay'", "its transfers say"),
        ("DELETE FROM transfers WHERE kind = 'pay'", "account source:operator: has"),
    ],
)
async def test_damage_to_entries_of_an_operators_is_found(mended: Path, sql: str, found: str) -> None:
    damage(mended, sql)
    report = audit(mended)
    assert not report.clean
    assert found in "\n".join(report.differences)


def damage(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute(sql).rowcount > 0
    connection.commit()
    connection.close()


async def test_the_report_counts_what_there_is(path: Path) -> None:
    report = audit(path)
    assert report.clean and report.differences == []
    assert (report.credits, report.holds, report.posts, report.voids, report.expired) == (1, 6, 3, 1, 2)
    assert (report.pending, report.unsettled, report.late_posts) == (1, 1, 1)
    assert (report.credited_total, report.charged_total, report.cost_total, report.loss_total) == (1000, 140, 190, 70)
    assert (report.transfers, report.accounts) == (13, 5)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        (
            "UPDATE accounts SET credits_posted = credits_posted + 1 WHERE id = 'router:revenue'",
            "sum over all accounts",
        ),
        ("UPDATE accounts SET debits_posted = 141 WHERE id LIKE 'eip155:%'", "its transfers say"),
        ("UPDATE accounts SET last_seq = 1 WHERE id LIKE 'eip155:%'", "ends at seq 1"),
        ("DELETE FROM accounts WHERE id = 'router:loss'", "account router:loss: has transfers but no row"),
        ("DELETE FROM accounts WHERE id LIKE 'eip155:%'", "its account does not exist"),
        ("UPDATE transfers SET amount = 95 WHERE kind = 'post' AND amount = 90", "charges 95"),
        ("UPDATE transfers SET over_max = 0, price = 200, amount = 120 WHERE amount = 90", "allowed over it"),
        ("UPDATE transfers SET held = 99 WHERE kind = 'void'", "gives 99 back, where 100 was held"),
        ("UPDATE transfers SET held = 7 WHERE late = 1", "gives 7 back, where 0 was held"),
        ("UPDATE transfers SET late = 0 WHERE late = 1", "is not booked late"),
        ("UPDATE transfers SET late = 1 WHERE kind = 'post' AND amount = 90", "is booked late"),
        ("UPDATE transfers SET available = available + 1 WHERE kind = 'credit'", "otherwise than the transfer says"),
        ("UPDATE transfers SET previous = 0 WHERE kind = 'void'", "does not follow the account's transfer before it"),
        ("DELETE FROM transfers WHERE kind = 'hold' AND amount = 100", "not allowed when the id is absent"),
        ("DELETE FROM transfers WHERE kind = 'expire'", "pending, but the process that owned it is gone"),
        ("DELETE FROM calls", "has no record of its call"),
        ("UPDATE transfers SET kind = 'void' WHERE late = 1", "not allowed when the id is expired"),
        ("UPDATE transfers SET account = 1 WHERE kind = 'void'", "is of another account than its hold"),
        ("UPDATE transfers SET amount = 5000, available = -4000 WHERE kind = 'hold' AND seq = 2", "below zero"),
        ("UPDATE usage SET charged = charged + 1", "sums up 3 calls and 141 nano-USD, its posts are 3 and 140"),
        ("DELETE FROM usage", "sums up 0 calls"),
        ("UPDATE usage SET account = 99", "usage of None: sums up 3 calls"),
        ("UPDATE accounts SET id = 'router:x' WHERE id LIKE 'eip155:%'", "router:x is not a wallet"),
    ],
)
async def test_damage_is_found(path: Path, sql: str, found: str) -> None:
    damage(path, sql)
    report = audit(path)
    assert not report.clean
    assert any(found in difference for difference in report.differences), report.differences


async def test_all_differences_are_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    calls = [fresh_id() for _ in range(DIFFERENCES_SHOWN_MAX + 20)]
    await ledger.apply([credit(1000), *(hold(1, id=call) for call in calls), *(void(call) for call in calls)])
    await ledger.aclose()
    damage(path, "DELETE FROM calls")
    report = audit(path)
    assert report.difference_count == len(calls)
    assert len(report.differences) == DIFFERENCES_SHOWN_MAX


async def test_books_are_audited_while_they_are_written(path: Path) -> None:
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    await ledger.apply([hold(1), credit(5)])
    report = audit(path)
    assert report.clean and report.pending == 1
    await ledger.aclose()


def test_no_books_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="no ledger"):
        audit(tmp_path / "books.db")
    connect(tmp_path / "books.db").close()
    with pytest.raises(LedgerUnusable, match="empty"):
        audit(tmp_path / "books.db")


def test_a_damaged_file_is_an_error_that_says_so(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(LedgerUnusable, match="can't be read"):
        audit(path)
