"""What the values that all stages share know of themselves, and the parts that do nothing or only tell the time."""

import inspect
import time

from helpers.metered import candidate
from tollway.domain.answer import AttemptRecord
from tollway.domain.call import Caller
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Balance
from tollway.domain.observer import NullObserver, Observer
from tollway.domain.seams import HttpRequest
from tollway.domain.waiting import Interrupted


def test_in_flight_holds_count_against_what_is_available_and_not_against_the_total() -> None:
    balance = Balance(account="a", debits_pending=30, debits_posted=20, credits_pending=7, credits_posted=100)
    assert (balance.available, balance.total) == (50, 80)


def test_a_candidate_is_named_by_provider_and_model() -> None:
    assert candidate(provider="openai", model="openai/gpt-4o").key == "openai:openai/gpt-4o"


def test_the_system_clock_tells_unix_milliseconds_and_seconds_that_only_go_forward() -> None:
    clock = SystemClock()
    before_ms, before = time.time_ns() // 1_000_000, time.monotonic()
    assert clock.now_ms() >= before_ms
    assert clock.monotonic() >= before


def test_an_interruption_says_its_reason() -> None:
    interrupted = Interrupted("drain")
    assert (interrupted.reason, str(interrupted)) == ("drain", "drain")


def test_the_observer_that_does_nothing_takes_whatever_an_observer_is_told() -> None:
    observer: Observer = NullObserver()
    for name, method in inspect.getmembers(Observer, inspect.isfunction):
        if not name.startswith("_"):
            told = list(inspect.signature(method).parameters)
            assert list(inspect.signature(getattr(NullObserver, name)).parameters) == told
    observer.attempt_ended(AttemptRecord(provider="p", model="m", outcome="ok"), "")


def test_values_are_immutable() -> None:
    for kind in (AttemptRecord, Balance, Caller, HttpRequest):
        assert kind.__struct_config__.frozen
