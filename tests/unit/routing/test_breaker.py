"""What opens a breaker, what closes it, and who is its probe: attempts are told, time passes when a test says so."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.routes import call, candidate, catalog
from tollway.domain.answer import AttemptRecord, Outcome
from tollway.domain.plan import Plan
from tollway.routing.breaker import (
    CLAIM_S,
    COOLDOWN_S_MAX,
    IN_THE_MIDDLE,
    OPEN_IN_A_ROW,
    OPEN_SHARE,
    PROBE_S,
    PROBE_S_MAX,
    SILENT,
    TROUBLE_S,
)
from tollway.routing.breakers import Probe
from tollway.routing.health import FAULTS, OF_A_MODEL, WIDE, Health

KEY = "a:acme/m"
OF_ONE_MODEL = sorted(FAULTS - WIDE)
AT_ONCE = {"rate_limited"}
THREE = catalog(candidate("a", usd=0), candidate("b", usd=50), candidate("c", usd=50))
# What says nothing of a provider: the caller's doing, or ours.
NEUTRAL: list[Outcome] = ["rejected", "too_large", "inexpressible", "at_limit", "stale_connection", "cancelled"]


class Bench:
    """A Health, and a clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.health = Health(self)

    def monotonic(self) -> float:
        return self.now

    def now_ms(self) -> int:
        raise AssertionError("health reads durations only")

    def saw(self, outcome: Outcome, provider: str = "a", model: str = "acme/m", **facts: float) -> None:
        """An attempt that ends now; it took no time unless `duration_ms` says so."""
        facts = {"duration_ms": 0.0, **facts}
        self.health.observe(AttemptRecord(provider=provider, model=model, outcome=outcome, **facts))  # type: ignore[arg-type]

    def standing(self, key: str = KEY) -> str | None:
        return self.health.view().get(key)

    def planned(self, order: Sequence[str] = ()) -> Plan:
        """Of THREE, of which `a` comes first by its price."""
        return self.health.planned(call(order=order), THREE, seed=1)

    def first(self) -> str:
        return self.planned().candidates[0].provider


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- what opens it


@pytest.mark.parametrize("outcome", sorted(FAULTS))
def test_where_little_was_seen_the_first_fault_opens_it(bench: Bench, outcome: Outcome) -> None:
    assert bench.health.state("a", "acme/m") == "closed"
    bench.saw(outcome)
    assert bench.standing() == "troubled"
    assert bench.health.state("a", "acme/m") == "open"
    assert bench.first() != "a"


@pytest.mark.parametrize("outcome", ["ok", *NEUTRAL])
def test_what_is_not_the_providers_fault_opens_nothing(bench: Bench, outcome: Outcome) -> None:
    for _ in range(20):
        bench.saw(outcome)
    assert bench.standing() is None
    assert bench.planned().candidates[0].provider == "a"


@pytest.mark.parametrize("outcome", sorted(FAULTS - AT_ONCE))
def test_where_much_was_seen_a_share_of_faults_opens_it(bench: Bench, outcome: Outcome) -> None:
    for _ in range(3 * (OPEN_SHARE - 1) + 1):
        bench.saw("ok")
    bench.saw(outcome)
    bench.saw("ok")
    bench.saw(outcome)
    assert bench.standing() is None
    bench.saw("cancelled")  # says nothing, and so doesn't thin the share
    bench.saw(outcome)
    bench.saw("ok")
    bench.saw(outcome)
    assert bench.standing() == "troubled"


@pytest.mark.parametrize("outcome", sorted(FAULTS - AT_ONCE))
def test_so_do_some_in_a_row_however_much_was_well_before(bench: Bench, outcome: Outcome) -> None:
    for _ in range(400):
        bench.saw("ok")
    for _ in range(OPEN_IN_A_ROW - 1):
        bench.saw(outcome)
    assert bench.standing() is None
    bench.saw("rejected")
    bench.saw(outcome)
    assert bench.standing() == "troubled"


def test_only_the_last_thirty_seconds_count(bench: Bench) -> None:
    for _ in range(100):
        bench.saw("ok")
    bench.now += TROUBLE_S
    bench.saw("cut")
    assert bench.standing() is None
    bench.now += 0.001
    bench.saw("cut")
    assert bench.standing() == "troubled"


def test_a_provider_that_says_it_is_too_much_is_believed_at_once(bench: Bench) -> None:
    for _ in range(100):
        bench.saw("ok")
        bench.saw("ok", "b")
    bench.saw("rate_limited")
    bench.saw("overloaded", "b", retry_after_ms=5_000)
    assert (bench.standing(), bench.standing("b:acme/m")) == ("troubled", "cooling")


