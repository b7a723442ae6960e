"""What was sampled of a router under constant load, and whether it is a leak. Pure.

Memory may not grow with the calls, once what is kept on purpose is full; everything else has to come back to what there
was before the load.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from statistics import median

MB = 1_000_000
WARM_UP_SHARE = 0.3  # of a run: until caches are full, and the allocator has what a load takes
GROWTH_BYTES = 10 * MB  # of noise: an allocator takes memory by the megabyte, and caches fill for minutes
GROWTH_BYTES_A_CALL = 150  # and what is told apart from it: the smallest thing kept for each call
FILES_MORE = 4  # connections to the books and to providers that are opened when first needed


@dataclass(frozen=True)
class Sample:
    """At one time. Memory in bytes; `held` is money in nano-USD."""

    calls: int
    memory: float
    files: float
    tasks: float
    connections: float
    upstream: float
    in_flight: float
    held: int


@dataclass(frozen=True)
class Row:
    """One thing that could leak: before, under load (median and most), after; what it may be after."""

    what: str
    before: float
    median: float
    most: float
    after: float
    bound: float

    @property
    def leaks(self) -> bool:
        return self.after > self.bound


def growth(samples: Sequence[Sample]) -> float:
    """Bytes of memory that each call has cost for good, by the median slope over all pairs of a sample in the first
    half and its partner in the second (Theil and Sen's, on as many pairs as there are)."""
    half = len(samples) // 2
    pairs = zip(samples[:half], samples[-half:], strict=True)
    slopes = [(late.memory - early.memory) / (late.calls - early.calls) for early, late in pairs]
    return median(slopes)


def rows(before: Sample, under_load: Sequence[Sample], after: Sample) -> list[Row]:
    """`under_load` is the whole run, warm-up included."""
    warm = under_load[round(len(under_load) * WARM_UP_SHARE) :]
    calls = warm[-1].calls - warm[0].calls
    grown = growth(warm) * calls

    def row(what: str, name: str, bound: float) -> Row:
        loaded = [float(getattr(sample, name)) for sample in warm]
        return Row(what, getattr(before, name), median(loaded), max(loaded), getattr(after, name), bound)

    sizes = [sample.memory / MB for sample in warm]
    may_grow = (GROWTH_BYTES + GROWTH_BYTES_A_CALL * calls) / MB
    return [
        Row("memory, MB", before.memory / MB, median(sizes), max(sizes), after.memory / MB, inf),
        Row("memory kept for good by the calls, MB", nan, nan, nan, grown / MB, may_grow),
        row("open files", "files", before.files + FILES_MORE),
        row("tasks", "tasks", before.tasks),
        row("connections of callers", "connections", before.connections),
        row("connections to providers", "upstream", before.upstream),
        row("calls in flight", "in_flight", 0),
        row("money held, nano-USD", "held", 0),
    ]
