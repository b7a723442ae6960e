"""Counts in this process's memory: domain.seams.LimitStore. Lost with the process, which costs one period's limits.

Belongs to one event loop: nothing here waits, so every take is whole. Must not know whose counts they are. A take costs
the same however many keys there are, and asks a clock that is passed in; the package `limits` (5.8) looks through all
keys at every hit (0.1 ms with 10,000 wallets), keeps an entry for every token, and can neither settle nor take several
limits as one.
"""

from collections import OrderedDict
from collections.abc import Sequence

from tollway.domain.clock import Clock
from tollway.domain.limit import Ask, Level, Taken
from tollway.limits.window import NS, Window

KEYS_MAX = 65_536  # about 40 MB of wallets seen once: whoever has more than that has as many allowances anyway
FORGOTTEN_AT_ONCE = 2  # of the oldest keys, when a new one comes: idle ones go sooner than they come


class _Count:
    __slots__ = ("inside", "windows")

    def __init__(self) -> None:
        self.inside = 0
        self.windows: dict[int, Window] = {}  # by period, seconds


class MemoryLimits:
    """`keys_max`: beyond it the key that nobody has used for the longest is forgotten, but for those in use."""

    def __init__(self, clock: Clock, keys_max: int = KEYS_MAX) -> None:
        self._monotonic = clock.monotonic
        self._keys_max = keys_max
        self._counts: OrderedDict[str, _Count] = OrderedDict()  # the one used last is the last

    def __len__(self) -> int:
        return len(self._counts)

    async def take(self, asks: Sequence[Ask]) -> Taken:
        now, counts = int(self._monotonic() * NS), self._counts
        short = self._short(asks, now)
        if short is not None:
            return self._said(asks, now, short)
        levels: list[tuple[Level, ...]] = []
        for ask in asks:
            count = counts.get(ask.key)
            if count is not None:
                counts.move_to_end(ask.key)
            elif ask.amount or ask.at_once is not None:
                count = self._new(ask.key, now)
            if count is not None and ask.at_once is not None:
                count.inside += 1
            if ask.rates:
                if count is not None:
                    _add(count, ask, now)
                levels.append(_levels(ask, count, now, refused=False))
            else:
                levels.append(())
        return Taken(tuple(asks), tuple(levels), now)

    async def look(self, asks: Sequence[Ask]) -> Taken:
        now = int(self._monotonic() * NS)
        return self._said(asks, now, self._short(asks, now))

    def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        for ask, amount in zip(taken.asks, amounts, strict=True):
            count = self._counts.get(ask.key)
            if count is not None and amount != ask.amount:
                for rate in ask.rates:
                    window = count.windows.get(rate.period_s)
                    if window is not None:
                        window.change(taken.at, amount - ask.amount)

    def leave(self, taken: Taken) -> None:
        for ask in taken.asks:
            if ask.at_once is not None:
                count = self._counts[ask.key]  # a key in use is never forgotten
                assert count.inside > 0, "who leaves was inside"
                count.inside -= 1
                if not count.inside and not count.windows:
                    del self._counts[ask.key]

    def _new(self, key: str, now: int) -> _Count:
        counts = self._counts
        for _ in range(FORGOTTEN_AT_ONCE):
            if not counts or not self._forget_oldest(now):
                break
        count = counts[key] = _Count()
        return count

    def _forget_oldest(self, now: int) -> bool:
        """Whether the key that was used the longest ago could go."""
        key, count = next(iter(self._counts.items()))
        if count.inside:
            self._counts.move_to_end(key)  # it is in use, if not used
            return len(self._counts) > 1
        for window in count.windows.values():
            window.pass_to(now)
        if len(self._counts) < self._keys_max and any(window.used for window in count.windows.values()):
            return False
        del self._counts[key]
        return True

    def _short(self, asks: Sequence[Ask], now: int) -> int | None:
        """The first ask that doesn't fit. Every window that was looked at before it has passed to `now`."""
        for place, ask in enumerate(asks):
            count = self._counts.get(ask.key)
            if count is not None and ask.at_once is not None and count.inside >= ask.at_once:
                return place
            for rate in ask.rates:
                window = None if count is None else count.windows.get(rate.period_s)
                used = ask.amount
                if window is not None:
                    window.pass_to(now)
                    used += window.used
                if used > rate.most:
                    return place
        return None

    def _said(self, asks: Sequence[Ask], now: int, short: int | None) -> Taken:
        refused = short is not None
        levels = [_levels(ask, self._counts.get(ask.key), now, refused=refused) for ask in asks]
        return Taken(tuple(asks), tuple(levels), now, short)


def _add(count: _Count, ask: Ask, now: int) -> None:
    for rate in ask.rates:
        window = count.windows.get(rate.period_s)
        if window is None:
            window = count.windows[rate.period_s] = Window(rate.period_s)
        if ask.amount:
            window.add(now, ask.amount)


def _levels(ask: Ask, count: _Count | None, now: int, *, refused: bool) -> tuple[Level, ...]:
    levels = []
    for rate in ask.rates:
        window = None if count is None else count.windows.get(rate.period_s)
        if window is None:
            window = Window(rate.period_s)
        if refused:
            window.pass_to(now)
        wait = window.wait(now, rate.most - ask.amount) if refused else 0
        levels.append(Level(rate, max(0, rate.most - window.used), window.whole(now) / NS, wait / NS))
    return tuple(levels)
