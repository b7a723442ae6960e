"""What every store of counts promises (domain/seams.py, LimitStore)."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.limit_homes import LIMIT_HOMES, LimitHome
from helpers.valkey import Valkey
from tollway.domain.limit import Ask, Rate, Taken

MINUTE = Rate(3, 60)
LATE = 60 / 60  # a sixtieth of the period


NewHome = Callable[[], LimitHome]


@pytest.fixture(params=LIMIT_HOMES)
def home_of(request: pytest.FixtureRequest, valkey: Callable[[], Valkey]) -> NewHome:
    return lambda: LIMIT_HOMES[request.param](valkey)


@pytest.fixture
async def home(home_of: NewHome) -> Any:
    found = home_of()
    await found.open()
    yield found
    await found.close()


def with_a_store(home_of: NewHome, test: Callable[[LimitHome], Coroutine[Any, Any, None]]) -> None:
    """For properties: each example has a store of its own."""

    async def run() -> None:
        home = home_of()
        await home.open()
        try:
            await test(home)
        finally:
            await home.close()

    asyncio.run(run())


# --- rates


async def test_as_many_as_the_rate_says_and_no_more(home: LimitHome) -> None:
    assert [await home.fits(1, MINUTE) for _ in range(5)] == [True, True, True, False, False]


async def test_what_was_taken_comes_back_a_period_later_and_a_sixtieth_late_at_the_most(home: LimitHome) -> None:
    assert await home.fits(3, MINUTE)
    await home.pass_time(59.9)
    assert not await home.fits(1, MINUTE)
    await home.pass_time(0.1 + LATE)
    assert await home.fits(3, MINUTE)


async def test_what_was_refused_does_not_count(home: LimitHome) -> None:
    assert await home.fits(2, MINUTE)
    for _ in range(10):
        assert not await home.fits(2, MINUTE)
    assert await home.fits(1, MINUTE)


async def test_every_rate_has_to_be_kept(home: LimitHome) -> None:
    hour = Rate(4, 3600)
    assert await home.fits(3, MINUTE, hour)
    assert not await home.fits(1, MINUTE, hour)
    await home.pass_time(60 + LATE)
    assert await home.fits(1, MINUTE, hour)
    assert not await home.fits(1, MINUTE, hour)


async def test_keys_are_counted_apart(home: LimitHome) -> None:
    assert await home.fits(3, MINUTE, key="a")
    assert await home.fits(3, MINUTE, key="b")


async def test_a_new_rate_finds_what_was_counted_under_the_old_one(home: LimitHome) -> None:
    assert await home.fits(3, MINUTE)
    assert not await home.fits(3, Rate(5, 60))
    assert await home.fits(2, Rate(5, 60))


async def test_all_asks_are_taken_or_none(home: LimitHome) -> None:
    asks = [Ask(key="a", rates=(MINUTE,), at_once=1), Ask(key="b", amount=4, rates=(MINUTE,))]
    said = await home.store.take(asks)
    assert said.short == 1
    assert await home.fits(3, MINUTE, key="a", at_once=1)
    assert await home.fits(3, MINUTE, key="b")


async def test_looking_says_what_taking_would_and_takes_nothing(home: LimitHome) -> None:
    ask = [Ask(key="k", amount=2, rates=(MINUTE,), at_once=1)]
    for _ in range(3):
        looked = await home.store.look(ask)
        assert (looked.short, looked.levels[0][0].left) == (None, 3)
    assert await home.fits(2, MINUTE, at_once=1)
    assert (await home.store.look(ask)).short == 0


async def test_the_levels_are_those_after_what_was_taken(home: LimitHome) -> None:
    (minute, hour) = (await home.takes(2, MINUTE, Rate(100, 3600))).levels[0]
    assert (minute.rate, minute.left, minute.wait_s) == (MINUTE, 1, 0)
    assert 60 <= minute.whole_s <= 60 + LATE
    assert hour.left == 98
    assert 3600 <= hour.whole_s <= 3660
    refused = (await home.takes(2, MINUTE)).levels[0][0]
    assert refused.left == 1
    assert refused.wait_s == refused.whole_s


async def test_an_amount_of_nothing_fits_unless_the_count_is_over_its_limit(home: LimitHome) -> None:
    taken = await home.takes(3, MINUTE)
    assert await home.fits(0, MINUTE)
    home.store.settle(taken, (4,))
    assert not await home.fits(0, MINUTE)


# --- what it came to


async def test_what_was_taken_and_not_used_is_given_back(home: LimitHome) -> None:
    taken = await home.takes(3, MINUTE)
    await home.pass_time(5)
    home.store.settle(taken, (1,))
    assert await home.fits(2, MINUTE)
    assert not await home.fits(1, MINUTE)


async def test_what_was_used_beyond_what_was_taken_is_waited_for(home: LimitHome) -> None:
    taken = await home.takes(1, MINUTE)
    home.store.settle(taken, (10,))
    said = await home.takes(1, MINUTE)
    assert (said.short, said.levels[0][0].left) == (0, 0)
    await home.pass_time(60 + LATE)
    assert await home.fits(3, MINUTE)


async def test_what_is_settled_after_its_period_changes_nothing(home: LimitHome) -> None:
    taken = await home.takes(1, MINUTE)
    await home.pass_time(120)
    assert await home.fits(2, MINUTE)
    home.store.settle(taken, (100,))
    assert await home.fits(1, MINUTE)
    await home.pass_time(10_000)
    home.store.settle(taken, (0,))  # nothing is left of it at all
    assert await home.fits(3, MINUTE)
    assert not await home.fits(1, MINUTE)


# --- at once


async def test_who_has_not_left_is_counted(home: LimitHome) -> None:
    first, second = await home.takes(at_once=2), await home.takes(at_once=2)
    refused = await home.takes(at_once=2)
    assert (refused.short, refused.wait_s) == (0, None)
    home.store.leave(first)
    assert await home.fits(at_once=2)
    assert not await home.fits(at_once=2)
    home.store.leave(second)
    assert await home.fits(at_once=2)


async def test_a_smaller_number_lets_nobody_in_until_enough_have_left(home: LimitHome) -> None:
    taken = [await home.takes(at_once=3) for _ in range(3)]
    home.store.leave(taken[0])
    assert not await home.fits(at_once=1)
    home.store.leave(taken[1])
    home.store.leave(taken[2])
    assert await home.fits(at_once=1)


async def test_who_is_not_counted_may_leave(home: LimitHome) -> None:
    home.store.leave(await home.takes(1, MINUTE))
    assert await home.fits(2, MINUTE)


async def test_takers_that_come_together_are_never_too_many(home: LimitHome) -> None:
    said = await asyncio.gather(*(home.takes(1, Rate(7, 60), at_once=5) for _ in range(50)))
    assert sum(taken.short is None for taken in said) == 5


# --- properties

STEPS = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(1, 6), st.integers(0, 6)),  # ms passed, asked for, came to
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, most=st.integers(1, 12), period_s=st.sampled_from([1, 7, 60]))
def test_no_period_wherever_it_begins_holds_more_than_the_rate_says(
    home_of: NewHome, steps: list[tuple[int, int, int]], most: int, period_s: int
) -> None:
    async def drive(home: LimitHome) -> None:
        now_ms, taken = 0, deque[tuple[int, int]]()
        for passed_ms, amount, _ in steps:
            now_ms += passed_ms * period_s // 60
            await home.pass_time(passed_ms * period_s // 60 / 1000)
            if await home.fits(amount, Rate(most, period_s)):
                taken.append((now_ms, amount))
            for begin, _ in taken:
                assert sum(n for at, n in taken if begin <= at < begin + period_s * 1000) <= most

    with_a_store(home_of, drive)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, most=st.integers(6, 12))
def test_whoever_waits_as_told_is_let_in(home_of: NewHome, steps: list[tuple[int, int, int]], most: int) -> None:
    async def drive(home: LimitHome) -> None:
        for passed_ms, amount, used in steps:
            await home.pass_time(passed_ms / 1000)
            said = await home.takes(amount, Rate(most, 60))
            if said.short is not None:
                assert said.wait_s is not None
                await home.pass_time(said.wait_s + 0.001)
                said = await home.takes(amount, Rate(most, 60))
            assert said.short is None
            home.store.settle(said, (used,))

    with_a_store(home_of, drive)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_where_everything_is_settled_at_nothing_everything_is_left(
    home_of: NewHome, steps: list[tuple[int, int, int]]
) -> None:
    async def drive(home: LimitHome) -> None:
        for passed_ms, amount, _ in steps:
            await home.pass_time(passed_ms / 1000)
            home.store.settle(await home.takes(amount, Rate(6, 60)), (0,))
        assert (await home.takes(0, Rate(6, 60))).levels[0][0].left == 6

    with_a_store(home_of, drive)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.booleans(), max_size=80), at_once=st.integers(1, 5))
def test_there_are_never_more_at_once_and_at_the_end_nobody(home_of: NewHome, moves: list[bool], at_once: int) -> None:
    async def drive(home: LimitHome) -> None:
        inside: deque[Taken] = deque()
        for comes in moves:
            if comes:
                taken = await home.takes(at_once=at_once)
                assert (taken.short is None) == (len(inside) < at_once)
                if taken.short is None:
                    inside.append(taken)
            elif inside:
                home.store.leave(inside.popleft())
        while inside:
            home.store.leave(inside.pop())
        for _ in range(at_once):
            assert await home.fits(at_once=at_once)

    with_a_store(home_of, drive)
