"""The counts in memory stay few, however many keys come."""

from helpers.ledgers import HandClock
from tollway.domain.limit import Ask, Rate, Taken
from tollway.limits.memory import MemoryLimits
from tollway.limits.window import NS, Window


async def take(store: MemoryLimits, key: str, at_once: int | None = None) -> Taken:
    return await store.take([Ask(key=key, rates=(Rate(5, 60),), at_once=at_once)])


async def test_idle_keys_go_as_new_ones_come() -> None:
    clock = HandClock()
    store = MemoryLimits(clock)
    for number in range(100):
        await take(store, f"old {number}")
    assert len(store) == 100
    clock.ms += 62_000
    for number in range(100):
        await take(store, f"new {number}")
    assert len(store) == 100


async def test_asks_of_one_take_may_make_room_of_each_other() -> None:
    clock = HandClock()
    store = MemoryLimits(clock)
    await take(store, "b")
    clock.ms += 62_000
    asks = [Ask(key="a", at_once=1), Ask(key="b", rates=(Rate(5, 60),))]
    assert (await store.take(asks)).levels[1][0].left == 4
    assert (await take(store, "b")).levels[0][0].left == 3


async def test_beyond_the_most_the_one_unused_for_the_longest_is_forgotten() -> None:
    store = MemoryLimits(HandClock(), keys_max=3)
    for key in ("a", "b", "c", "a", "d"):
        await take(store, key)
    assert len(store) == 3
    assert (await take(store, "a")).levels[0][0].left == 2
    assert (await take(store, "b")).levels[0][0].left == 4, "it had been forgotten"


async def test_a_key_in_use_is_never_forgotten() -> None:
    store = MemoryLimits(HandClock(), keys_max=2)
    taken = [await take(store, f"used {number}", at_once=1) for number in range(4)]
    for number in range(20):
        await take(store, f"other {number}")
    for number in range(4):
        assert (await take(store, f"used {number}", at_once=1)).short == 0
    for one in taken:
        store.leave(one)
    for number in range(20):
        await take(store, f"other {number}")
    assert len(store) <= 6


async def test_who_settles_what_was_forgotten_changes_nothing() -> None:
    store = MemoryLimits(HandClock(), keys_max=1)
    taken = await take(store, "a")
    await take(store, "b")
    store.settle(taken, (5,))
    store.settle(Taken(asks=(Ask(key="b", rates=(Rate(9, 1),)),), levels=((),), at=taken.at), (5,))  # no such period
    assert (await take(store, "b")).levels[0][0].left == 3


def test_a_window_is_not_put_below_nothing() -> None:
    window = Window(60)
    window.add(0, 2)
    window.change(0, -5)
    window.change(NS, 5)  # a slot that nothing was taken in
    assert window.used == 0


def test_less_room_than_none_is_waited_for_a_period() -> None:
    window = Window(60)
    window.add(0, 2)
    assert window.wait(0, -1) == 60 * NS
    assert Window(60).wait(0, 0) == Window(60).whole(0) == 0


def test_a_period_that_does_not_divide_is_never_cut_short() -> None:
    window = Window(1)
    window.add(5, 1)
    window.pass_to(NS + 4)
    assert window.used == 1


async def test_who_leaves_gives_back_its_places_and_nothing_else() -> None:
    store = MemoryLimits(HandClock())
    taken = await store.take([Ask(key="a", at_once=1), Ask(key="b", rates=(Rate(5, 60),))])
    store.leave(taken)
    assert len(store) == 1
    assert (await take(store, "b")).levels[0][0].left == 3
