"""Counts that several replicas share: exact over all of them, and right again after one has died or Valkey was lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from helpers.ledgers import HandClock
from helpers.until import until
from helpers.valkey import Valkey, running_valkey
from tollway.cluster import link as link_module
from tollway.cluster.limits import RENEW_S, RENEWED_AT_ONCE, ValkeyLimits
from tollway.cluster.link import Link
from tollway.domain.errors import LimitsUnavailable
from tollway.domain.limit import Ask, Rate, Taken
from tollway.domain.observer import NullObserver

LEASE_S = 3 * RENEW_S
MINUTE = Rate(50, 60)


class Replica:
    def __init__(self, link: Link) -> None:
        self.link = link
        self.store = ValkeyLimits(link)
        link.connected = self.store.renew

    async def take(self, amount: int = 1, *rates: Rate, at_once: int | None = None, key: str = "k") -> Taken:
        return await self.store.take([Ask(key=key, amount=amount, rates=rates, at_once=at_once)])

    async def fits(self, amount: int = 1, *rates: Rate, at_once: int | None = None) -> bool:
        return (await self.take(amount, *rates, at_once=at_once)).short is None


@asynccontextmanager
async def replicas(server: Valkey, count: int = 2, clock: HandClock | None = None) -> AsyncIterator[list[Replica]]:
    """By Valkey's own clock, unless they are given one."""
    now = None if clock is None else lambda: clock.ms * 1000
    links = [Link(server.url, None, NullObserver(), now, answer_s=30) for _ in range(count)]
    found = [Replica(link) for link in links]
    try:
        for link in links:
            await link.open()
        yield found
    finally:
        for link in links:
            await link.aclose()


@pytest.fixture
def server(valkey: Callable[[], Valkey]) -> Valkey:
    found = valkey()
    found.empty()
    return found


async def test_all_replicas_together_let_through_what_the_rate_says(server: Valkey) -> None:
    async with replicas(server, 4) as those:
        said = await asyncio.gather(*(replica.fits(1, MINUTE) for replica in those for _ in range(40)))
        assert sum(said) == 50


async def test_all_replicas_together_let_in_as_many_at_once_as_may_be(server: Valkey) -> None:
    async with replicas(server, 4) as those:
        said = await asyncio.gather(*(replica.take(at_once=7) for replica in those for _ in range(10)))
        inside = [(those[i // 10], taken) for i, taken in enumerate(said) if taken.short is None]
        assert len(inside) == 7
        for replica, taken in inside[:3]:
            replica.store.leave(taken)
            await replica.store.look([])  # what was said before is done
        said = await asyncio.gather(*(replica.take(at_once=7) for replica in those for _ in range(10)))
        assert sum(taken.short is None for taken in said) == 3


async def test_what_one_settles_all_have(server: Valkey) -> None:
    async with replicas(server) as (one, other):
        taken = await one.take(40, MINUTE)
        assert not await other.fits(20, MINUTE)
        one.store.settle(taken, (5,))
        await one.store.look([])
        assert await other.fits(45, MINUTE)
        assert not await other.fits(1, MINUTE)


async def test_what_was_taken_is_forgotten_by_valkey_soon_after_its_period(server: Valkey) -> None:
    async with replicas(server, 1) as (one,):
        await one.take(1, Rate(5, 60), at_once=3)
        with server.client() as client:
            ends = {name: client.pttl(name) for name in client.keys("*")}
    assert set(ends) == {b"tollway:1:w:60:k", b"tollway:1:c:k"}
    assert 0 < ends[b"tollway:1:w:60:k"] <= 62_000
    assert 0 < ends[b"tollway:1:c:k"] <= 2 * LEASE_S * 1000


# --- leases


async def test_a_replica_that_dies_gives_its_places_back_within_a_minute(server: Valkey) -> None:
    clock = HandClock()
    async with replicas(server, 2, clock) as (dead, alive):
        assert await dead.fits(at_once=2)
        assert await alive.fits(at_once=2)
        clock.ms += round(LEASE_S * 1000) - 1
        alive.store.renew()
        assert not await alive.fits(at_once=2)
        clock.ms += 1
        assert await alive.fits(at_once=2)
        assert not await alive.fits(at_once=2)


async def test_a_call_keeps_its_place_for_as_long_as_it_is_renewed(server: Valkey) -> None:
    clock = HandClock()
    async with replicas(server, 1, clock) as (one,):
        many = RENEWED_AT_ONCE + 5
        taken = [await one.take(at_once=many) for _ in range(many)]
        for _ in range(6):
            clock.ms += round(RENEW_S * 1000)
            one.store.renew()
            assert not await one.fits(at_once=many)
        one.store.leave(taken[0])
        one.store.renew()
        assert await one.fits(at_once=many)


async def test_who_goes_while_it_is_let_in_is_neither_inside_nor_counted(server: Valkey) -> None:
    async with replicas(server, 1) as (one,):
        with server.client() as client:
            client.client_pause(300)  # so that the question is on its way
            taking = asyncio.ensure_future(one.take(10, MINUTE, at_once=1))
            await until(lambda: not one.link._queue)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
        await one.store.look([])
        await one.store.look([])
        (left,) = (await one.take(0, MINUTE, at_once=1)).levels[0]
        assert left.left == 50


async def test_who_goes_while_it_is_refused_changes_nothing(server: Valkey) -> None:
    async with replicas(server, 1) as (one,):
        assert await one.fits(40, MINUTE)
        with server.client() as client:
            client.client_pause(300)
            taking = asyncio.ensure_future(one.take(20, MINUTE))
            await until(lambda: not one.link._queue)
            taking.cancel()
        await one.store.look([])
        assert await one.fits(10, MINUTE)
        assert not await one.fits(1, MINUTE)


async def test_a_valkey_that_was_lost_with_all_it_knew_is_told_who_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "PROBE_S", 0.02)
    with running_valkey() as own:
        async with replicas(own) as (one, other):
            taken = [await replica.take(at_once=3) for replica in (one, other)]
            own.kill()
            for replica in (one, other):
                with pytest.raises(LimitsUnavailable):
                    await replica.take(at_once=3)
            other.store.leave(taken[1])
            own.start()
            await until(lambda: not one.link.lost and not other.link.lost)
            await one.store.look([])
            await other.store.look([])
            assert [await one.fits(at_once=3) for _ in range(3)] == [True, True, False]


async def test_nobody_stays_inside_of_whom_it_was_not_known_whether_it_was_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_module, "PROBE_S", 0.02)
    with running_valkey() as own:
        link = Link(own.url, None, NullObserver(), answer_s=0.2)
        one = Replica(link)
        await link.open()
        with own.hanging(), pytest.raises(LimitsUnavailable):
            await one.take(at_once=1)
        await until(lambda: not link.lost)
        assert await one.fits(at_once=1)
        await link.aclose()


# --- clocks


async def test_a_clock_that_was_set_back_a_little_lets_nothing_more_through(server: Valkey) -> None:
    clock = HandClock()
    async with replicas(server, 1, clock) as (one,):
        assert await one.fits(30, MINUTE)
        clock.ms -= 20_000
        assert await one.fits(20, MINUTE)
        assert not await one.fits(1, MINUTE)
        clock.ms += 20_000 + 61_000
        assert await one.fits(50, MINUTE)


async def test_a_clock_that_was_set_back_far_stops_nobody_for_ever(server: Valkey) -> None:
    clock = HandClock()
    async with replicas(server, 1, clock) as (one,):
        assert await one.fits(50, MINUTE)
        clock.ms -= 3_600_000
        assert await one.fits(50, MINUTE)
        assert not await one.fits(1, MINUTE)
