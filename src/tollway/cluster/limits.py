"""Counts in Valkey, exact over all replicas that share it: domain.seams.LimitStore. One round trip a take.

The strategy is limits/window.py's, carried out by batch.lua on Valkey's clock. Who is inside has a lease of a minute,
which `renew` prolongs: a replica that dies gives its places back within that, and what a lost Valkey has forgotten is
told to it again. Must not know whose counts they are.
"""

import itertools
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from tollway.cluster.link import Link
from tollway.domain.errors import LimitsUnavailable
from tollway.domain.limit import Ask, Level, Taken

RENEW_S = 20.0  # a third of batch.lua's LEASE_US
RENEWED_AT_ONCE = 100  # leases an operation

US = 1_000_000


class Leased(Taken, frozen=True, kw_only=True):
    """`lease` is what the taker is counted by among those inside."""

    lease: str


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """What batch.lua's `take` says; microseconds."""

    short: int
    now: int
    levels: list[list[tuple[int, int, int]]]  # left, until all is, until what was asked for fits


class ValkeyLimits:
    """`replica` must be no other process's."""

    def __init__(self, link: Link, replica: str | None = None) -> None:
        self._link = link
        self._replica = replica or secrets.token_hex(8)
        self._numbers = itertools.count()
        self._inside: dict[str, tuple[str, ...]] = {}  # keys by lease

    async def take(self, asks: Sequence[Ask]) -> Taken:
        keys = tuple(ask.key for ask in asks if ask.at_once is not None)
        lease = f"{self._replica}:{next(self._numbers)}" if keys else ""

        def unwanted(answer: Any) -> None:
            """Whoever was let in has gone meanwhile: a call that was cancelled takes nothing."""
            taken = _taken(asks, lease, answer)
            if taken.short is None:
                self.settle(taken, [0] * len(asks))
                self._leave(lease, keys)

        try:
            answer = await self._link.ask(("take", True, lease, _written(asks)), unwanted)
        except LimitsUnavailable:
            self._leave(lease, keys)  # it may have been let in
            raise
        taken = _taken(asks, lease, answer)
        if keys and taken.short is None:
            self._inside[lease] = keys
        return taken

    async def look(self, asks: Sequence[Ask]) -> Taken:
        return _taken(asks, "", await self._link.ask(("take", False, "", _written(asks))))

    def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        changes = [
            (ask.key, amount - ask.amount, [rate.period_s for rate in ask.rates])
            for ask, amount in zip(taken.asks, amounts, strict=True)
            if amount != ask.amount and ask.rates
        ]
        if changes:
            self._link.say(("settle", taken.at, changes))

    def leave(self, taken: Taken) -> None:
        assert isinstance(taken, Leased), "it was taken here"
        keys = self._inside.pop(taken.lease, ())
        self._leave(taken.lease, keys)

    def renew(self) -> None:
        """Prolong the leases of those inside; also what a Valkey that has forgotten them is told first."""
        leases = iter(list(self._inside.items()))
        while some := list(itertools.islice(leases, RENEWED_AT_ONCE)):
            self._link.say(("renew", some))

    def _leave(self, lease: str, keys: tuple[str, ...]) -> None:
        if keys:
            self._link.say(("leave", lease, keys), repeatable=True)


def _written(asks: Sequence[Ask]) -> list[Any]:
    return [
        (ask.key, ask.amount, -1 if ask.at_once is None else ask.at_once, [(r.most, r.period_s) for r in ask.rates])
        for ask in asks
    ]


def _taken(asks: Sequence[Ask], lease: str, answer: Any) -> Leased:
    said = msgspec.convert(answer, _Answer)
    levels = tuple(
        tuple(
            Level(rate, left, whole / US, wait / US) for rate, (left, whole, wait) in zip(ask.rates, level, strict=True)
        )
        for ask, level in zip(asks, said.levels, strict=True)
    )
    return Leased(
        asks=tuple(asks), levels=levels, at=said.now, short=None if said.short < 0 else said.short, lease=lease
    )
