"""Several observers as one."""

from collections.abc import Callable, Iterable, Iterator

from tollway.domain.answer import AttemptRecord
from tollway.domain.observer import Granted, Limited, NullObserver, Observer
from tollway.domain.record import CallRecord
from tollway.domain.recount import Recount, RecountOutcome


class Fanout:
    """Tells each observer in turn. Of what calls and commits bring, only those that do something about it are told."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._at_calls: list[Callable[[CallRecord], None]] = [
            observer.call_ended for observer in _each(observers) if _acts(observer, "call_ended")
        ]
        self._at_attempts: list[Callable[[AttemptRecord, str], None]] = [
            observer.attempt_ended for observer in _each(observers) if _acts(observer, "attempt_ended")
        ]

        self._at_commits: list[Callable[[int, float], None]] = [
            observer.committed for observer in _each(observers) if _acts(observer, "committed")
        ]

    @property
    def observers(self) -> tuple[Observer, ...]:
        return self._observers

    def call_ended(self, record: CallRecord) -> None:
        for tell in self._at_calls:
            tell(record)

    def attempt_ended(self, attempt: AttemptRecord, detail: str) -> None:
        for tell in self._at_attempts:
            tell(attempt, detail)

    def request_refused(self, code: str, status: int, client: str) -> None:
        for observer in self._observers:
            observer.request_refused(code, status, client)

    def limited(self, who: Limited, kind: str, provider: str = "") -> None:
        for observer in self._observers:
            observer.limited(who, kind, provider)

    def uncounted(self, who: Limited) -> None:
        for observer in self._observers:
            observer.uncounted(who)

    def retried(self, provider: str, budget: Granted) -> None:
        for observer in self._observers:
            observer.retried(provider, budget)

    def recounted(self, provider: str, outcome: RecountOutcome, recount: Recount | None) -> None:
        for observer in self._observers:
            observer.recounted(provider, outcome, recount)

    def committed(self, commands: int, seconds: float) -> None:
        for tell in self._at_commits:
            tell(commands, seconds)

    def alarm(self, what: str, detail: str) -> None:
        for observer in self._observers:
            observer.alarm(what, detail)


def _each(observers: Iterable[Observer]) -> Iterator[Observer]:
    """Those within a Fanout instead of the Fanout."""
    for observer in observers:
        if isinstance(observer, Fanout):
            yield from _each(observer.observers)
        else:
            yield observer


def _acts(observer: Observer, event: str) -> bool:
    return getattr(type(observer), event, None) is not getattr(NullObserver, event)


class AttemptFeed(NullObserver):
    """Passes ended attempts on to somebody who learns from them: routing's health."""

    def __init__(self, learn: Callable[[AttemptRecord], None]) -> None:
        self._learn = learn

    def attempt_ended(self, attempt: AttemptRecord, detail: str) -> None:
        self._learn(attempt)
