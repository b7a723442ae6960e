"""What the samples of one run come to: medians with their spread, what a gateway adds to the provider's own times, and
whether the targets are met. Values only; how they are shown is `report.py`'s."""

from collections.abc import Callable, Iterable
from statistics import median, quantiles

import msgspec

from tollway.bench.measure import Kind, Result, Sample

PROVIDER, NGINX, LITELLM, FERRO = "provider", "nginx", "LiteLLM", "Ferro"
MEMORY, SQLITE, POSTGRES = "tollway, in memory", "tollway, SQLite", "tollway, PostgreSQL"
OURS = (MEMORY, SQLITE, POSTGRES)
COMMITS_WAITED: tuple[Kind, ...] = ("waiting", "latency")

# Sign-in, routing, metering and durable billing on; ratios between the medians of one run.
BATCH_RATIO_MAX = 7.0  # of nginx's
LITELLM_RATIO_MIN = 80.0  # LiteLLM's to ours
EVENT_RATIO_MAX = 2.0  # of nginx's
LEDGER_US_MAX = 25.0  # what SQLite adds to a request
COMMIT_MS_MAX = 10.0  # what waiting for commits adds to the 99th percentile
FIRST_TOKEN_MS_MAX = (1.0, 10.0)  # p50 and p99 beyond the provider's
STREAM_KB_MAX = 60.0
IDLE_MB_MAX = 70.0
READY_S_MAX = 1.0