@pytest.mark.parametrize("outcome", OF_ONE_MODEL)
def test_a_fault_of_one_model_leaves_the_others_of_its_provider_alone(bench: Bench, outcome: Outcome) -> None:
    bench.saw(outcome)
    assert (bench.standing("a:acme/n"), bench.standing("b:acme/m")) == (None, None)


@pytest.mark.parametrize("status", OF_A_MODEL)
def test_a_refusal_may_be_about_one_model(bench: Bench, status: int) -> None:
    bench.saw("refused_by_provider", status=status)
    assert (bench.standing(), bench.standing("a:acme/n")) == ("troubled", None)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("connect_failed", None), *[("refused_by_provider", status) for status in (401, 402, 429)]],
)
def test_no_connection_and_a_refusal_of_our_key_concern_all_models_of_a_provider(
    bench: Bench, outcome: Outcome, status: int | None
) -> None:
    bench.saw("ok", model="acme/n")
    bench.saw(outcome, **({} if status is None else {"status": status}))
    assert [bench.standing(key) for key in (KEY, "a:acme/n", "a:never/asked")] == ["troubled"] * 3
    assert bench.standing("b:acme/m") is None
    assert bench.health.state("a", "acme/n") == "open"
    assert {(p, m): s for p, m, s in bench.health.states()} == {
        ("a", "acme/m"): "open",
        ("a", "acme/n"): "open",
    }


def test_of_a_whole_provider_the_attempts_of_all_its_models_count(bench: Bench) -> None:
    for _ in range(20):
        bench.saw("ok", model="acme/n")
    bench.saw("connect_failed")
    assert bench.standing() is None
    bench.saw("server_error", model="acme/n")  # somebody was there to say so
    bench.saw("connect_failed")
    assert bench.standing("a:acme/m") is None
    bench.saw("connect_failed", model="acme/n")
    assert bench.standing("a:acme/m") == "troubled"


# --- the probe


def test_after_a_second_one_call_at_a_time_is_the_probe_and_the_others_go_elsewhere(bench: Bench) -> None:
    bench.saw("server_error")
    bench.now += PROBE_S - 0.001
    assert bench.first() != "a"
    bench.now += 0.001
    assert bench.health.state("a", "acme/m") == "half_open"
    assert (bench.standing(), bench.first()) == ("probing", "a")
    assert [bench.first() == "a" for _ in range(50)] == [False] * 50
    probe = bench.health.enter("a", "acme/m")
    assert probe is not None
    bench.now += 60
    assert bench.first() != "a"
    probe.over()
    probe.over()
    assert bench.first() == "a"


def test_a_plan_says_who_is_the_probe_and_who_found_it_taken(bench: Bench) -> None:
    bench.saw("server_error")
    bench.now += PROBE_S
    made = [{v.candidate: (v.rank, v.standing, v.note) for v in bench.planned().verdicts}[KEY] for _ in range(2)]
    assert made == [(1, "probing", "probing"), (3, "troubled", "troubled")]


def test_a_probe_that_never_comes_blocks_the_next_for_a_moment_only(bench: Bench) -> None:
    bench.saw("server_error")
    bench.now += PROBE_S
    assert bench.first() == "a"
    bench.now += CLAIM_S - 0.001
    assert bench.first() != "a"
    bench.now += 0.001
    assert bench.first() == "a"


def test_who_could_be_probed_but_would_not_be_first_is_left_at_the_back(bench: Bench) -> None:
    """A failover must not be what many calls probe somebody with."""
    bench.saw("server_error", "b")
    bench.now += PROBE_S
    made = bench.planned()
    assert [c.provider for c in made.candidates] == ["a", "c", "b"]
    assert bench.standing("b:acme/m") == "probing"


