"""Delegated keys by the book alone, and what a store has to load for them: a hold through a key, and its end."""

from pathlib import Path

import pytest

from helpers.ledgers import OTHER, START_MS, USD, WALLET, HandClock, credit, fresh_id, hold, post, void
from tollway.domain.commands import (
    Command,
    CreateKey,
    EndKey,
    Held,
    Insufficient,
    KeyCreated,
    KeyEnded,
    Posted,
    Refused,
)
from tollway.domain.keys import Key, KeyState, key_of
from tollway.domain.observer import NullObserver
from tollway.ledger.books import Books
from tollway.ledger.decision import KnownKey
from tollway.ledger.memory import MemoryLedger
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.store import SqliteLedger

DAY_MS = 86_400_000
SECRET = "ab" * 32


def made(**terms: object) -> CreateKey:
    key = Key(id=fresh_id(), account=terms.pop("account", WALLET), created_ms=START_MS, **terms)  # type: ignore[arg-type]
    return CreateKey(key=key, secret_hash=SECRET)


async def asked(ledger: MemoryLedger | SqliteLedger, *commands: Command) -> list[object]:
    return list(await ledger.apply(commands))


async def memory() -> MemoryLedger:
    ledger = MemoryLedger(HandClock())
    await asked(ledger, credit(10 * USD), credit(10 * USD, OTHER))
    return ledger


@pytest.mark.parametrize(
    ("period", "at_ms", "account"),
    [
        ("lifetime", START_MS, "key:k"),
        ("day", START_MS, "key:k:2026-01-01"),
        ("day", START_MS - 1, "key:k:2025-12-31"),
        ("month", START_MS - 1, "key:k:2025-12"),
        ("month", -1, "key:k:1970-01"),
        ("day", 10**18, "key:k:9999-12-31"),
    ],
)
def test_the_account_that_counts_is_that_of_the_holds_period(period: str, at_ms: int, account: str) -> None:
    key = Key(id="k", account=WALLET, created_ms=0, period=period)  # type: ignore[arg-type]
    assert key.spending(at_ms) == account
    assert key_of(account) == "k"


def test_what_is_left_of_a_limit_is_never_less_than_nothing() -> None:
    key = Key(id="k", account=WALLET, created_ms=0, limit=10)
    assert [KeyState(key=key, spent=spent, held=5).left for spent in (0, 5, 50)] == [5, 0, 0]
    assert KeyState(key=Key(id="k", account=WALLET, created_ms=0)).left is None


async def test_a_hold_is_refused_for_what_stands_against_its_key() -> None:
    ledger = await memory()
    limited, ended, expired, narrow, others = (
        made(limit=100),
        made(),
        made(expires_ms=START_MS),
        made(models=("a",)),
        made(account=OTHER),
    )
    await asked(ledger, limited, ended, expired, narrow, others, EndKey(id=ended.id, account=WALLET))
    results = await asked(
        ledger,
        hold(1, key=fresh_id()),
        hold(1, key=others.id),
        hold(1, key=ended.id),
        hold(1, key=expired.id),
        hold(1, key=narrow.id, models=("a", "b")),
        hold(101, key=limited.id),
        hold(20 * USD, key=limited.id),
        hold(101, key=limited.id, unlimited=True),
    )
    assert results == [
        Refused(reason="unknown_key"),
        Refused(reason="unknown_key"),
        Refused(reason="key_ended"),
        Refused(reason="key_expired"),
        Refused(reason="model_not_allowed"),
        Insufficient(available=100, short="key"),
        Insufficient(available=100, short="key"),
        Insufficient(available=100, short="key"),
    ]


async def test_a_key_is_made_once_and_ended_once() -> None:
    ledger = await memory()
    key = made(limit=1)
    other = CreateKey(key=key.key, secret_hash="cd" * 32)
    end = EndKey(id=key.id, account=WALLET)
    assert await asked(ledger, key, key, other, end, end, EndKey(id=key.id, account=OTHER)) == [
        KeyCreated(),
        KeyCreated(),
        Refused(reason="id_reused"),
        KeyEnded(at_ms=START_MS),
        KeyEnded(at_ms=START_MS),
        Refused(reason="unknown_key"),
    ]
    assert await asked(ledger, made(account="router:loss"), made(limit=-1)) == [
        Refused(reason="unknown_account"),
        Refused(reason="invalid_amount"),
    ]


