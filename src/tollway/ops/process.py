"""What the process holds, for Prometheus: what has to come back to where it was when the load is over.

Asked at every collection; nothing is counted on the path of a call.
"""

import asyncio
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector


class Process(Collector):
    """`connections` and `provider_connections` are set by who has them: how many are open."""

    def __init__(self) -> None:
        self.connections: Callable[[], int] = lambda: 0
        self.provider_connections: Callable[[], int] = lambda: 0
        self._system = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "tollway_connections",
            "Connections of callers that are open, idle ones included.",
            value=self.connections(),
        )
        yield GaugeMetricFamily(
            "tollway_provider_connections",
            "Connections to providers that are open, idle ones included.",
            value=self.provider_connections(),
        )
        yield GaugeMetricFamily(
            "tollway_tasks",
            "Tasks of the event loop: a few of the router's own, and those of calls and connections.",
            value=_tasks(),
        )
        yield from self._system.collect()


def _tasks() -> int:
    """0 outside an event loop."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
