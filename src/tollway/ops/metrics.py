"""Observer that counts for Prometheus. docs/metrics.md has every metric, and a test that it does.

One a router, for its event loop alone: nothing here is locked, and nothing is registered for the whole process. Labels
are words of ours and ids of the configuration, never what a caller wrote, so their number has a bound.
"""

from collections.abc import Callable, Iterator

from prometheus_client import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tollway.domain.observer import Granted, Limited
from tollway.domain.recount import Recount, RecountOutcome
from tollway.ops.call_metrics import CallMetrics
from tollway.ops.process import Process
from tollway.ops.provider_metrics import Breakers, ProviderMetrics
from tollway.ops.tallies import Counter, Histogram

COMMIT_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

# Exported from the start: the increase from nothing to one would be none, and the first is the one to see.
ALARMS = (
    "batches_cut",
    "cluster_lost",
    "cluster_recovered",
    "config_reload_refused",
    "connections_full",
    "ledger_chores_failed",
    "ledger_commit_refused",
    "ledger_commit_unknown",
    "ledger_connection_lost",
    "ledger_fault",
    "ledger_lease_ended",
    "ledger_outcome_unknown",
    "ledger_read_failed",
    "ledger_recovered",
    "ledger_still_down",
    "provider_refuses_us",
    "usage_deviates",
    "usage_refused",
)


class Metrics(Collector):
    """domain.Observer. `calls_in_flight`, whether the last reload was refused, whether Valkey is lost and the breakers
    are asked for at every collection."""

    def __init__(
        self,
        calls_in_flight: Callable[[], int],
        config_refused: Callable[[], bool],
        cluster_lost: Callable[[], bool],
        breakers: Breakers = tuple,
    ) -> None:
        self._calls_in_flight = calls_in_flight
        self._config_refused = config_refused
        self._cluster_lost = cluster_lost
        self.process = Process()
        self._of_calls = CallMetrics()
        self._providers = ProviderMetrics(breakers)
        # What every call brings goes straight to whoever counts it.
        self.call_ended = self._of_calls.call_ended
        self.attempt_ended = self._providers.attempt_ended
        self._refusals = Counter(
            "tollway_refusals_total",
            "Requests answered with an error status. A batch call that failed is in `tollway_calls_total` as well.",
            ("code",),
        )
        self._limited = Counter(
            "tollway_limited_total",
            "Times that a limit held: a wallet or an address was refused, or a provider left out.",
            ("who", "kind", "provider"),
        )
        self._uncounted = Counter(
            "tollway_uncounted_total",
            "Times that something limited passed uncounted: Valkey was lost, and `cluster.limits_when_lost` is `open`.",
            ("who",),
        )
        self._recounts = Counter(
            "tollway_recounts_total",
            "Calls that were to be counted again by our own tokenizer, by what became of it.",
            ("provider", "outcome"),
        )
        self._recounted = Counter(
            "tollway_recounted_tokens_total",
            "The same tokens in both counts, of recounted calls that can be compared; `count` is `reported` or `own`.",
            ("provider", "kind", "count"),
        )
        self._commits = Histogram(
            "tollway_ledger_commit_seconds", "Time to make a batch of ledger commands durable.", (), COMMIT_BOUNDS_S
        )
        self._batches = Histogram(
            "tollway_ledger_commit_commands", "Ledger commands made durable together.", (), BATCH_BOUNDS
        )
        self._alarms = Counter(
            "tollway_alarms_total", "What the operator has to look at; the log has the details.", ("alarm",)
        )
        for name in ALARMS:
            self._alarms.add((name,), 0)

    # --- domain.Observer

    def request_refused(self, code: str, status: int, client: str) -> None:
        self._refusals.add((code,))

    def limited(self, who: Limited, kind: str, provider: str = "") -> None:
        self._limited.add((who, kind, provider))

    def uncounted(self, who: Limited) -> None:
        self._uncounted.add((who,))

    def retried(self, provider: str, budget: Granted) -> None:
        self._providers.retried(provider, budget)

    def recounted(self, provider: str, outcome: RecountOutcome, recount: Recount | None) -> None:
        self._recounts.add((provider, outcome))
        if recount is None:
            return
        for kind, compared in (("prompt", recount.prompt), ("completion", recount.completion)):
            if compared is not None:
                self._recounted.add((provider, kind, "reported"), compared.reported)
                self._recounted.add((provider, kind, "own"), compared.own)

    def committed(self, commands: int, seconds: float) -> None:
        self._commits.observe((), seconds)
        self._batches.observe((), commands)

    def alarm(self, what: str, detail: str) -> None:
        self._alarms.add((what,))

    # --- what a scrape is given

    def text(self) -> bytes:
        """Everything, in Prometheus' text format 0.0.4."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        yield from self._of_calls.collect()
        yield GaugeMetricFamily(
            "tollway_calls_in_flight",
            "Chat requests under way, those that are still arriving included.",
            value=self._calls_in_flight(),
        )
        yield from self._providers.collect()
        yield self._refusals.family()
        yield self._limited.family()
        yield self._uncounted.family()
        yield self._recounts.family()
        yield self._recounted.family()
        yield self._commits.family()
        yield self._batches.family()
        yield self._alarms.family()
        yield GaugeMetricFamily(
            "tollway_config_refused",
            "1 after a reload that was refused, until one is accepted; else 0.",
            value=int(self._config_refused()),
        )
        yield GaugeMetricFamily(
            "tollway_cluster_lost",
            "1 while the Valkey that replicas share can't be asked; else 0.",
            value=int(self._cluster_lost()),
        )
        yield from self.process.collect()
