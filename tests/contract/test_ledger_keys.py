"""What every store of the books says of delegated keys: limits as exact as a balance, and an end that is at once."""

import asyncio
from typing import Any

import pytest

from helpers.ledger_homes import Home
from helpers.ledgers import OTHER, START_MS, USD, WALLET, credit, fresh_id, hold, post, void
from tollway.domain.commands import CreateKey, EndKey, Held, Insufficient, KeyCreated, KeyEnded, Posted, Refused
from tollway.domain.keys import Key, KeyState

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
async def home(home: Home) -> Home:
    await home.apply(credit(1000 * USD), credit(1000 * USD, OTHER))
    return home


def key(**terms: Any) -> CreateKey:
    own = terms.pop("id", None) or fresh_id()
    secret_hash = terms.pop("secret_hash", own.replace("-", "") * 2)
    return CreateKey(
        key=Key(id=own, account=terms.pop("account", WALLET), created_ms=START_MS, **terms), secret_hash=secret_hash
    )


async def made(home: Home, **terms: Any) -> str:
    command = key(**terms)
    assert await home.one(command) == KeyCreated()
    return command.id


async def state(home: Home, own: str) -> KeyState:
    found = await home.ledger.key(own.replace("-", "") * 2)
    assert found is not None
    return found


async def refused(home: Home, own: str, **fields: Any) -> str:
    answer = await home.one(hold(1, key=own, **fields))
    assert isinstance(answer, Refused), answer
    return answer.reason


async def test_a_key_is_found_by_its_secret_and_by_its_account(home: Home) -> None:
    command = key(label="agent", limit=5 * USD, period="month", models=("a/b",), expires_ms=START_MS + DAY_MS)
    await home.one(command)
    found = await home.ledger.key(command.secret_hash)
    assert found == KeyState(key=command.key)
    page = await home.ledger.keys(WALLET, limit=10)
    assert (page.keys, page.living, page.total, page.next_cursor) == ((found,), 1, 1, None)
    assert (await home.ledger.keys(OTHER, limit=10)).total == 0
    assert await home.ledger.key("0" * 64) is None


async def test_the_limit_is_exact_to_a_nano_usd(home: Home) -> None:
    own = await made(home, limit=100)
    assert await home.one(hold(60, key=own)) == Held(amount=60, available=1000 * USD - 60)
    assert await home.one(hold(41, key=own)) == Insufficient(available=40, short="key")
    assert await home.one(hold(41, 40, key=own)) == Held(amount=40, available=1000 * USD - 100)
    assert await home.one(hold(1, key=own)) == Insufficient(available=0, short="key")
    assert isinstance(await home.one(hold(0, key=own)), Held)


async def test_what_a_post_or_void_gives_back_may_be_spent_again(home: Home) -> None:
    own = await made(home, limit=100)
    first, second = fresh_id(), fresh_id()
    await home.apply(hold(60, key=own, id=first), hold(40, key=own, id=second))
    await home.apply(post(first, 10), void(second))
    known = await state(home, own)
    assert (known.spent, known.held, known.left) == (10, 0, 90)


async def test_the_balance_still_counts(home: Home) -> None:
    own = await made(home, limit=5000 * USD)
    assert await home.one(hold(1000 * USD + 1, key=own)) == Insufficient(available=1000 * USD)


async def test_a_key_without_a_limit_counts_what_it_spends(home: Home) -> None:
    own, call = await made(home), fresh_id()
    await home.apply(hold(50, key=own, id=call), post(call, 50))
    known = await state(home, own)
    assert (known.spent, known.held, known.left) == (50, 0, None)


async def test_the_limit_holds_in_metered_mode_too(home: Home) -> None:
    own = await made(home, limit=10)
    assert await home.one(hold(11, key=own, unlimited=True)) == Insufficient(available=10, short="key")
    call = fresh_id()
    await home.apply(hold(10, key=own, unlimited=True, id=call))
    assert await home.one(post(call, 25, 20)) == Posted(charged=10, loss=10, available=1000 * USD - 10)


async def test_what_is_over_the_hold_is_taken_within_the_limit(home: Home) -> None:
    own, call = await made(home, limit=100), fresh_id()
    await home.apply(hold(60, key=own, id=call))
    assert await home.one(post(call, 200, 150)) == Posted(charged=100, loss=50, available=1000 * USD - 100)
    assert (await state(home, own)).left == 0


async def test_a_late_post_stays_within_the_limit(home: Home) -> None:
    own, call = await made(home, limit=100), fresh_id()
    await home.apply(hold(60, key=own, id=call))
    await home.restart()
    await home.apply(hold(70, key=own))
    answer = await home.one(post(call, 60, 60))
    assert isinstance(answer, Posted)
    assert (answer.charged, answer.loss, answer.late) == (30, 30, True)


@pytest.mark.parametrize(("period", "later_ms"), [("day", DAY_MS), ("month", 31 * DAY_MS)], ids=["a day", "a month"])
async def test_a_period_is_the_holds_and_begins_anew_at_midnight_utc(home: Home, period: Any, later_ms: int) -> None:
    own, before, after = await made(home, limit=100, period=period), fresh_id(), fresh_id()
    home.clock.ms = START_MS + later_ms - 1
    await home.apply(hold(100, key=own, id=before))
    assert (await home.one(hold(1, key=own))) == Insufficient(available=0, short="key")
    home.clock.ms = START_MS + later_ms
    assert isinstance(await home.one(hold(100, key=own, id=after)), Held)
    await home.apply(post(before, 30), post(after, 20))
    known = await state(home, own)
    assert (known.spent, known.held) == (20, 0)
    home.clock.ms = START_MS + later_ms - 1  # a clock that goes back finds the period before as it was left
    known = await state(home, own)
    assert (known.spent, known.left) == (30, 70)


