"""Counting in integers, exported as prometheus-client's own families."""

from prometheus_client.metrics_core import Metric

from tollway.ops.tallies import Counter, Histogram


def samples(family: Metric) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for sample in family.samples}


def test_a_counter_adds_up_for_each_combination_of_label_values() -> None:
    counter = Counter("seen_total", "Seen.", ("colour", "shape"))
    counter.add(("red", "round"))
    counter.add(("red", "round"), 2)
    counter.add(("red", "flat"), 0)
    assert samples(counter.family()) == {("seen_total", "red", "round"): 3, ("seen_total", "red", "flat"): 0}


def test_a_sum_is_divided_once_and_loses_nothing_on_the_way() -> None:
    counter = Counter("paid_usd_total", "Paid.", ("who",), divisor=10**9)
    for _ in range(10):
        counter.add(("me",), 100_000_000)
    assert samples(counter.family()) == {("paid_usd_total", "me"): 1}


def test_what_has_no_labels_is_there_from_the_start() -> None:
    assert samples(Counter("seen_total", "Seen.", ()).family()) == {("seen_total",): 0}
    assert samples(Histogram("time_seconds", "Time.", (), (1,)).family()) == {
        ("time_seconds_bucket", "1.0"): 0,
        ("time_seconds_bucket", "+Inf"): 0,
        ("time_seconds_count",): 0,
        ("time_seconds_sum",): 0,
    }


def test_a_bucket_holds_what_is_at_or_below_its_bound() -> None:
    histogram = Histogram("time_seconds", "Time.", ("who",), (0.5, 1, 2))
    for value in (0.25, 0.5, 0.75, 2, 2.5):
        histogram.observe(("me",), value)
    assert samples(histogram.family()) == {
        ("time_seconds_bucket", "me", "0.5"): 2,
        ("time_seconds_bucket", "me", "1.0"): 3,
        ("time_seconds_bucket", "me", "2.0"): 4,
        ("time_seconds_bucket", "me", "+Inf"): 5,
        ("time_seconds_count", "me"): 5,
        ("time_seconds_sum", "me"): 6,
    }


def test_many_values_at_once_fall_where_each_would() -> None:
    one, other = (Histogram("time_seconds", "Time.", ("who",), (0.5, 1, 2)) for _ in range(2))
    for value in (0.25, 0.5, 0.75, 2, 2.5):
        one.observe(("me",), value)
    other.observe_all(("me",), [0.25, 0.5])
    other.observe_all(("me",), [0.75, 2, 2.5])
    assert samples(one.family()) == samples(other.family())
