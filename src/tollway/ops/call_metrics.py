"""What is counted of calls: how they ended, how long they took, what they came to.

An ended call is kept as it is told, and many are added up at once: fewer steps than adding up each as it comes.
A scrape adds up what is waiting first, so it misses none."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from operator import attrgetter

from prometheus_client.metrics_core import Metric

from tollway.domain.money import NANO_PER_USD
from tollway.domain.record import CallRecord
from tollway.ops.tallies import Counter, Histogram

CALL_BOUNDS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 900)
WAITING_MAX = 128  # ended calls that are not added up; their records take some 100 KB until they are

_Kind = tuple[str, str | None, bool, str | None, str | None]

_kind: Callable[[CallRecord], _Kind] = attrgetter("ended", "error_code", "stream", "provider", "model")
_prompt = attrgetter("usage.prompt")
_completion = attrgetter("usage.completion")
_price = attrgetter("price")
_cost = attrgetter("cost")


class CallMetrics:
    """A part of ops.metrics.Metrics."""

    def __init__(self) -> None:
        self._waiting: list[CallRecord] = []
        self._calls = Counter(
            "tollway_calls_total",
            "Calls that got a hold and have ended, by how; `code` is the error they were answered with, if any.",
            ("ended", "code"),
        )
        self._durations = Histogram(
            "tollway_call_duration_seconds",
            "From a call's request, read and understood, to its end in the books; `mode` is `stream` or `batch`.",
            ("mode",),
            CALL_BOUNDS_S,
        )
        self._tokens = Counter(
            "tollway_tokens_total",
            "Tokens that calls were metered at; `kind` is `prompt` or `completion`.",
            ("provider", "model", "kind"),
        )
        self._charged = Counter(
            "tollway_charged_usd_total", "What wallets paid.", ("provider", "model"), divisor=NANO_PER_USD
        )
        self._cost = Counter(
            "tollway_cost_usd_total", "What the provider is owed.", ("provider", "model"), divisor=NANO_PER_USD
        )

    def call_ended(self, record: CallRecord) -> None:
        waiting = self._waiting
        waiting.append(record)
        if len(waiting) >= WAITING_MAX:
            self._add_up()

    def collect(self) -> Iterator[Metric]:
        self._add_up()
        yield self._calls.family()
        yield self._durations.family()
        yield self._tokens.family()
        yield self._charged.family()
        yield self._cost.family()

    def _add_up(self) -> None:
        records, self._waiting = self._waiting, []
        alike: defaultdict[_Kind, list[CallRecord]] = defaultdict(list)
        for kind, record in zip(map(_kind, records), records, strict=True):
            alike[kind].append(record)
        for (ended, code, stream, provider, model), some in alike.items():
            self._calls.add((ended, code or ""), len(some))
            # Both times are the host's clock, which may have been set back in between.
            took = [max(0, one.ended_ms - one.created_ms) / 1000 for one in some]
            self._durations.observe_all(("stream",) if stream else ("batch",), took)
            used = [one for one in some if one.usage is not None]
            if used and provider is not None and model is not None:
                self._tokens.add((provider, model, "prompt"), sum(map(_prompt, used)))
                self._tokens.add((provider, model, "completion"), sum(map(_completion, used)))
                self._charged.add((provider, model), sum(map(_price, used)))
                self._cost.add((provider, model), sum(map(_cost, used)))
