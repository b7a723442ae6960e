"""Ended calls are added up many at a time, and whoever asks gets the sums of every one."""

import sys
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from helpers.ledgers import record
from tollway.domain.record import CallRecord
from tollway.domain.usage import Usage
from tollway.ops.call_metrics import CALL_BOUNDS_S, WAITING_MAX, CallMetrics


def samples(metrics: CallMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def one_by_one(calls: list[CallRecord]) -> dict[tuple[str, ...], float]:
    """The same, written down as the metrics are described."""
    counts: Counter[tuple[str, ...]] = Counter()
    for call in calls:
        counts["tollway_calls_total", call.ended, call.error_code or ""] += 1
        mode, took_ms = "stream" if call.stream else "batch", max(0, call.ended_ms - call.created_ms)
        counts["tollway_call_duration_seconds_sum", mode] += took_ms
        counts["tollway_call_duration_seconds_count", mode] += 1
        counts["tollway_call_duration_seconds_bucket", mode, "+Inf"] += 1
        for bound in CALL_BOUNDS_S:
            counts["tollway_call_duration_seconds_bucket", mode, str(float(bound))] += took_ms <= bound * 1000
        if call.usage is not None and call.provider is not None and call.model is not None:
            served = (call.provider, call.model)
            counts["tollway_tokens_total", *served, "prompt"] += call.usage.prompt
            counts["tollway_tokens_total", *served, "completion"] += call.usage.completion
            counts["tollway_charged_usd_total", *served] += call.price
            counts["tollway_cost_usd_total", *served] += call.cost
    units = {"tollway_call_duration_seconds_sum": 1e3, "tollway_charged_usd_total": 1e9, "tollway_cost_usd_total": 1e9}
    return {key: count / units.get(key[0], 1) for key, count in counts.items()}


def rounded(found: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Times are sums of fractions, which come out a little different in another order."""
    return {key: round(value, 6) if "seconds" in key[0] else value for key, value in found.items()}


calls = st.builds(
    record,
    id=st.just("call-1"),
    created_ms=st.integers(0, 2_000),
    ended_ms=st.integers(0, 2_000_000),
    stream=st.booleans(),
    ended=st.sampled_from(["complete", "provider_failed", "client_left"]),
    error_code=st.sampled_from([None, "provider_timeout"]),
    provider=st.sampled_from([None, "p", "q"]),
    model=st.sampled_from([None, "m", "n"]),
    usage=st.none() | st.builds(Usage, prompt=st.integers(0, 9), completion=st.integers(0, 9)),
    price=st.integers(0, 10**12),
    cost=st.integers(0, 10**12),
)


@given(st.lists(calls, max_size=20), st.lists(calls, max_size=20))
def test_added_up_together_they_come_to_what_each_comes_to(first: list[CallRecord], more: list[CallRecord]) -> None:
    metrics = CallMetrics()
    for call in first:
        metrics.call_ended(call)
    assert rounded(samples(metrics)) == rounded(one_by_one(first))
    for call in more:
        metrics.call_ended(call)
    assert rounded(samples(metrics)) == rounded(one_by_one(first + more))


def test_few_are_kept_until_they_are_added_up() -> None:
    metrics = CallMetrics()

    def told(**fields: Any) -> CallRecord:
        call = record("call-1", **fields)
        metrics.call_ended(call)
        return call

    first = told()
    kept = sys.getrefcount(first)
    for _ in range(WAITING_MAX - 2):
        told()
    assert sys.getrefcount(first) == kept
    last = told()
    assert sys.getrefcount(first) == kept - 1 == sys.getrefcount(last)
    assert samples(metrics)["tollway_calls_total", first.ended, ""] == WAITING_MAX
