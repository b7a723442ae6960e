"""The log: one line of JSON an event, at a level that can be turned off, without anything secret."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from helpers.ledgers import record
from tollway.domain.answer import AttemptRecord, Outcome
from tollway.domain.observer import Observer
from tollway.domain.usage import Usage
from tollway.ops.logs import LogObserver

FAILED: tuple[Outcome, ...] = tuple(set(Outcome.__args__) - {"ok", "cancelled"})


class Log:
    """What the observer wrote."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.observer: Observer = LogObserver()

    def level(self, level: int) -> None:
        self._caplog.set_level(level, logger="tollway")

    @property
    def lines(self) -> list[tuple[str, Any]]:
        return [(made.levelname, json.loads(made.getMessage())) for made in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    made = Log(caplog)
    made.level(logging.INFO)
    yield made
    assert all("\n" not in kept.getMessage() for kept in caplog.records)


def attempt(outcome: Outcome) -> AttemptRecord:
    return AttemptRecord(provider="p", model="m", outcome=outcome, status=500)


def test_a_call_is_a_line_that_says_what_it_came_to(log: Log) -> None:
    log.observer.call_ended(
        record(
            "call-1",
            "wallet",
            created_ms=1_000,
            ended_ms=3_500,
            provider="p",
            model="public",
            ended="complete",
            delivery="complete",
            price=1_500_000,
            attempts=(attempt("cut"), attempt("ok")),
            usage=Usage(prompt=1, completion=1),
        )
    )
    ((level, line),) = log.lines
    assert level == "INFO"
    assert line == {
        "event": "call",
        "id": "call-1",
        "account": "wallet",
        "model": record("x").model_asked,
        "provider": "p",
        "ended": "complete",
        "delivery": "complete",
        "usd": "0.0015",
        "ms": 2_500,
        "attempts": 2,
        "error": None,
    }


@pytest.mark.parametrize("outcome", FAILED)
def test_a_failed_attempt_is_a_line_with_the_operators_detail(log: Log, outcome: Outcome) -> None:
    log.observer.attempt_ended(attempt(outcome), "status 500: out\nof memory")
    ((level, line),) = log.lines
    assert level == "INFO"
    assert line == {
        "event": "attempt",
        "attempt": {"provider": "p", "model": "m", "outcome": outcome, "status": 500},
        "detail": "status 500: out\nof memory",
    }


@pytest.mark.parametrize("outcome", ["ok", "cancelled"])
def test_an_attempt_that_did_not_fail_is_no_line(log: Log, outcome: Outcome) -> None:
    log.observer.attempt_ended(attempt(outcome), "")
    assert log.lines == []


def test_a_refusal_is_a_line(log: Log) -> None:
    log.observer.request_refused("invalid_request", 400, "192.0.2.1")
    refused = {"event": "refused", "code": "invalid_request", "status": 400, "client": "192.0.2.1"}
    assert log.lines == [("INFO", refused)]


def test_a_commit_is_no_line(log: Log) -> None:
    log.observer.committed(5, 0.001)
    assert log.lines == []


def test_an_alarm_is_a_warning(log: Log) -> None:
    log.observer.alarm("ledger_commit_refused", "disk full")
    assert log.lines == [("WARNING", {"event": "alarm", "what": "ledger_commit_refused", "detail": "disk full"})]


def test_with_the_level_above_info_only_alarms_are_written(log: Log) -> None:
    log.level(logging.WARNING)
    log.observer.call_ended(record("call-1"))
    log.observer.attempt_ended(attempt("cut"), "detail")
    log.observer.request_refused("invalid_request", 400, "")
    log.observer.alarm("what", "detail")
    assert [level for level, _ in log.lines] == ["WARNING"]


def test_what_came_from_outside_can_not_make_a_line_of_its_own_or_stop_one(log: Log) -> None:
    log.observer.alarm("what", 'detail\n{"event":"call"} %s %d \u2028')
    assert len(log.lines) == 1
