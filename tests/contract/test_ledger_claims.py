"""What every store does with an Idempotency-Key: one call a key, and its answer kept for a day."""

import asyncio
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest

from helpers.ledger_homes import Home
from helpers.ledgers import OTHER, START_MS, USD, WALLET, credit, fresh_id, hold, post, void
from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Claimed, Held, Hold, Insufficient, Post, Posted, Voided
from tollway.ledger.claims import CLAIM_MS
from tollway.ledger.usage import DAY_MS

KEY, REQUEST = "ab" * 32, "cd" * 32
ANSWER = b'{"id":"chatcmpl-1"}'


@pytest.fixture
async def home(home: Home) -> Home:
    await home.apply(credit(5 * USD))
    return home


def keyed(id: str | None = None, *, key: str = KEY, request: str = REQUEST, amount: int = USD, **fields: Any) -> Hold:
    return hold(amount, id=id, claim=Claim(key=key, request=request), **fields)


def success(id: str, answer: bytes | None = ANSWER, *, key: str = KEY, room: int | None = None) -> Post:
    return msgspec.structs.replace(post(id, 10), kept=Kept(key=key, answer=answer, room=room))


async def call(home: Home, id: str | None = None, answer: bytes | None = ANSWER) -> str:
    """A keyed call that was a success."""
    own = id or fresh_id()
    assert isinstance(await home.one(keyed(own)), Held)
    assert isinstance(await home.one(success(own, answer)), Posted)
    return own


async def test_a_second_call_with_the_key_of_one_in_flight_gets_no_hold(home: Home) -> None:
    first = fresh_id()
    assert await home.one(keyed(first)) == Held(amount=USD, available=4 * USD)
    assert await home.one(keyed()) == Claimed(id=first, answered=False, same=True)
    assert await home.available() == 4 * USD
    assert await home.ledger.answer(WALLET, KEY) is None


async def test_the_answer_of_a_success_is_kept_with_what_the_call_came_to(home: Home) -> None:
    own = await call(home)
    stored = await home.ledger.answer(WALLET, KEY)
    assert stored is not None
    assert (stored.id, stored.request, stored.answer, stored.available) == (own, REQUEST, ANSWER, 5 * USD - 10)
    assert (stored.record.id, stored.record.price) == (own, 10)
    assert await home.one(keyed()) == Claimed(id=own, answered=True, same=True)
    assert await home.available() == 5 * USD - 10


async def test_the_answer_is_there_after_a_restart(home: Home) -> None:
    own = await call(home)
    await home.restart()
    stored = await home.ledger.answer(WALLET, KEY)
    assert stored is not None and (stored.id, stored.answer) == (own, ANSWER)
    assert await home.one(keyed()) == Claimed(id=own, answered=True, same=True)


async def test_an_answer_that_is_too_large_holds_the_key_without_being_kept(home: Home) -> None:
    own = await call(home, answer=None)
    stored = await home.ledger.answer(WALLET, KEY)
    assert stored is not None and (stored.id, stored.answer) == (own, None)
    assert await home.one(keyed()) == Claimed(id=own, answered=True, same=True)


# --- as many bytes as there is room for, of one wallet on one day


async def kept(home: Home, key: str, size: int, room: int, account: str = WALLET) -> bool:
    """Whether a call's answer was kept."""
    own = fresh_id()
    assert isinstance(await home.one(keyed(own, key=key, amount=10, account=account)), Held)
    assert isinstance(await home.one(success(own, b"x" * size, key=key, room=room)), Posted)
    stored = await home.ledger.answer(account, key)
    assert stored is not None and stored.answer in (None, b"x" * size)
    return stored.answer is not None


async def test_a_wallets_answers_are_kept_as_far_as_there_is_room_on_a_day(home: Home) -> None:
    await home.apply(credit(USD, OTHER))
    assert [await kept(home, f"{number}" * 64, 40, 100) for number in range(3)] == [True, True, False]
    assert await kept(home, "a" * 64, 20, 100)  # what is smaller still fits
    assert not await kept(home, "b" * 64, 1, 100)
    assert await kept(home, "c" * 64, 1, 101)  # there is more room by now: as the post says
    assert await kept(home, "d" * 64, 100, 100, OTHER)  # each wallet has its own
    assert await home.one(keyed(key="2" * 64)) == Claimed(id=ANY, answered=True, same=True)  # and its key stays taken


async def test_what_is_kept_is_counted_over_a_restart_and_anew_on_another_day(home: Home) -> None:
    assert await kept(home, "a" * 64, 100, 100)
    await home.restart()
    assert not await kept(home, "b" * 64, 1, 100)
    home.clock.ms += DAY_MS
    assert await kept(home, "c" * 64, 100, 100)
    home.clock.ms += DAY_MS
    assert await kept(home, "d" * 64, 100, 100)
    assert not await kept(home, "e" * 64, 1, 100)


async def test_of_many_answers_at_once_no_more_are_kept_than_fit(home: Home) -> None:
    calls = {fresh_id(): f"{number:064}" for number in range(20)}
    await home.apply(*(keyed(own, key=key, amount=10) for own, key in calls.items()))
    await asyncio.gather(*(home.one(success(own, b"x" * 10, key=key, room=75)) for own, key in calls.items()))
    answers = [await home.ledger.answer(WALLET, key) for key in calls.values()]
    assert sum(stored is not None and stored.answer is not None for stored in answers) == 7


async def test_a_call_that_is_held_and_posted_in_one_go_is_counted_too(home: Home) -> None:
    own = fresh_id()
    await home.apply(keyed(own), success(own, b"x" * 60, room=100))
    assert not await kept(home, "b" * 64, 41, 100)
    assert await kept(home, "c" * 64, 40, 100)


