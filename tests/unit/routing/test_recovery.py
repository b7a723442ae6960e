"""A provider fails for a while under steady load, and comes back: calls, probes and time are simulated, Health and
planning are real."""

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from helpers.routes import call, candidate, catalog
from tollway.domain.answer import AttemptRecord, Outcome
from tollway.routing.breaker import CLAIM_S, IN_THE_MIDDLE, PROBE_S_MAX, SILENT, TROUBLE_S
from tollway.routing.breakers import Probe
from tollway.routing.health import FAULTS, Health

CHEAP_AND_DEAR = catalog(candidate("a", usd=0), candidate("b", usd=50))
END_S = 200.0
# A counterexample is a handful of numbers, and takes longer to shrink than to read.
BRIEFLY = settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])


class World:
    """Calls every `every_s`, each planned, then held for `hold_s`, then tried in its plan's order. `a` fails those that
    begin while it is down, after `fails_s`; any other attempt answers at once, and is whole after `takes_s`."""

    def __init__(self, outcome: Outcome, *, down_s: float, fails_s: float, takes_s: float, hold_s: float) -> None:
        self.now = 0.0
        self.health = Health(self)
        self.outcome, self.fails_s, self.takes_s, self.hold_s = outcome, fails_s, takes_s, hold_s
        self.up_again = 10.0 + down_s
        self.begun_at_a: list[float] = []
        self.failed_at_a: list[float] = []
        self.probing: set[int] = set()  # calls that went there first while its breaker was open, not answered yet
        self.probing_most = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def monotonic(self) -> float:
        return self.now

    def now_ms(self) -> int:
        raise AssertionError("health reads durations only")

    def run(self, every_s: float) -> None:
        for number in range(int(END_S / every_s)):
            self._at(number * every_s, partial(self._call, number))
        while self._queue:
            self.now, _, act = heapq.heappop(self._queue)
            act()

    def _at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._numbers), act))

    def _call(self, number: int) -> None:
        state = self.health.state("a", "acme/m")
        made = self.health.planned(call(), CHEAP_AND_DEAR, seed=1)
        order = [one.provider for one in made.candidates]
        if order[0] == "a" and state != "closed":
            self.probing.add(number)
            self.probing_most = max(self.probing_most, len(self.probing))
        self._at(self.now + self.hold_s, partial(self._attempt, number, order))

    def _attempt(self, number: int, order: list[str]) -> None:
        provider, *others = order
        began, probe = self.now, self.health.enter(provider, "acme/m")
        if provider == "a":
            self.begun_at_a.append(began)
        down = provider == "a" and 10.0 <= began < self.up_again
        if down:
            self._at(began + self.fails_s, partial(self._failed, number, began, probe, others))
            return
        if probe is not None:
            probe.answered()
        if self.outcome not in IN_THE_MIDDLE:
            self.probing.discard(number)
        self._at(began + self.takes_s, partial(self._ended, number, provider, began, probe, "ok"))

    def _failed(self, number: int, began: float, probe: Probe | None, others: list[str]) -> None:
        self.failed_at_a.append(self.now)
        self._ended(number, "a", began, probe, self.outcome)
        self._attempt(number, others)

    def _ended(self, number: int, provider: str, began: float, probe: Probe | None, outcome: Outcome) -> None:
        self.probing.discard(number)
        if probe is not None:
            probe.over()
        record = AttemptRecord(
            provider=provider, model="acme/m", outcome=outcome, duration_ms=(self.now - began) * 1000
        )
        self.health.observe(record)


@BRIEFLY
@given(
    outcome=st.sampled_from(sorted(FAULTS)),
    down_s=st.floats(5, 80),
    every_s=st.sampled_from([0.25, 0.5, 2.0]),
    fails_s=st.sampled_from([0.0, 0.3, 5.0, 20.0]),
    takes_s=st.sampled_from([0.1, 3.0, 15.0]),
    hold_s=st.floats(0, CLAIM_S / 2),
)
@example(outcome="first_byte_timeout", down_s=60, every_s=0.5, fails_s=60.0, takes_s=3.0, hold_s=0.1)
@example(outcome="connect_failed", down_s=60, every_s=0.25, fails_s=5.0, takes_s=3.0, hold_s=0.0)
def test_one_call_at_a_time_probes_a_provider_that_is_down_and_it_serves_within_seconds_of_its_recovery(
    outcome: Outcome, down_s: float, every_s: float, fails_s: float, takes_s: float, hold_s: float
) -> None:
    world = World(outcome, down_s=down_s, fails_s=fails_s, takes_s=takes_s, hold_s=hold_s)
    world.run(every_s)
    assert world.probing_most <= 1
    # The probe that was under way when it came back has to fail first; then comes the wait; then the next call.
    wait_s = TROUBLE_S if outcome in SILENT else PROBE_S_MAX
    whole_s = takes_s if outcome in IN_THE_MIDDLE else 0.0
    back_s = world.up_again + fails_s + wait_s + every_s + hold_s
    assert min(began for began in world.begun_at_a if began >= world.up_again) <= back_s
    assert world.health.state("a", "acme/m") == "closed"
    serving = [began for began in world.begun_at_a if began >= back_s + whole_s + hold_s + every_s]
    expected = (END_S - back_s - whole_s - hold_s - every_s) / every_s
    assert len(serving) >= expected - 2, "everybody is served by it again"


@pytest.mark.parametrize("outcome", sorted(FAULTS - SILENT))
@pytest.mark.parametrize("every_s", [0.25, 2.0])
def test_of_many_calls_few_meet_a_provider_that_stays_down(outcome: Outcome, every_s: float) -> None:
    world = World(outcome, down_s=END_S, fails_s=0.0, takes_s=1.0, hold_s=0.0)
    world.run(every_s)
    later = [at for at in world.failed_at_a if at > 20]
    assert len(later) <= (END_S - 20) / PROBE_S_MAX + 1


@pytest.mark.parametrize("fails_s", [20.0, 60.0])
def test_a_silent_provider_has_one_caller_at_a_time_and_none_for_half_of_the_time(fails_s: float) -> None:
    world = World("first_byte_timeout", down_s=END_S, fails_s=fails_s, takes_s=1.0, hold_s=0.0)
    world.run(0.5)
    later = [at for at in world.failed_at_a if at > 12 + 2 * fails_s]
    assert len(later) <= (END_S - 10) / (fails_s + min(fails_s, TROUBLE_S)) + 1
