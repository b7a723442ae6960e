"""Counters and histograms as plain integers, which prometheus-client turns into text when somebody asks.

Its own metric objects take a lock and add floats, 0.35 us an increment: a call would cost 3 us, and sums of money would
lose digits. These are for one thread, the event loop's, and must not know what they count.
"""

from bisect import bisect_left
from collections import Counter as Times
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

Labels = tuple[str, ...]


class Counter:
    """Whole numbers by label values, in `counts`: whoever counts often adds to them there. `divisor`: how many of what
    is counted make one of the exported unit."""

    def __init__(self, name: str, meaning: str, labels: Labels, *, divisor: int = 1) -> None:
        self._family = (name, meaning)
        self._labels = labels
        self._divisor = divisor
        self.counts: defaultdict[Labels, int] = defaultdict(int)
        if not labels:
            self.counts[()] = 0  # what has no labels is there from the start

    def add(self, values: Labels, amount: int = 1) -> None:
        self.counts[values] += amount

    def family(self) -> CounterMetricFamily:
        name, meaning = self._family
        family = CounterMetricFamily(name, meaning, labels=self._labels)
        for values, count in self.counts.items():
            family.add_metric(values, count / self._divisor)
        return family


class _Series:
    __slots__ = ("buckets", "sum")

    def __init__(self, buckets: int) -> None:
        self.buckets = [0] * buckets
        self.sum = 0.0


class Histogram:
    """How often values fell at or below each of `bounds` (ascending), by label values."""

    def __init__(self, name: str, meaning: str, labels: Labels, bounds: Sequence[float]) -> None:
        self._family = (name, meaning)
        self._labels = labels
        self._bounds = tuple(bounds)
        self._names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        self._series: dict[Labels, _Series] = {}
        if not labels:
            self._of(())

    def _of(self, values: Labels) -> _Series:
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = _Series(len(self._names))
        return series

    def observe(self, values: Labels, value: float) -> None:
        series = self._of(values)
        series.buckets[bisect_left(self._bounds, value)] += 1
        series.sum += value

    def observe_all(self, values: Labels, seen: Sequence[float]) -> None:
        """Many at once, without a step of Python's for each."""
        series = self._of(values)
        for at, times in Times(map(partial(bisect_left, self._bounds), seen)).items():
            series.buckets[at] += times
        series.sum += sum(seen)

    def family(self) -> HistogramMetricFamily:
        name, meaning = self._family
        family = HistogramMetricFamily(name, meaning, labels=self._labels)
        for values, series in self._series.items():
            cumulated, count = [], 0
            for bound, fell in zip(self._names, series.buckets, strict=True):
                count += fell
                cumulated.append((bound, float(count)))
            family.add_metric(values, cumulated, series.sum)
        return family
