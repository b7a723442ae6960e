"""Several observers are told everything, each in its turn."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from helpers.ledgers import record
from tollway.domain.answer import AttemptRecord
from tollway.domain.observer import NullObserver, Observer
from tollway.domain.record import CallRecord
from tollway.ops.fanout import AttemptFeed, Fanout

ATTEMPT = AttemptRecord(provider="p", model="m", outcome="cut")
NEWS: dict[str, tuple[Any, ...]] = {
    "call_ended": (record("call-1"),),
    "attempt_ended": (ATTEMPT, "detail"),
    "request_refused": ("invalid_request", 400, "192.0.2.1"),
    "limited": ("provider", "tokens", "p"),
    "uncounted": ("wallet",),
    "retried": ("p", "granted"),
    "recounted": ("p", "counted", None),
    "committed": (5, 0.1),
    "alarm": ("what", "detail"),
}


class Listener:
    """Keeps what it is told, whatever that is."""

    def __init__(self, name: str, heard: list[tuple[str, str, tuple[Any, ...]]]) -> None:
        self._name = name
        self._heard = heard

    def __getattr__(self, what: str) -> Callable[..., None]:
        return lambda *news: self._heard.append((self._name, what, news))


def test_all_that_an_observer_can_be_told_is_tested_here() -> None:
    names = {name for name, _ in inspect.getmembers(Observer, inspect.isfunction) if not name.startswith("_")}
    assert names == NEWS.keys()


@pytest.mark.parametrize("what", NEWS)
def test_each_observer_is_told_in_turn(what: str) -> None:
    heard: list[tuple[str, str, tuple[Any, ...]]] = []
    observer: Observer = Fanout(Listener("a", heard), Listener("b", heard))
    getattr(observer, what)(*NEWS[what])
    assert heard == [("a", what, NEWS[what]), ("b", what, NEWS[what])]


@pytest.mark.parametrize("what", NEWS)
def test_those_within_another_are_told_in_their_turn(what: str) -> None:
    heard: list[tuple[str, str, tuple[Any, ...]]] = []
    observer: Observer = Fanout(Fanout(Listener("a", heard), Listener("b", heard)), Listener("c", heard))
    getattr(observer, what)(*NEWS[what])
    assert [name for name, *_ in heard] == ["a", "b", "c"]


def test_who_does_something_about_one_event_alone_is_told_of_it() -> None:
    ended: list[str] = []

    class Calls(NullObserver):
        def call_ended(self, record: CallRecord) -> None:
            ended.append(record.id)

    learned: list[AttemptRecord] = []
    observer = Fanout(NullObserver(), Calls(), AttemptFeed(learned.append))
    for what, news in NEWS.items():
        getattr(observer, what)(*news)
    assert ended == ["call-1"] and learned == [ATTEMPT]


def test_without_observers_nobody_is_told() -> None:
    for what, news in NEWS.items():
        assert getattr(Fanout(), what)(*news) is None


def test_whoever_learns_from_attempts_is_given_every_one_and_nothing_else() -> None:
    learned: list[AttemptRecord] = []
    feed = AttemptFeed(learned.append)
    assert isinstance(feed, NullObserver)
    for what, news in NEWS.items():
        getattr(feed, what)(*news)
    assert learned == [ATTEMPT]
