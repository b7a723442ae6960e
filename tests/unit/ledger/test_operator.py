"""What an operator does, with a router running and without."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helpers.ledgers import START_MS, USD, WALLET, HandClock, fresh_id, hold
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Credited, Held, Refused
from tollway.domain.errors import LedgerLocked, LedgerUnusable
from tollway.domain.observer import NullObserver
from tollway.ledger import operator
from tollway.ledger.control import ControlServer
from tollway.ledger.sqlite import desk
from tollway.ledger.sqlite.store import SqliteLedger

CAIP = "eip155:8453:0x" + "AB" * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


@pytest.fixture
async def router(path: Path) -> AsyncIterator[SqliteLedger]:
    """A ledger as a running router owns it."""
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    server = ControlServer(ledger, path)
    await server.start()
    yield ledger
    await server.aclose()
    await ledger.aclose()


async def test_without_a_router_a_credit_is_written_to_the_file(path: Path) -> None:
    assert await operator.credit(path, CAIP, 5 * USD, "invoice 7") == Credited(available=5 * USD)
    (entry,) = operator.statement(path, WALLET, 10).entries
    assert (entry.kind, entry.amount, entry.ref) == ("credit", 5 * USD, "invoice 7")
    assert operator.audit(path).clean


async def test_with_a_router_a_credit_is_spendable_at_once(path: Path, router: SqliteLedger) -> None:
    assert await operator.credit(path, CAIP, 500, "invoice 7") == Credited(available=500)
    assert await router.apply([hold(500, id=fresh_id(START_MS + 1))]) == [Held(amount=500, available=0)]


async def test_reading_works_while_a_router_runs(path: Path, router: SqliteLedger) -> None:
    await operator.credit(path, CAIP, 500, "invoice 7")
    assert [entry.amount for entry in operator.statement(path, CAIP, 10).entries] == [500]
    assert operator.audit(path).clean


async def test_repeating_a_credit_with_its_ref_credits_once(path: Path) -> None:
    for _ in range(2):
        assert await operator.credit(path, CAIP, 500, "invoice 7") == Credited(available=500)
    assert await operator.credit(path, CAIP, 600, "invoice 7") == Refused(reason="id_reused")
    assert await operator.credit(path, CAIP, 600, "invoice 8") == Credited(available=1100)


async def test_the_same_ref_on_other_accounts_is_another_credit(path: Path) -> None:
    assert await operator.credit(path, CAIP, 500, "r") == Credited(available=500)
    assert await operator.credit(path, CAIP.replace("AB", "CD"), 500, "r") == Credited(available=500)
    assert operator.credit_id("a", "b", "c") != operator.credit_id("a", "b", "d")


async def test_an_amount_out_of_range_is_refused(path: Path) -> None:
    assert await operator.credit(path, CAIP, 0, "r") == Refused(reason="invalid_amount")


@pytest.mark.parametrize("ref", ["", "r" * 201, "two\nlines", "\x1b[2J"])
async def test_a_ref_is_short_and_printable(path: Path, ref: str) -> None:
    with pytest.raises(ValueError, match="ref"):
        await operator.credit(path, CAIP, 5, ref)


async def test_an_account_is_checked_before_anything_is_opened(path: Path) -> None:
    with pytest.raises(ValueError, match="account"):
        operator.statement(path, "alice", 1)
    with pytest.raises(ValueError, match="account"):
        await operator.credit(path, "alice", 5, "r")
    with pytest.raises(LedgerUnusable, match="no ledger"):
        operator.audit(path)


async def test_an_owner_that_does_not_listen_is_named_after_some_tries(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "LOCKED_TRIES", 2)
    monkeypatch.setattr(desk, "LOCKED_AGAIN_S", 0)
    ledger = await SqliteLedger.open(path, SystemClock(), NullObserver())
    with pytest.raises(LedgerLocked, match="doesn't listen"):
        await operator.credit(path, CAIP, 5, "r")
    await ledger.aclose()


async def test_an_owner_that_leaves_meanwhile_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = await SqliteLedger.open(path, SystemClock(), NullObserver())
    tried = asyncio.Event()

    async def notice(delay: float) -> None:
        tried.set()
        await closing

    async def leave() -> None:
        await tried.wait()
        await ledger.aclose()

    closing = asyncio.create_task(leave())
    monkeypatch.setattr(desk, "_pause", notice)
    assert await operator.credit(path, CAIP, 5, "r") == Credited(available=5)


def test_reading_books_that_are_not_there_is_an_error_that_says_so(path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="no ledger"):
        operator.statement(path, CAIP, 10)
    path.touch()
    with pytest.raises(LedgerUnusable, match="empty"):
        operator.statement(path, CAIP, 10)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(LedgerUnusable):
        operator.statement(path, CAIP, 10)


async def test_an_account_without_transfers_has_an_empty_statement(path: Path) -> None:
    await operator.credit(path, CAIP, 5, "r")
    assert operator.statement(path, "0x" + "00" * 20, 10).entries == ()
