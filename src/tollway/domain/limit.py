"""How often and how much at once: rates, what is asked of a store of counts, and what it says."""

import msgspec


class Rate(msgspec.Struct, frozen=True):
    """At most `most` of something in any `period_s` seconds."""

    most: int
    period_s: int


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """`amount` of what is counted under `key`: it has to fit into each of `rates` (one a period), and there may be
    `at_once` takers who haven't left yet; None counts no takers."""

    key: str
    amount: int = 1
    rates: tuple[Rate, ...] = ()
    at_once: int | None = None


class Level(msgspec.Struct, frozen=True, gc=False):
    """How one rate stands. `left` is what may be taken now, `whole_s` the seconds until all of it may, `wait_s` the
    seconds until what was asked for fits: 0.0 when it was taken, or could be."""

    rate: Rate
    left: int
    whole_s: float
    wait_s: float = 0.0


class Taken(msgspec.Struct, frozen=True):
    """What a store said to some asks: everything was taken, or nothing. `levels` are of each ask's rates."""

    asks: tuple[Ask, ...]
    levels: tuple[tuple[Level, ...], ...]
    at: int  # when, by the store's own clock: it knows by it what to settle
    short: int | None = None  # the first ask that didn't fit; None: all was taken

    @property
    def wait_s(self) -> float | None:
        """Seconds until what fell short fits its rates; None when it is the takers that are too many."""
        assert self.short is not None, "nothing fell short"
        return max((level.wait_s for level in self.levels[self.short]), default=0.0) or None
