"""The journal: beancount reads it without a complaint, and has for every account what the books have."""

import contextlib
import datetime as dt
import sqlite3
import subprocess
from pathlib import Path

import pytest
from beancount import loader
from beancount.core.data import Transaction
from hypothesis import given
from hypothesis import strategies as st

from helpers.ledgers import OTHER, WALLET, HandClock, credit, fresh_id, hold, pay, post, reverse, void
from helpers.require import require_hledger
from tollway.domain.observer import NullObserver
from tollway.ledger import operator
from tollway.ledger.journal import Format, account_name
from tollway.ledger.sqlite.store import SqliteLedger
from tollway.ledger.transfer import LOSS, REVENUE
from tollway.ledger.usage import DAY_MS

FIRST = dt.date(2026, 1, 1)
SECOND = dt.date(2026, 1, 2)
NANO = 10**9


@pytest.fixture
async def books(tmp_path: Path) -> Path:
    """One of everything over three days, with texts that mean something to the programs that read them."""
    path, clock = tmp_path / "books.db", HandClock()
    calls = [fresh_id() for _ in range(7)]
    ledger = await SqliteLedger.open(path, clock, NullObserver())
    await ledger.apply(
        [credit(10**16, ref='say "5; \\ 6" | 7, x'), credit(50, OTHER, source="Welcome gift", id="wrong")]
    )
    await ledger.apply([hold(100, id=call) for call in calls])
    await ledger.apply([post(calls[0], 90, 80), post(calls[1], 0, 70, provider="other-one"), void(calls[2])])
    clock.ms += DAY_MS
    await ledger.apply([post(calls[3], 0, 0), post(calls[4], 90, 80), post(calls[5], 60, 70), reverse(calls[0])])
    await ledger.apply([reverse(calls[5], provider=True), reverse("wrong"), pay(33), pay(1, "Other-One", advance=True)])
    await ledger.aclose()
    clock.ms += DAY_MS
    ledger = await SqliteLedger.open(path, clock, NullObserver())
    await ledger.apply([post(calls[6], 50, 40), hold(10)])
    await ledger.aclose()
    return path


def text(books: Path, style: Format, first: dt.date | None = None, last: dt.date | None = None) -> str:
    return "".join(operator.journal(books, style, first, last))


def balances(journal: str) -> dict[str, int]:
    """What each account has (nano-USD), as beancount adds it up."""
    entries, complaints, _ = loader.load_string(journal)
    assert complaints == []
    found: dict[str, int] = {}
    for entry in entries:
        for posting in entry.postings if isinstance(entry, Transaction) else ():
            assert posting.units is not None and posting.units.currency == "USD"
            nano = posting.units.number * NANO
            assert nano == int(nano)
            found[posting.account] = found.get(posting.account, 0) + int(nano)
    return {account: nano for account, nano in found.items() if nano}


def kept(books: Path) -> dict[str, int]:
    """What each account has in the books."""
    with contextlib.closing(sqlite3.connect(books)) as connection:
        rows = connection.execute("SELECT id, debits_posted - credits_posted FROM accounts").fetchall()
    assert len({account_name(own) for own, _ in rows}) == len(rows)
    return {account_name(own): nano for own, nano in rows if nano}


async def test_every_account_has_the_same_balance_there(books: Path) -> None:
    found = balances(text(books, "beancount"))
    assert found == kept(books)
    assert len(found) >= 7


async def test_a_period_begins_with_what_was_before_it_and_ends_with_its_last_day(books: Path) -> None:
    assert balances(text(books, "beancount", SECOND)) == kept(books)
    assert balances(text(books, "beancount", dt.date(2026, 2, 1))) == kept(books)
    one = balances(text(books, "beancount", last=FIRST))
    report = operator.report(books, last=FIRST)
    wallets = sum(nano for account, nano in one.items() if account.startswith("Liabilities:Wallets:"))
    providers = sum(nano for account, nano in one.items() if account.startswith("Liabilities:Providers:"))
    assert (-wallets, -providers) == (report.liabilities, report.payable)
    assert (-one["Income:Revenue"], one["Expenses:Loss"]) == (report.revenue_to_date, report.loss_to_date)
    two = text(books, "beancount", SECOND, SECOND)
    assert "2026-01-01 *" not in two and "2026-01-03" not in two
    assert balances(two) == balances(text(books, "beancount", last=SECOND))
    assert balances(text(books, "beancount", last=FIRST - dt.timedelta(1))) == {}


async def test_the_same_books_give_the_same_text(books: Path) -> None:
    for style in ("beancount", "hledger"):
        assert text(books, style) == text(books, style)


async def test_an_entry_names_what_it_is_of(books: Path) -> None:
    entry = text(books, "beancount").split("\n\n")[1]
    assert entry.splitlines()[-6:] == [
        '2026-01-01 * "credit" "say \\"5; \\\\ 6\\" | 7, x"',
        *[line for line in entry.splitlines() if line.startswith("  id: ")],
        '  place: "1"',
        '  at: "2026-01-01T00:00:00.000+00:00"',
        "  Assets:Sources:Operator  10000000.00 USD",
        f"  {account_name(WALLET)}  -10000000.00 USD",
    ]
    plain = text(books, "hledger").split("\n\n")[1]
    assert plain.splitlines()[0] == '2026-01-01 * credit | say "5, \\ 6" | 7, x'


def test_hledger_reads_it_too(books: Path) -> None:
    hledger = require_hledger()
    ran = subprocess.run(
        [hledger, "-f-", "balance", "-N", "--flat", "--format", "%(account)|%(total)"],
        input=text(books, "hledger"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert {line.split("|")[0] for line in ran.stdout.splitlines()} == kept(books).keys()


async def test_a_clock_that_went_backwards_is_no_complaint(tmp_path: Path) -> None:
    path, clock = tmp_path / "books.db", HandClock()
    ledger = await SqliteLedger.open(path, clock, NullObserver())
    await ledger.apply([credit(10)])
    clock.ms -= 40 * DAY_MS
    await ledger.apply([credit(5)])
    await ledger.aclose()
    assert balances(text(path, "beancount")) == kept(path)


@pytest.mark.parametrize(
    ("account", "name"),
    [
        (WALLET, "Liabilities:Wallets:Eip155:0x" + "ab" * 20),
        ("solana:5eykt4:Hn7cABq", "Liabilities:Wallets:Solana:5eykt4:X--Hn7cABq"),
        ("solana:5eykt4:hn7cABq", "Liabilities:Wallets:Solana:5eykt4:Hn7cABq"),
        ("provider:together-ai", "Liabilities:Providers:Together-2d-ai"),
        ("source:", "Assets:Sources:X--"),
        (REVENUE, "Income:Revenue"),
        (LOSS, "Expenses:Loss"),
    ],
)
def test_an_accounts_name_is_one_that_beancount_takes(account: str, name: str) -> None:
    assert account_name(account) == name


NAMES = st.text(st.sampled_from("aAxX0-:2d é."), max_size=6)


@given(first=NAMES, second=NAMES)
def test_no_two_accounts_share_a_name(first: str, second: str) -> None:
    for kind in ("provider:", "source:", "eip155:"):
        same = account_name(kind + first) == account_name(kind + second)
        assert same == (first == second)


@given(own=NAMES)
def test_any_account_has_a_name_that_can_be_opened(own: str) -> None:
    _, complaints, _ = loader.load_string(f"1970-01-01 open {account_name('provider:' + own)} USD\n")
    assert complaints == []
