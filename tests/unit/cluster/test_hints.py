"""What replicas hear of each other's providers, through a real Valkey."""

from collections.abc import AsyncIterator, Callable

import pytest

from helpers.ledgers import HandClock
from helpers.valkey import Valkey
from tollway.cluster.hints import HINTS_MAX, HealthHints
from tollway.cluster.link import Link
from tollway.domain.hint import Hint
from tollway.domain.observer import NullObserver


class Replica:
    def __init__(self, link: Link) -> None:
        self.link = link
        self.tells: list[Hint] = []
        self.heard: list[Hint] | None = None
        self.hints = HealthHints(link, lambda: self.tells, self._learn)

    def _learn(self, hints: object) -> None:
        self.heard = sorted(hints, key=lambda hint: hint.key)  # type: ignore[call-overload]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def three(valkey: Callable[[], Valkey], clock: HandClock) -> AsyncIterator[list[Replica]]:
    server = valkey()
    server.empty()
    replicas = [Replica(Link(server.url, None, NullObserver(), lambda: clock.ms * 1000, answer_s=30)) for _ in range(3)]
    for replica in replicas:
        await replica.link.open()
    yield replicas
    for replica in replicas:
        await replica.link.aclose()


async def test_each_hears_all_others_and_not_itself(three: list[Replica]) -> None:
    three[0].tells = [Hint("a:m", troubled_s=1.0)]
    three[1].tells = [Hint("b:m", well_s=2.0)]
    for replica in (*three, *three):
        await replica.hints.exchange()
    assert three[0].heard == [Hint("b:m", well_s=2.0)]
    assert three[1].heard == [Hint("a:m", troubled_s=1.0)]
    assert three[2].heard == [Hint("a:m", troubled_s=1.0), Hint("b:m", well_s=2.0)]


async def test_what_was_told_a_while_ago_has_aged(three: list[Replica], clock: HandClock) -> None:
    three[0].tells = [Hint("a:m", troubled_s=1.0, cooling_s=10.0)]
    await three[0].hints.exchange()
    clock.ms += 4_000
    await three[1].hints.exchange()
    assert three[1].heard == [Hint("a:m", troubled_s=5.0, cooling_s=6.0)]


async def test_who_has_nothing_to_tell_any_more_takes_back_what_it_told(three: list[Replica]) -> None:
    three[0].tells = [Hint("a:m", troubled_s=1.0)]
    await three[0].hints.exchange()
    three[0].tells = []
    await three[0].hints.exchange()
    await three[1].hints.exchange()
    assert three[1].heard == []


async def test_what_a_dead_replica_told_is_dropped_after_ten_minutes(three: list[Replica], clock: HandClock) -> None:
    three[0].tells = [Hint("a:m", cooling_s=900.0, troubled_s=0.0)]
    await three[0].hints.exchange()
    clock.ms += 600_001
    await three[1].hints.exchange()
    assert three[1].heard == []


async def test_a_report_of_another_version_is_passed_over(three: list[Replica], valkey: Callable[[], Valkey]) -> None:
    with valkey().client() as client:
        for name, report in {"x": "1 [[1]]", "y": '0 {"k": 1}', "z": "nonsense", "w": b"5 \xff"}.items():
            client.hset("tollway:1:health", name, report)
    three[0].tells = [Hint("a:m", troubled_s=1.0)]
    await three[0].hints.exchange()
    await three[1].hints.exchange()
    assert three[1].heard == [Hint("a:m", troubled_s=1.0)]
    assert not three[1].link.lost


async def test_a_report_has_a_bound(three: list[Replica]) -> None:
    three[0].tells = [Hint(f"a:{i:04}", troubled_s=1.0) for i in range(HINTS_MAX + 7)]
    await three[0].hints.exchange()
    await three[1].hints.exchange()
    assert three[1].heard == three[0].tells[:HINTS_MAX]


async def test_while_valkey_is_lost_what_was_heard_stands(three: list[Replica]) -> None:
    three[0].tells = [Hint("a:m", troubled_s=1.0)]
    await three[0].hints.exchange()
    await three[1].hints.exchange()
    await three[1].link.aclose()
    await three[1].hints.exchange()
    assert three[1].heard == [Hint("a:m", troubled_s=1.0)]