class Spread(msgspec.Struct, frozen=True):
    middle: float
    least: float
    most: float

    def __format__(self, form: str) -> str:
        """Median (least-most), each in this form; the median alone where they don't differ in it."""
        middle, least, most = (format(value, form) for value in (self.middle, self.least, self.most))
        return middle if least == most else f"{middle} ({least}-{most})"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One target and what came of it."""

    what: str
    most: str
    measured: str
    met: bool


def spread(values: Iterable[float]) -> Spread | None:
    known = list(values)
    return Spread(median(known), min(known), max(known)) if known else None


class Figures:
    def __init__(self, result: Result) -> None:
        self._result = result
        measured = {sample.target for sample in result.samples}
        self.targets = [name for name in (PROVIDER, *result.versions) if name in measured]

    def samples(self, target: str, kind: Kind) -> list[Sample]:
        """In the order of the rounds."""
        return [sample for sample in self._result.samples if (sample.target, sample.kind) == (target, kind)]

    def of(self, target: str, kind: Kind, value: Callable[[Sample], float]) -> Spread | None:
        return spread(value(sample) for sample in self.samples(target, kind))

    def cpu_us(self, target: str, kind: Kind) -> Spread | None:
        return self.of(target, kind, lambda sample: sample.cpu_us)

    def store_cpu_us(self, target: str, kind: Kind) -> Spread | None:
        return spread(each.store_cpu_us for each in self.samples(target, kind) if each.store_cpu_us is not None)

    def noisy(self, target: str, kind: Kind) -> bool:
        return any(sample.noisy for sample in self.samples(target, kind))

    def beyond(self, target: str, base: str, kind: Kind, value: Callable[[Sample], float]) -> Spread | None:
        """What `target` adds to `base` of the same round. None unless both were measured."""
        return spread(self._differences(target, base, kind, value))

    def books_us(self, target: str) -> Spread | None:
        """What books on disk add to the CPU of a request: of the differences between neighbouring turns the median, and
        in place of the least and the most, of so many, the quartiles."""
        added = self._differences(target, MEMORY, "turns", lambda sample: sample.cpu_us)
        if len(added) < 2:
            return spread(added)
        low, middle, high = quantiles(added, n=4, method="inclusive")
        return Spread(middle, low, high)

    def _differences(self, target: str, base: str, kind: Kind, value: Callable[[Sample], float]) -> list[float]:
        bases = {sample.round: value(sample) for sample in self.samples(base, kind)}
        mine = self.samples(target, kind)
        return [value(sample) - bases[sample.round] for sample in mine if sample.round in bases]

    def ratio(self, target: str, base: str, kind: Kind) -> float | None:
        """Between the medians."""
        mine, theirs = self.cpu_us(target, kind), self.cpu_us(base, kind)
        return mine.middle / theirs.middle if mine and theirs and theirs.middle else None

    def ready_s(self, target: str) -> Spread | None:
        return spread(start.ready_s for start in self._result.starts if start.target == target)

    def idle_mb(self, target: str) -> Spread | None:
        return spread(start.idle_mb for start in self._result.starts if start.target == target)

    def verdicts(self) -> list[Verdict]:
        """The targets that this run can judge, for the router with its books on SQLite."""
        return [verdict for verdict in (*self._cpu_verdicts(), *self._other_verdicts()) if verdict is not None]

    def _cpu_verdicts(self) -> list[Verdict | None]:
        to_litellm = self.ratio(LITELLM, SQLITE, "batch")
        ledger = self.books_us(SQLITE)
        return [
            _at_most(
                "CPU a batch request, to nginx's", self.ratio(SQLITE, NGINX, "batch"), BATCH_RATIO_MAX, "{:.1f} x"
            ),
            _at_most("CPU a batch request, to Ferro's", self.ratio(SQLITE, FERRO, "batch"), 1.0, "{:.2f} x"),
            None
            if to_litellm is None
            else Verdict(
                what="CPU a batch request, to LiteLLM's",
                most=f"1/{LITELLM_RATIO_MIN:g}",
                measured=f"1/{to_litellm:.0f}",
                met=to_litellm >= LITELLM_RATIO_MIN,
            ),
            _at_most("CPU that books on SQLite add to it", ledger, LEDGER_US_MAX, "{:.1f} us"),
            _at_most(
                "CPU a streamed event, to nginx's", self.ratio(SQLITE, NGINX, "streams"), EVENT_RATIO_MAX, "{:.1f} x"
            ),
        ]

    def _other_verdicts(self) -> list[Verdict | None]:
        streams = self._result.size.streams
        waits = [self.beyond(SQLITE, MEMORY, kind, p99) for kind in COMMITS_WAITED]
        first = [self.beyond(SQLITE, PROVIDER, "streams", value) for value in (first_p50, first_p99)]
        grown = spread(each.grown_kb for each in self.samples(SQLITE, "streams") if each.round == 0)
        what = [f"first token after the provider's, {streams} streams, {which}" for which in ("p50", "p99")]
        return [
            _at_most("commits waited for, p99, 64 in flight", waits[0], COMMIT_MS_MAX, "{:.1f} ms"),
            _at_most("commits waited for, p99, 50 a second", waits[1], COMMIT_MS_MAX, "{:.1f} ms"),
            _at_most(what[0], first[0], FIRST_TOKEN_MS_MAX[0], "{:.2f} ms"),
            _at_most(what[1], first[1], FIRST_TOKEN_MS_MAX[1], "{:.2f} ms"),
            _at_most("memory a stream", grown, STREAM_KB_MAX, "{:.0f} KB"),
            _at_most("idle process", self.idle_mb(SQLITE), IDLE_MB_MAX, "{:.0f} MB"),
            _at_most("ready", self.ready_s(SQLITE), READY_S_MAX, "{:.2f} s"),
        ]


def _at_most(what: str, measured: Spread | float | None, most: float, form: str) -> Verdict | None:
    if measured is None:
        return None
    value = measured.middle if isinstance(measured, Spread) else measured
    unit = form.partition("}")[2]
    return Verdict(what=what, most=f"{most:g}{unit}", measured=form.format(value), met=value <= most)


def p50(sample: Sample) -> float:
    return sample.seen.latency_p50_ms


def p99(sample: Sample) -> float:
    return sample.seen.latency_p99_ms


def first_p50(sample: Sample) -> float:
    return sample.seen.first_token_p50_ms


def first_p99(sample: Sample) -> float:
    return sample.seen.first_token_p99_ms
