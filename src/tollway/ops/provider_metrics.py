"""What is counted of providers: tries, their first tokens, what the retry budgets said; and their breakers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from tollway.domain.answer import AttemptRecord
from tollway.domain.observer import Granted
from tollway.ops.tallies import Counter, Histogram

FIRST_TOKEN_BOUNDS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60)

STATES: Mapping[str, int] = MappingProxyType({"closed": 0, "half_open": 1, "open": 2})

Breakers = Callable[[], Iterable[tuple[str, str, str]]]  # provider, model, and a word of STATES


class ProviderMetrics:
    """A part of ops.metrics.Metrics. `breakers` are asked for at every collection."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers
        self._attempts = Counter(
            "tollway_attempts_total", "Tries at a provider, by how they ended.", ("provider", "outcome")
        )
        self._first_tokens = Histogram(
            "tollway_first_token_seconds",
            "From asking a provider to the first token of its stream.",
            ("provider",),
            FIRST_TOKEN_BOUNDS_S,
        )
        self._retries = Counter(
            "tollway_retries_total",
            "Times that a provider was to be asked once more for the same call; `budget` is `granted` or `refused`.",
            ("provider", "budget"),
        )

    def attempt_ended(self, attempt: AttemptRecord, detail: str) -> None:
        self._attempts.counts[attempt.provider, attempt.outcome] += 1
        if attempt.first_token_ms is not None:
            self._first_tokens.observe((attempt.provider,), attempt.first_token_ms / 1000)

    def retried(self, provider: str, budget: Granted) -> None:
        self._retries.add((provider, budget))

    def collect(self) -> Iterator[Metric]:
        yield self._attempts.family()
        yield self._first_tokens.family()
        yield self._retries.family()
        states = GaugeMetricFamily(
            "tollway_breaker_state",
            "Of a provider's model: 0 closed, it serves; 1 half open, one call at a time tries it; 2 open, asked last.",
            labels=("provider", "model"),
        )
        for provider, model, state in self._breakers():
            states.add_metric((provider, model), STATES[state])
        yield states
