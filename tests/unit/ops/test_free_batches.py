"""A wallet whose batch calls are cut by time limits again and again is told of, once an hour."""

from typing import Any

import pytest

from helpers.ledgers import OTHER, START_MS, WALLET, record
from tollway.domain.answer import AttemptRecord
from tollway.domain.observer import NullObserver
from tollway.ops import free_batches
from tollway.ops.free_batches import HOUR_MS, MANY, FreeBatches

LATE = (AttemptRecord(provider="p", model="m", outcome="batch_timeout"),)


class Told(NullObserver):
    def __init__(self) -> None:
        self.alarms: list[tuple[str, str]] = []

    def alarm(self, what: str, detail: str) -> None:
        self.alarms.append((what, detail))


@pytest.fixture
def told() -> Told:
    return Told()


def cut(watching: FreeBatches, times: int, account: str = WALLET, **fields: Any) -> None:
    given = {"stream": False, "ended": "cut_by_router", "price": 0, "ended_ms": START_MS, **fields}
    for _ in range(times):
        watching.call_ended(record("call", account, **given))


def test_many_within_an_hour_are_told_once_and_again_in_another(told: Told) -> None:
    watching = FreeBatches(told)
    cut(watching, MANY - 1)
    assert told.alarms == []
    cut(watching, MANY)
    assert told.alarms == [
        ("batches_cut", f"{WALLET}: {MANY} batch calls within an hour ran into a time limit, unpaid")
    ]
    cut(watching, MANY, ended_ms=START_MS + HOUR_MS)
    assert len(told.alarms) == 2


def test_a_providers_lateness_counts_as_the_routers_own_limit_does(told: Told) -> None:
    cut(FreeBatches(told), MANY, ended="provider_failed", attempts=LATE)
    assert len(told.alarms) == 1


@pytest.mark.parametrize("other", [{"stream": True}, {"price": 1}, {"ended": "complete"}, {"ended": "client_left"}])
def test_what_is_paid_or_no_batch_call_or_not_cut_is_not_counted(told: Told, other: dict[str, Any]) -> None:
    cut(FreeBatches(told), MANY, **other)
    assert told.alarms == []


def test_wallets_are_counted_apart_and_as_many_as_there_is_room_for(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_batches, "WALLETS_MAX", 1)
    watching = FreeBatches(told)
    cut(watching, MANY - 1)
    cut(watching, 1, OTHER)  # takes the only place
    cut(watching, MANY - 1)
    assert told.alarms == []