def test_of_two_that_could_be_probed_a_call_probes_the_first(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.saw("server_error", name)
    bench.now += PROBE_S
    assert bench.first() == "a"
    second = bench.planned().candidates
    assert second[0].provider in ("b", "c")
    assert second[2].provider == "a" or bench.standing() == "troubled"
    third = bench.planned()
    assert third.candidates[0].provider not in (second[0].provider, "a")
    last = bench.planned()
    assert last.candidates[0].provider == "a", "when all are in trouble they are asked in their ordinary order"


def test_what_the_caller_orders_is_asked_whatever_its_breaker_says(bench: Bench) -> None:
    bench.saw("server_error")
    assert [bench.planned(["a"]).candidates[0].provider for _ in range(3)] == ["a"] * 3


def test_an_attempt_at_somebody_in_trouble_is_a_probe_also_where_no_plan_said_so(bench: Bench) -> None:
    bench.saw("server_error")
    probe = bench.health.enter("a", "acme/m")
    assert probe is not None
    bench.now += PROBE_S
    assert bench.standing() == "troubled"
    probe.over()
    assert bench.standing() == "probing"


def test_an_attempt_at_somebody_who_is_well_is_none(bench: Bench) -> None:
    assert bench.health.enter("a", "acme/m") is None
    bench.saw("server_error")
    assert bench.health.enter("b", "acme/m") is None


def test_each_probe_that_fails_doubles_the_wait_up_to_a_limit(bench: Bench) -> None:
    bench.saw("server_error")
    waits = []
    for _ in range(5):
        began = bench.now
        while bench.standing() != "probing":
            bench.now += 0.25
        waits.append(bench.now - began)
        bench.saw("server_error")
    assert waits == [1, 2, 4, PROBE_S_MAX, PROBE_S_MAX]


@pytest.mark.parametrize("outcome", sorted(SILENT))
@pytest.mark.parametrize(("silent_s", "wait_s"), [(0.5, 2.0), (12.0, 12.0), (600.0, TROUBLE_S)])
def test_a_probe_that_met_silence_is_followed_by_a_wait_as_long(
    bench: Bench, outcome: Outcome, silent_s: float, wait_s: float
) -> None:
    bench.saw(outcome)
    bench.now += PROBE_S + silent_s
    bench.saw(outcome, duration_ms=silent_s * 1000)
    bench.now += wait_s - 0.001
    assert bench.standing() == "troubled"
    bench.now += 0.001
    assert bench.standing() == "probing"


@pytest.mark.parametrize("outcome", NEUTRAL)
def test_a_probe_that_ended_otherwise_leaves_its_place_to_the_next(bench: Bench, outcome: Outcome) -> None:
    bench.saw("overloaded")
    bench.now += PROBE_S
    assert bench.first() == "a"
    probe = bench.health.enter("a", "acme/m")
    assert probe is not None
    bench.now += 1
    probe.over()
    bench.saw(outcome, duration_ms=1)
    assert (bench.standing(), bench.first()) == ("probing", "a")


# --- what closes it


@pytest.mark.parametrize("outcome", sorted(FAULTS))
def test_a_whole_answer_closes_it(bench: Bench, outcome: Outcome) -> None:
    bench.saw(outcome)
    bench.now += 2
    bench.saw("ok", duration_ms=1_500)
    assert (bench.standing(), bench.health.state("a", "acme/m")) == (None, "closed")


@pytest.mark.parametrize("outcome", sorted(FAULTS))
def test_a_first_token_closes_it_unless_it_broke_in_the_middle(bench: Bench, outcome: Outcome) -> None:
    bench.saw(outcome)
    bench.now += PROBE_S
    probe = bench.health.enter("a", "acme/m")
    assert probe is not None
    bench.now += 0.2
    probe.answered()
    assert bench.health.state("a", "acme/m") == ("half_open" if outcome in IN_THE_MIDDLE else "closed")
    probe.over()
    bench.saw("ok", duration_ms=150)
    assert bench.standing() is None


def test_what_broke_in_the_middle_once_has_to_be_whole_however_the_probes_fail(bench: Bench) -> None:
    for outcome in ("server_error", "cut", "server_error"):
        bench.saw(outcome)  # type: ignore[arg-type]
        bench.now += PROBE_S_MAX
    probe = bench.health.enter("a", "acme/m")
    assert probe is not None
    probe.answered()
    assert bench.health.state("a", "acme/m") == "half_open"


def test_an_attempt_that_was_under_way_before_says_nothing(bench: Bench) -> None:
    bench.saw("server_error")
    bench.now += 2
    bench.saw("ok", duration_ms=2_500)
    bench.saw("server_error", duration_ms=2_500)
    assert bench.standing() == "probing"


def test_silence_from_before_the_answer_that_closed_it_opens_nothing_again(bench: Bench) -> None:
    bench.saw("first_byte_timeout", duration_ms=60_000)
    bench.now += 10
    bench.saw("ok", duration_ms=1_000)
    for _ in range(10):
        bench.now += 1
        bench.saw("first_byte_timeout", duration_ms=60_000)
    assert bench.standing() is None
    bench.saw("first_byte_timeout", duration_ms=5_000)
    assert bench.standing() == "troubled"


@pytest.mark.parametrize("outcome", ["server_error", "rejected", "overloaded", "cut"])
def test_whoever_is_reached_and_takes_our_key_is_back_as_a_provider(bench: Bench, outcome: Outcome) -> None:
    bench.saw("connect_failed")
    bench.now += PROBE_S
    bench.saw(outcome)
    assert bench.standing("a:acme/n") is None


@pytest.mark.parametrize("outcome", ["first_byte_timeout", "refused_by_provider", "cancelled"])
def test_who_says_nothing_of_that_is_not(bench: Bench, outcome: Outcome) -> None:
    bench.saw("connect_failed")
    bench.now += PROBE_S
    bench.saw(outcome)
    assert bench.standing("a:acme/n") is not None


def test_one_that_opens_again_soon_waits_longer_and_after_a_while_does_not(bench: Bench) -> None:
    waits = []
    for pause in (1.0, 1.0, TROUBLE_S):
        bench.saw("server_error")
        began = bench.now
        while bench.standing() != "probing":
            bench.now += 0.25
        waits.append(bench.now - began)
        bench.saw("ok")
        bench.now += pause
    bench.saw("server_error")
    bench.now += PROBE_S
    assert (waits, bench.standing()) == ([1, 2, 4], "probing")


# --- cooling down


@pytest.mark.parametrize("outcome", ["rate_limited", "overloaded"])
def test_retry_after_is_waited_out_and_then_it_is_probed(bench: Bench, outcome: Outcome) -> None:
    bench.saw(outcome, retry_after_ms=90_000)
    bench.now += 89.9
    assert (bench.standing(), bench.health.state("a", "acme/m")) == ("cooling", "open")
    bench.now += 0.1
    assert (bench.standing(), bench.health.state("a", "acme/m")) == ("probing", "half_open")


def test_a_cooldown_shorter_than_the_wait_shortens_nothing(bench: Bench) -> None:
    bench.saw("rate_limited", retry_after_ms=100)
    bench.now += 0.1
    assert bench.standing() == "troubled"


def test_a_cooldown_is_bounded(bench: Bench) -> None:
    bench.saw("rate_limited", retry_after_ms=10**12)
    bench.now += COOLDOWN_S_MAX - 0.1
    assert bench.standing() == "cooling"
    bench.now += 0.1
    assert bench.standing() == "probing"


def test_the_longest_cooldown_stands(bench: Bench) -> None:
    bench.saw("rate_limited", retry_after_ms=60_000)
    bench.saw("rate_limited", retry_after_ms=1_000)
    bench.saw("rate_limited")
    bench.now += 40
    assert bench.standing() == "cooling"


def test_retry_after_on_anything_but_a_429_or_503_is_not_a_cooldown(bench: Bench) -> None:
    bench.saw("refused_by_provider", retry_after_ms=60_000)
    assert bench.standing() == "troubled"


def test_a_success_after_it_ends_a_cooldown(bench: Bench) -> None:
    bench.saw("rate_limited", retry_after_ms=60_000)
    bench.now += 1
    bench.saw("ok", duration_ms=500)
    assert bench.standing() is None


def test_a_plan_puts_whoever_is_not_well_at_the_back_until_it_answers(bench: Bench) -> None:
    bench.saw("rate_limited", retry_after_ms=5_000)
    bench.saw("cut", "b")
    assert [c.provider for c in bench.planned().candidates] == ["c", "b", "a"]
    bench.now += 1
    bench.saw("ok", duration_ms=10)
    assert bench.first() == "a"


def test_what_a_new_configuration_dropped_is_forgotten_and_the_rest_kept(bench: Bench) -> None:
    bench.saw("connect_failed")
    bench.saw("connect_failed", "b")
    bench.saw("connect_failed", "b", "acme/n")
    bench.health.retain({"b:acme/m"})
    assert [bench.standing(key) for key in (KEY, "b:acme/m", "a:acme/n")] == [None, "troubled", None]
    bench.health.retain({"a:acme/m"})
    assert bench.standing("b:acme/m") is None


# --- in any order

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 2.5, 6.0, 40.0])),
        st.tuples(st.just("fault"), st.sampled_from(OF_ONE_MODEL)),
        st.tuples(st.sampled_from(["plan", "plan", "begin", "over", "neutral", "ok"]), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_in_any_order_one_call_at_a_time_is_the_probe_and_an_answer_closes_it(steps: list[tuple[str, Any]]) -> None:
    bench = Bench()
    under_way: list[Probe] = []
    claimed_until = 0.0
    for step, what in steps:
        state = bench.health.state("a", "acme/m")
        if step == "wait":
            bench.now += what
        elif step == "fault":
            bench.saw(what)
            assert state == "closed" or bench.health.state("a", "acme/m") == "open"
        elif step == "plan" and bench.first() == "a" and state != "closed":
            assert state == "half_open"
            assert (under_way, bench.now >= claimed_until) == ([], True)
            claimed_until = bench.now + CLAIM_S
        elif step == "begin" and (probe := bench.health.enter("a", "acme/m")) is not None:
            under_way.append(probe)
            claimed_until = 0.0
        elif step == "over" and under_way:
            under_way.pop().over()
        elif step == "neutral":
            bench.saw("rejected")
            assert bench.health.state("a", "acme/m") == state
        elif step == "ok":
            bench.saw("ok")
            assert (bench.health.state("a", "acme/m"), bench.first()) == ("closed", "a")
            under_way, claimed_until = [], 0.0
