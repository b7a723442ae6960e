import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.routes import candidate, catalog
from tollway.domain.answer import AttemptRecord, Outcome
from tollway.domain.call import Percentiles
from tollway.domain.plan import Performance
from tollway.routing.breaker import TROUBLE_S
from tollway.routing.health import (
    MEASURED_S,
    WINDOW_ATTEMPTS_MAX,
    WINDOW_S,
    Health,
    Spread,
    Stats,
)

KEY = "a:acme/m"


class Time:
    """A clock that moves when told. The wall clock is nobody's business here."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        raise AssertionError("health reads durations only")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def health(time: Time) -> Health:
    return Health(time)


def ended(outcome: Outcome, provider: str = "a", model: str = "acme/m", **facts: float | int) -> AttemptRecord:
    return AttemptRecord(provider=provider, model=model, outcome=outcome, **facts)


# --- statistics

NOTHING = Stats(status="unknown", attempts=0, uptime=None, first_token_ms=None, tokens_per_s=None)


def test_of_a_provider_or_model_never_tried_nothing_is_known(health: Health) -> None:
    assert health.stats("a") == health.stats("a", "acme/m") == NOTHING
    assert health.status("a", "acme/m") == "unknown"
    health.observe(ended("ok"))
    assert health.stats("a", "acme/n") == NOTHING


def test_uptime_is_what_succeeded_of_what_succeeded_or_failed_by_the_provider(health: Health) -> None:
    for outcome in ("ok", "ok", "ok", "cut", "rejected", "cancelled"):
        health.observe(ended(outcome))
    stats = health.stats("a", "acme/m")
    assert (stats.uptime, stats.attempts) == (0.75, 6)


def test_what_says_nothing_of_the_provider_leaves_its_status_unknown(health: Health) -> None:
    health.observe(ended("rejected", first_token_ms=3.0))
    stats = health.stats("a")
    assert (stats.status, stats.uptime, stats.attempts) == ("unknown", None, 1)


def test_percentiles_are_by_nearest_rank(health: Health) -> None:
    for n in range(100, 0, -1):
        health.observe(ended("ok", first_token_ms=float(n), tokens_per_s=n * 2.0))
    stats = health.stats("a", "acme/m")
    assert stats.first_token_ms == Spread(p50=50.0, p75=75.0, p90=90.0, p99=99.0)
    assert stats.tokens_per_s == Spread(p50=100.0, p75=150.0, p90=180.0, p99=198.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_are_values_that_were_seen_and_grow(values: list[float]) -> None:
    health = Health(Time())
    for value in values:
        health.observe(ended("ok", first_token_ms=value))
    spread = health.stats("a").first_token_ms
    assert spread is not None
    assert min(values) <= spread.p50 <= spread.p90 <= spread.p99 <= max(values)
    assert {spread.p50, spread.p90, spread.p99} <= set(values)


def test_a_provider_is_all_of_its_models_together(health: Health) -> None:
    health.observe(ended("ok", first_token_ms=1.0))
    health.observe(ended("cut", model="acme/n", first_token_ms=3.0))
    stats = health.stats("a")
    assert (stats.attempts, stats.uptime) == (2, 0.5)
    assert stats.first_token_ms == Spread(p50=1.0, p75=3.0, p90=3.0, p99=3.0)


def test_attempts_older_than_the_window_are_forgotten(health: Health, time: Time) -> None:
    health.observe(ended("server_error"))
    time.seconds += WINDOW_S
    assert health.stats("a").attempts == 1
    time.seconds += 0.001
    assert health.stats("a") == NOTHING


def test_the_window_holds_so_many_attempts_and_no_more(health: Health) -> None:
    health.observe(ended("server_error"))
    for _ in range(WINDOW_ATTEMPTS_MAX):
        health.observe(ended("ok"))
    stats = health.stats("a")
    assert (stats.attempts, stats.uptime) == (WINDOW_ATTEMPTS_MAX, 1.0)


# --- status


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["ok"], "ok"),
        (["rejected", "cancelled"], "unknown"),
        (["cut"], "degraded"),
        (["cut", "cut"], "degraded"),
        (["cut", "cut", "cut"], "down"),
        (["cut", "rejected", "cut", "cancelled", "cut"], "down"),
        (["ok"] * 97 + ["cut"] * 3, "down"),
        (["ok"] * 98 + ["cut"] * 2, "ok"),
        (["ok"] * 18 + ["cut"] * 2, "degraded"),
        (["cut"] * 5 + ["ok"] * 95, "ok"),
        (["cut"] * 6 + ["ok"] * 94, "degraded"),
    ],
)
def test_a_status_follows_from_the_newest_attempts_and_the_uptime(
    health: Health, outcomes: list[Outcome], status: str
) -> None:
    for outcome in outcomes:
        health.observe(ended(outcome))
    assert health.stats("a", "acme/m").status == health.status("a", "acme/m") == status


def test_a_lone_fault_degrades_until_an_answer_comes(health: Health, time: Time) -> None:
    for _ in range(99):
        health.observe(ended("ok"))
    time.seconds += TROUBLE_S + 1
    health.observe(ended("cut"))
    assert health.stats("a").status == "degraded"
    time.seconds += TROUBLE_S
    assert health.stats("a").status == "degraded"
    health.observe(ended("ok"))
    assert health.stats("a").status == "ok"


def test_who_is_at_work_and_fails_one_call_in_a_hundred_is_well(health: Health) -> None:
    for _ in range(99):
        health.observe(ended("ok"))
    health.observe(ended("cut"))
    assert health.stats("a").status == health.status("a", "acme/m") == "ok"


@pytest.mark.parametrize(
    ("m", "n", "status"),
    [
        (["ok"], [], "ok"),
        (["ok"], ["cancelled"], "ok"),
        (["ok"], ["cut"], "degraded"),
        (["ok"], ["cut"] * 3, "degraded"),
        (["cut"] * 3, ["cut"] * 3, "down"),
        (["cancelled"], ["cancelled"], "unknown"),
    ],
)
def test_a_provider_is_what_its_known_models_agree_on_else_degraded(
    health: Health, m: list[Outcome], n: list[Outcome], status: str
) -> None:
    for model, outcomes in (("m", m), ("n", n)):
        for outcome in outcomes:
            health.observe(ended(outcome, model=model))
    assert health.stats("a").status == status


# --- a new configuration


def test_what_a_new_catalog_dropped_is_forgotten_and_the_rest_kept(health: Health) -> None:
    for provider, model in (("a", "acme/m"), ("a", "acme/n"), ("b", "acme/m")):
        health.observe(ended("cut", provider, model))
    health.retain(catalog(candidate("a")).keys)
    assert health.stats("a").attempts == 1
    assert health.stats("b") == NOTHING
    view = health.view()
    assert [view.get(key) for key in (KEY, "a:acme/n", "b:acme/m")] == ["troubled", None, None]
    health.observe(ended("ok"))
    assert health.view().get(KEY) is None


def test_how_fast_a_model_is_comes_from_its_streams_and_is_worked_out_once_a_second(health: Health, time: Time) -> None:
    assert health.performance("a", "acme/m") is None
    health.observe(ended("ok"))
    assert health.performance("a", "acme/m") is None
    for n in range(1, 101):
        health.observe(ended("ok", first_token_ms=n * 10.0, tokens_per_s=float(n)))
    assert health.performance("a", "acme/m") is None
    time.seconds += MEASURED_S
    assert health.performance("a", "acme/m") == Performance(
        latency_s=Percentiles(p50=0.5, p75=0.75, p90=0.9, p99=0.99),
        tokens_per_s=Percentiles(p50=50.0, p75=75.0, p90=90.0, p99=99.0),
    )


def test_a_model_that_was_measured_in_one_way_only_has_only_that(health: Health) -> None:
    health.observe(ended("ok", first_token_ms=500.0))
    found = health.performance("a", "acme/m")
    assert found is not None
    assert (found.latency_s.p50, found.tokens_per_s) == (0.5, Percentiles())