async def test_what_is_over_the_hold_is_bounded_by_the_limit_whoever_pays() -> None:
    ledger = await memory()
    key, one, two = made(limit=100), fresh_id(), fresh_id()
    await asked(ledger, key, hold(40, key=key.id, id=one), hold(30, key=key.id, id=two, unlimited=True))
    assert await asked(ledger, post(one, 90, 90), post(two, 90, 90)) == [
        Posted(charged=70, loss=20, available=10 * USD - 100),
        Posted(charged=30, loss=60, available=10 * USD - 100),
    ]


async def test_a_key_without_a_limit_bounds_nothing() -> None:
    ledger = await memory()
    key, call = made(), fresh_id()
    await asked(ledger, key, hold(40, key=key.id, id=call))
    assert await asked(ledger, post(call, 90, 90)) == [Posted(charged=90, loss=0, available=10 * USD - 90)]


async def test_what_a_store_needs_for_a_key_is_loaded_after_a_restart(tmp_path: Path) -> None:
    clock, path = HandClock(), tmp_path / "books.db"
    ledger = await SqliteLedger.open(path, clock, NullObserver())
    key, held_over, calls = made(limit=100, period="day"), fresh_id(), [fresh_id() for _ in range(3)]
    await asked(ledger, credit(10 * USD), key, hold(60, key=key.id, id=held_over))
    await ledger.aclose()
    ledger = await SqliteLedger.open(path, clock, NullObserver())  # which expires that hold
    assert await asked(ledger, hold(70, key=key.id, id=calls[0])) == [Held(amount=70, available=10 * USD - 70)]
    assert await asked(ledger, post(held_over, 60, 60)) == [
        Posted(charged=30, loss=30, available=10 * USD - 100, late=True)
    ]
    await asked(ledger, void(calls[0]))
    clock.ms += DAY_MS
    assert await asked(ledger, hold(100, key=key.id, id=calls[1])) == [Held(amount=100, available=10 * USD - 130)]
    await asked(ledger, EndKey(id=key.id, account=WALLET))
    assert await asked(ledger, hold(1, key=key.id, id=calls[2]), hold(1, key=fresh_id())) == [
        Refused(reason="key_ended"),
        Refused(reason="unknown_key"),
    ]
    await ledger.aclose()
    report = audit(path)
    assert report.clean, report.differences


def test_keys_in_memory_are_dropped_the_older_half_but_for_those_that_are_needed() -> None:
    books = Books(complete=False)
    for n in range(10):
        books.keys[str(n)] = KnownKey(Key(id=str(n), account=WALLET, created_ms=0), SECRET)
    books.drop_older_keys(["2", "not in memory"])
    assert sorted(books.keys) == ["2", "5", "6", "7", "8", "9"]


def test_a_key_that_was_not_loaded_is_no_key_that_does_not_exist() -> None:
    with pytest.raises(AssertionError, match="was not loaded"):
        Books(complete=False).key("k")


def test_a_post_is_decided_with_the_key_that_its_hold_came_by() -> None:
    books, key, call = Books(complete=True), made(limit=100), fresh_id()
    for command in (credit(USD), key, hold(40, key=key.id, id=call)):
        books.enter(books.decide(command, START_MS))
    books.account("provider:p")
    end = post(call, 1, provider="p")
    assert books.missing([end], START_MS) == []
    del books.keys[key.id]
    assert books.missing([end], START_MS) == [("key", key.id)]


async def test_keys_are_shown_by_pages_with_what_they_spend() -> None:
    ledger = await memory()
    keys = [made(limit=100), CreateKey(key=made().key, secret_hash="cd" * 32)]
    call = fresh_id()
    await asked(ledger, *keys, hold(40, key=keys[0].id, id=call))
    newest = max(keys, key=lambda command: command.id)
    first = await ledger.keys(WALLET, limit=1)
    assert (first.keys[0].key.id, first.next_cursor, first.living, first.total) == (newest.id, newest.id, 2, 2)
    rest = await ledger.keys(WALLET, limit=1, cursor=first.next_cursor)
    assert (rest.keys[0].key.id, rest.next_cursor) == (min(keys, key=lambda command: command.id).id, None)
    with pytest.raises(ValueError, match="cursor"):
        await ledger.keys(WALLET, limit=1, cursor="x")
    assert await ledger.key(SECRET) == KeyState(key=keys[0].key, held=40)
