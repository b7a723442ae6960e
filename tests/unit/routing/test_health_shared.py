"""What replicas tell each other of providers, and what each makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.answer import AttemptRecord, Outcome
from tollway.domain.hint import Hint
from tollway.routing.breaker import COOLDOWN_S_MAX, PROBE_S, TROUBLE_S
from tollway.routing.health import Health

KEY = "p:p/m"


class Time:
    def __init__(self, now: float) -> None:
        self.now = now

    def now_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.now


class Replica:
    """One process, whose clock began whenever it did."""

    def __init__(self, began: float) -> None:
        self.time = Time(began)
        self.health = Health(self.time)

    def sees(self, outcome: Outcome, *, took_s: float = 0.0, retry_after_ms: int | None = None) -> None:
        self.health.observe(
            AttemptRecord(
                provider="p",
                model="p/m",
                outcome=outcome,
                duration_ms=took_s * 1000,
                retry_after_ms=retry_after_ms,
            )
        )

    @property
    def standing(self) -> str | None:
        return self.health.view().get(KEY)


@pytest.fixture
def replicas() -> list[Replica]:
    return [Replica(0.0), Replica(5_000.0), Replica(900.0)]


def pass_time(replicas: list[Replica], seconds: float) -> None:
    for replica in replicas:
        replica.time.now += seconds


def share(replicas: list[Replica]) -> None:
    """Each tells, then each hears all others."""
    told = [replica.health.told() for replica in replicas]
    for i, replica in enumerate(replicas):
        replica.health.learn([hint for j, hints in enumerate(told) if j != i for hint in hints])


def standings(replicas: list[Replica]) -> list[str | None]:
    return [replica.standing for replica in replicas]


def test_where_nobody_saw_anything_nothing_is_told(replicas: list[Replica]) -> None:
    replicas[0].sees("ok")
    assert replicas[0].health.told() == []


def test_what_one_had_trouble_with_goes_to_the_back_everywhere_for_as_long_as_there(replicas: list[Replica]) -> None:
    replicas[0].sees("server_error")
    pass_time(replicas, PROBE_S / 2)
    share(replicas)
    assert standings(replicas) == ["troubled"] * 3
    pass_time(replicas, TROUBLE_S - PROBE_S)
    assert standings(replicas) == ["probing", "troubled", "troubled"]
    pass_time(replicas, PROBE_S / 2)
    assert standings(replicas) == ["probing", None, None]


def test_a_retry_after_holds_everywhere(replicas: list[Replica]) -> None:
    replicas[1].sees("rate_limited", retry_after_ms=50_000)
    pass_time(replicas, 10)
    share(replicas)
    pass_time(replicas, 39)
    assert standings(replicas) == ["cooling"] * 3
    pass_time(replicas, 2)
    assert standings(replicas) == [None, "probing", None]


def test_what_was_heard_does_not_come_back_as_news(replicas: list[Replica]) -> None:
    replicas[0].sees("server_error")
    for _ in range(round(TROUBLE_S)):
        share(replicas)
        assert replicas[1].health.told() == replicas[2].health.told() == []
        pass_time(replicas, 1)
    share(replicas)
    assert standings(replicas) == ["probing", None, None]


@pytest.mark.parametrize("prober", [0, 1])
def test_trouble_ends_everywhere_when_an_attempt_that_began_after_it_succeeds_anywhere(
    replicas: list[Replica], prober: int
) -> None:
    replicas[0].sees("overloaded", retry_after_ms=500_000)
    pass_time(replicas, 5)
    share(replicas)
    replicas[prober].sees("ok", took_s=1)
    share(replicas)
    assert standings(replicas) == [None] * 3
    share(replicas)
    assert standings(replicas) == [None] * 3
    assert replicas[2].health.told() == []


def test_an_attempt_that_began_before_the_trouble_says_nothing_about_it(replicas: list[Replica]) -> None:
    replicas[0].sees("server_error")
    pass_time(replicas, 1)
    share(replicas)
    replicas[1].sees("ok", took_s=2)
    share(replicas)
    assert standings(replicas) == ["probing", "troubled", "troubled"]


def test_trouble_after_a_good_end_is_trouble_again(replicas: list[Replica]) -> None:
    replicas[0].sees("server_error")
    share(replicas)
    pass_time(replicas, 1)
    replicas[1].sees("ok")
    pass_time(replicas, 1)
    replicas[0].sees("server_error")
    share(replicas)
    assert standings(replicas) == ["troubled"] * 3


def test_of_several_who_had_trouble_the_latest_and_the_longest_count(replicas: list[Replica]) -> None:
    replicas[0].sees("rate_limited", retry_after_ms=40_000)
    pass_time(replicas, 20)
    replicas[1].sees("server_error")
    share(replicas)
    pass_time(replicas, 19)
    assert replicas[2].standing == "cooling"
    pass_time(replicas, 2)
    assert replicas[2].standing == "troubled"


def test_who_is_heard_to_be_in_trouble_is_degraded_where_it_did_well() -> None:
    replica = Replica(0.0)
    replica.sees("ok")
    assert replica.health.status("p", "p/m") == "ok"
    replica.health.learn([Hint(KEY, troubled_s=1.0)])
    assert replica.health.status("p", "p/m") == replica.health.stats("p").status == "degraded"


def test_what_others_said_is_forgotten_when_they_say_it_no_more() -> None:
    replica = Replica(0.0)
    replica.health.learn([Hint(KEY, troubled_s=1.0)])
    assert replica.standing == "troubled"
    replica.health.learn([])
    assert replica.standing is None


def test_nobody_makes_a_provider_wait_longer_than_the_longest_retry_after() -> None:
    replica = Replica(0.0)
    replica.health.learn([Hint(KEY, troubled_s=0.0, cooling_s=1e9)])
    replica.time.now += COOLDOWN_S_MAX
    assert replica.standing is None


def test_a_good_end_is_told_no_longer_than_any_trouble_lasts() -> None:
    replica = Replica(0.0)
    replica.sees("server_error")
    replica.time.now += 1
    replica.sees("ok")
    assert [hint.well_s for hint in replica.health.told()] == [0.0]
    replica.time.now += COOLDOWN_S_MAX
    assert replica.health.told() == []


def test_what_a_new_configuration_drops_is_told_no_more() -> None:
    replica = Replica(0.0)
    replica.sees("server_error")
    replica.sees("ok")
    replica.health.retain(set())
    assert replica.health.told() == []


@given(st.floats(0, 1_000), st.floats(0, 1_000))
def test_a_hint_that_is_passed_on_later_has_aged(cooling: float, later: float) -> None:
    hint = Hint(KEY, troubled_s=2.0, cooling_s=cooling, well_s=3.0).aged(later)
    assert (hint.troubled_s, hint.well_s, hint.cooling_s) == (2.0 + later, 3.0 + later, max(0.0, cooling - later))
    assert Hint(KEY).aged(later) == Hint(KEY)


@pytest.mark.parametrize(("outcome", "retry_after_ms"), [("connect_failed", None), ("refused_by_provider", None)])
def test_what_concerns_a_whole_provider_does_so_everywhere(
    replicas: list[Replica], outcome: Outcome, retry_after_ms: int | None
) -> None:
    replicas[0].sees(outcome, retry_after_ms=retry_after_ms)
    share(replicas)
    assert [replica.health.view().get("p:p/other") for replica in replicas] == ["troubled"] * 3
    pass_time(replicas, PROBE_S)
    replicas[2].sees("ok")
    share(replicas)
    assert [replica.health.view().get("p:p/other") for replica in replicas] == [None] * 3