async def test_an_ended_key_holds_nothing_more_and_its_calls_end_as_they_would(home: Home) -> None:
    own, call = await made(home), fresh_id()
    await home.apply(hold(50, key=own, id=call))
    assert await home.one(EndKey(id=own, account=WALLET)) == KeyEnded(at_ms=START_MS)
    assert await refused(home, own) == "key_ended"
    assert isinstance(await home.one(post(call, 50)), Posted)
    home.clock.ms += 1
    assert await home.one(EndKey(id=own, account=WALLET)) == KeyEnded(at_ms=START_MS)
    assert (await state(home, own)).ended_ms == START_MS
    page = await home.ledger.keys(WALLET, limit=1)
    assert (page.living, page.total) == (0, 1)


async def test_an_end_outlives_a_restart(home: Home) -> None:
    own, other = await made(home, limit=70), await made(home)
    call = fresh_id()
    await home.apply(hold(60, key=own, id=call), post(call, 60), EndKey(id=other, account=WALLET))
    await home.restart()
    assert await refused(home, other) == "key_ended"
    assert await home.one(hold(11, key=own)) == Insufficient(available=10, short="key")


async def test_nobody_ends_anothers_key(home: Home) -> None:
    own = await made(home)
    assert await home.one(EndKey(id=own, account=OTHER)) == Refused(reason="unknown_key")
    assert await home.one(EndKey(id=fresh_id(), account=WALLET)) == Refused(reason="unknown_key")
    assert isinstance(await home.one(hold(1, key=own)), Held)


async def test_a_key_holds_of_its_own_account_only(home: Home) -> None:
    own = await made(home)
    assert await refused(home, own, account=OTHER) == "unknown_key"
    assert await refused(home, fresh_id()) == "unknown_key"


async def test_a_key_expires_to_the_millisecond(home: Home) -> None:
    own = await made(home, expires_ms=START_MS + 1000)
    home.clock.ms = START_MS + 999
    assert isinstance(await home.one(hold(1, key=own)), Held)
    home.clock.ms = START_MS + 1000
    assert await refused(home, own) == "key_expired"


async def test_a_key_holds_only_for_the_models_it_allows(home: Home) -> None:
    own = await made(home, models=("a/b", "c/d"))
    assert isinstance(await home.one(hold(1, key=own, models=("a/b", "c/d"))), Held)
    assert await refused(home, own, models=("a/b", "e/f")) == "model_not_allowed"


async def test_repeating_a_hold_repeats_the_answer_unless_the_key_is_another(home: Home) -> None:
    own, call = await made(home, limit=100), fresh_id()
    first = hold(60, key=own, id=call)
    assert await home.one(first) == await home.one(first) == Held(amount=60, available=1000 * USD - 60)
    assert await home.one(hold(60, id=call)) == Refused(reason="id_reused")
    assert await home.one(hold(60, key=await made(home), id=call)) == Refused(reason="id_reused")
    assert (await state(home, own)).held == 60


async def test_making_a_key_again_is_harmless_and_never_changes_it(home: Home) -> None:
    command = key(limit=5)
    assert await home.one(command) == await home.one(command) == KeyCreated()
    assert await home.one(key(id=command.id, limit=6)) == Refused(reason="id_reused")
    assert (await home.ledger.keys(WALLET, limit=5)).total == 1


async def test_a_key_needs_a_wallet_and_a_limit_that_can_be(home: Home) -> None:
    assert await home.one(key(account="router:revenue")) == Refused(reason="unknown_account")
    assert await home.one(key(account="key:x")) == Refused(reason="unknown_account")
    assert await home.one(key(limit=-1)) == Refused(reason="invalid_amount")


async def test_keys_are_listed_by_pages_newest_first(home: Home) -> None:
    own = sorted([await made(home, id=fresh_id(START_MS + n)) for n in range(5)], reverse=True)
    first = await home.ledger.keys(WALLET, limit=3)
    assert [found.key.id for found in first.keys] == own[:3]
    assert first.next_cursor is not None
    rest = await home.ledger.keys(WALLET, limit=3, cursor=first.next_cursor)
    assert [found.key.id for found in rest.keys] == own[3:]
    assert (rest.next_cursor, rest.living, rest.total) == (None, 5, 5)
    with pytest.raises(ValueError, match="cursor"):
        await home.ledger.keys(WALLET, limit=3, cursor="nonsense")
    with pytest.raises(ValueError, match="limit"):
        await home.ledger.keys(WALLET, limit=0)


async def test_many_at_once_never_pass_the_limit(home: Home) -> None:
    own = await made(home, limit=1000)
    calls = [fresh_id() for _ in range(64)]

    async def one(call: str, bound: int) -> int:
        answer = await home.one(hold(bound, key=own, id=call))
        if not isinstance(answer, Held):
            return 0
        ended = await home.one(post(call, bound + 7))
        assert isinstance(ended, Posted)
        return ended.charged

    charged = await asyncio.gather(*(one(call, 30 + n) for n, call in enumerate(calls)))
    known = await state(home, own)
    assert sum(charged) == known.spent <= 1000
    assert known.held == 0


async def test_a_key_may_be_made_and_used_in_one_go(home: Home) -> None:
    command = key(limit=100, period="day")
    results = await home.apply(command, hold(60, key=command.id), hold(60, key=command.id))
    assert results == [
        KeyCreated(),
        Held(amount=60, available=1000 * USD - 60),
        Insufficient(available=40, short="key"),
    ]
    assert (await state(home, command.id)).held == 60