async def test_a_post_that_is_asked_again_counts_once(home: Home) -> None:
    own = fresh_id()
    await home.one(keyed(own))
    command = success(own, b"x" * 60, room=100)
    assert await home.apply(command, command) == [await home.one(command)] * 2
    assert await kept(home, "b" * 64, 40, 100)


async def test_an_answer_of_a_megabyte_comes_back_byte_for_byte(home: Home) -> None:
    answer = bytes(range(256)) * 3906
    await call(home, answer=answer)
    stored = await home.ledger.answer(WALLET, KEY)
    assert stored is not None and stored.answer == answer


async def test_another_request_under_the_same_key_is_told_apart(home: Home) -> None:
    first = fresh_id()
    await home.one(keyed(first))
    assert await home.one(keyed(request="ef" * 32)) == Claimed(id=first, answered=False, same=False)
    await home.one(success(first))
    assert await home.one(keyed(request="ef" * 32)) == Claimed(id=first, answered=True, same=False)


async def test_a_key_is_free_again_when_its_hold_is_given_back(home: Home) -> None:
    first, second = fresh_id(), fresh_id()
    await home.one(keyed(first))
    assert await home.one(void(first)) == Voided(available=5 * USD)
    assert await home.one(keyed(second, request="ef" * 32)) == Held(amount=USD, available=4 * USD)
    assert await home.one(keyed()) == Claimed(id=second, answered=False, same=False)


async def test_a_key_is_free_again_when_its_hold_expires_with_its_process(home: Home) -> None:
    await home.one(keyed())
    await home.restart()
    assert await home.one(keyed()) == Held(amount=USD, available=4 * USD)


async def test_a_key_is_free_again_after_a_call_that_was_posted_without_an_answer(home: Home) -> None:
    first = fresh_id()
    await home.apply(keyed(first), post(first, 10))
    assert await home.ledger.answer(WALLET, KEY) is None
    assert isinstance(await home.one(keyed()), Held)


async def test_a_key_is_free_again_after_a_day(home: Home) -> None:
    await call(home)
    home.clock.ms = START_MS + CLAIM_MS - 1
    assert isinstance(await home.one(keyed()), Claimed)
    assert await home.ledger.answer(WALLET, KEY) is not None
    home.clock.ms = START_MS + CLAIM_MS
    assert await home.ledger.answer(WALLET, KEY) is None
    assert isinstance(await home.one(keyed()), Held)


async def test_a_refused_hold_claims_nothing(home: Home) -> None:
    assert isinstance(await home.one(keyed(amount=9 * USD)), Insufficient)
    assert isinstance(await home.one(keyed(request="ef" * 32)), Held)


async def test_an_answered_key_is_told_of_even_when_the_balance_is_spent(home: Home) -> None:
    own = await call(home)
    await home.one(hold(5 * USD - 10))
    assert await home.one(keyed()) == Claimed(id=own, answered=True, same=True)


async def test_a_key_is_its_accounts_alone(home: Home) -> None:
    await home.one(credit(USD, OTHER))
    await call(home)
    assert await home.ledger.answer(OTHER, KEY) is None
    assert isinstance(await home.one(keyed(account=OTHER)), Held)


async def test_a_claim_counts_for_an_unlimited_hold_too(home: Home) -> None:
    first = fresh_id()
    await home.one(keyed(first, unlimited=True))
    assert await home.one(keyed(unlimited=True)) == Claimed(id=first, answered=False, same=True)


async def test_a_repeated_hold_and_a_repeated_post_are_answered_as_before(home: Home) -> None:
    own = fresh_id()
    assert await home.one(keyed(own)) == await home.one(keyed(own))
    assert await home.one(success(own)) == await home.one(success(own, b"another"))
    stored = await home.ledger.answer(WALLET, KEY)
    assert stored is not None and stored.answer == ANSWER


async def test_a_late_post_leaves_the_key_to_the_call_that_has_claimed_it_since(home: Home) -> None:
    first, second = fresh_id(), fresh_id()
    await home.one(keyed(first))
    await home.restart()
    await home.one(keyed(second))
    late = await home.one(success(first))
    assert isinstance(late, Posted) and late.late
    assert await home.ledger.answer(WALLET, KEY) is None
    await home.one(success(second, b"second"))
    stored = await home.ledger.answer(WALLET, KEY)
    assert stored is not None and (stored.id, stored.answer) == (second, b"second")


async def test_a_late_post_keeps_its_answer_when_nobody_has_claimed_the_key_since(home: Home) -> None:
    first = fresh_id()
    await home.one(keyed(first))
    await home.restart()
    await home.one(success(first))
    assert await home.one(keyed()) == Claimed(id=first, answered=True, same=True)


async def test_a_hold_and_its_post_may_come_together(home: Home) -> None:
    own = fresh_id()
    await home.apply(keyed(own), success(own))
    stored = await home.ledger.answer(WALLET, KEY)
    assert stored is not None and stored.answer == ANSWER


async def test_two_calls_with_one_key_that_come_together_are_told_apart(home: Home) -> None:
    first, second = fresh_id(), fresh_id()
    assert await home.apply(keyed(first), keyed(second)) == [
        Held(amount=USD, available=4 * USD),
        Claimed(id=first, answered=False, same=True),
    ]


async def test_of_64_calls_with_one_key_one_is_granted(home: Home) -> None:
    ids = [fresh_id() for _ in range(64)]
    results = await asyncio.gather(*(home.one(keyed(own, amount=7)) for own in ids))
    granted = [own for own, result in zip(ids, results, strict=True) if isinstance(result, Held)]
    assert len(granted) == 1
    assert results.count(Claimed(id=granted[0], answered=False, same=True)) == 63
    assert await home.available() == 5 * USD - 7
