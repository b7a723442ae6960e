"""What one rate's window makes of what is settled late."""

from helpers.ledgers import HandClock
from tollway.domain.limit import Ask, Rate
from tollway.limits.memory import MemoryLimits
from tollway.limits.window import NS, Window


def test_what_was_taken_before_others_is_put_right_where_it_was_taken() -> None:
    window = Window(60)
    window.add(5 * NS, 3)
    window.add(7 * NS, 2)
    window.change(5 * NS, -2)
    assert window.used == 3
    window.pass_to(66 * NS)
    assert window.used == 2


def test_what_is_forgotten_is_not_put_right() -> None:
    window = Window(60)
    window.change(5 * NS, 9)
    window.add(70 * NS, 1)
    window.change(5 * NS, 9)
    assert window.used == 1


async def test_what_was_taken_under_a_rate_that_the_key_has_no_more_changes_no_other() -> None:
    clock = HandClock()
    store = MemoryLimits(clock, keys_max=1)
    taken = await store.take([Ask(key="a", rates=(Rate(9, 60),))])
    await store.take([Ask(key="b", rates=(Rate(9, 60),))])  # "a" is forgotten
    await store.take([Ask(key="a", rates=(Rate(9, 7),))])
    store.settle(taken, (5,))
    assert (await store.look([Ask(key="a", rates=(Rate(9, 7),))])).levels[0][0].left == 8
