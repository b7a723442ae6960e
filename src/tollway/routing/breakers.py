"""The breakers that aren't closed, and what other replicas said of theirs: who stands where at this moment.

A breaker's key is a Candidate's, or a provider's id for all its models. What others say is kept apart from what was
seen here, and is replaced whole each time, so nothing that was told comes back as news. Trouble ends everywhere when an
attempt that began after it succeeds anywhere. breaker.py has the theory; here is nobody's history.
"""

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import NamedTuple

from tollway.domain.answer import Outcome
from tollway.domain.hint import Hint
from tollway.routing.breaker import (
    COOLDOWN_S_MAX,
    NEVER,
    PROBE_S,
    SILENT,
    TROUBLE_S,
    Breaker,
    State,
    longer,
)
from tollway.routing.policy import Standing, Standings


class Evidence(NamedTuple):
    """How an attempt ended that says something of a breaker's key."""

    outcome: Outcome
    began: float
    ended: float
    retry_after_s: float | None = None


class _Heard(NamedTuple):
    """What others said, by this process's time."""

    troubled_at: float
    cooling_until: float

    def standing(self, now: float) -> Standing | None:
        if now < self.cooling_until:
            return "cooling"
        return "troubled" if now - self.troubled_at < TROUBLE_S else None


class _Closed(NamedTuple):
    began: float  # when the attempt did that closed it
    at: float
    wait_s: float


ALL_WELL: Standings = MappingProxyType[str, Standing]({})
_WORST: tuple[Standing | None, ...] = ("cooling", "troubled", "probing", None)


class View:
    """Standings as of one moment. Looks at the live breakers, so it is for one plan and not to be kept.

    `due`: those that were looked at and could be probed. Given `probe`, that one alone may be."""

    __slots__ = ("_breakers", "_now", "_probe", "due")

    def __init__(self, breakers: "Breakers", now: float, probe: str | None = None) -> None:
        self._breakers = breakers
        self._now = now
        self._probe = probe
        self.due: set[str] = set()

    def get(self, key: str, /) -> Standing | None:
        standing = self._breakers.standing(key, self._now)
        if standing == "probing":
            if self._probe is not None and key != self._probe:
                return "troubled"
            self.due.add(key)
        return standing


class Probe:
    """One attempt at somebody whose breaker isn't closed."""

    __slots__ = ("_began", "_breakers", "_entered", "_key")

    def __init__(self, breakers: "Breakers", key: str, began: float, entered: list[Breaker]) -> None:
        self._breakers = breakers
        self._key = key
        self._began = began
        self._entered = entered

    def answered(self) -> None:
        """Its first token has come."""
        self._breakers.answered(self._key, self._began, whole=False)

    def over(self) -> None:
        """However it ended. Safe to say twice."""
        entered, self._entered = self._entered, []
        for breaker in entered:
            breaker.left()


class Breakers:
    """`monotonic` is the clock of everything here, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._open: dict[str, Breaker] = {}
        self._heard: dict[str, _Heard] = {}
        self._closed: dict[str, _Closed] = {}  # those that were open

    @property
    def all_well(self) -> bool:
        return not self._open and not self._heard

    def standing(self, key: str, now: float) -> Standing | None:
        """The worst that is known of the candidate, or of its provider."""
        found: list[Standing | None] = [None]
        for one in (key, provider_of(key)):
            if (breaker := self._open.get(one)) is not None:
                found.append(breaker.standing(now))
            if (heard := self._heard.get(one)) is not None:
                found.append(heard.standing(now))
        return min(found, key=_WORST.index)

    def view(self, probe: str | None = None) -> View:
        return View(self, self._monotonic(), probe)

    def state(self, key: str) -> State:
        """The worse of the candidate's own and its provider's."""
        now = self._monotonic()
        states = [breaker.state(now) for one in (key, provider_of(key)) if (breaker := self._open.get(one))]
        return "open" if "open" in states else "half_open" if states else "closed"

    def claim(self, key: str) -> None:
        """A plan begins with this candidate."""
        now = self._monotonic()
        for one in (key, provider_of(key)):
            if (breaker := self._open.get(one)) is not None:
                breaker.claim(now)

    def enter(self, provider: str, model: str) -> Probe | None:
        """An attempt begins; None where every breaker is closed, and nothing has to be told of it."""
        if not self._open:
            return None
        key = f"{provider}:{model}"
        entered = [breaker for one in (key, provider) if (breaker := self._open.get(one)) is not None]
        for breaker in entered:
            breaker.entered()
        return Probe(self, key, self._monotonic(), entered) if entered else None

    def failed(self, key: str, fault: Evidence, opens: Callable[[], bool]) -> None:
        """`opens` says whether the fault, with those before it, opens a breaker that is closed."""
        breaker, last = self._open.get(key), self._closed.get(key)
        if breaker is not None:
            breaker.failed(fault.outcome, fault.began, fault.ended)
        elif last is not None and fault.outcome in SILENT and fault.began < last.began:
            return
        elif fault.retry_after_s is not None or fault.outcome == "rate_limited" or opens():
            soon = last is not None and fault.ended - last.at < TROUBLE_S
            wait_s = longer(last.wait_s) if last is not None and soon else PROBE_S
            breaker = self._open[key] = Breaker(fault.outcome, fault.ended, wait_s)
        else:
            return
        if fault.retry_after_s is not None:
            breaker.cool(fault.ended + min(fault.retry_after_s, COOLDOWN_S_MAX))

    def answered(self, key: str, began: float, *, whole: bool) -> None:
        """An attempt at a candidate that began then has come to its first token, or to a whole answer."""
        for one in (key, provider_of(key)):
            self.reached(one, began, whole=whole)

    def reached(self, key: str, began: float, *, whole: bool = True) -> None:
        """The same for one key alone."""
        now = self._monotonic()
        breaker, heard = self._open.get(key), self._heard.get(key)
        if breaker is not None and breaker.closes(began, whole=whole):
            del self._open[key]
            self._closed[key] = _Closed(began, now, breaker.wait_s)
        if heard is not None and began >= heard.troubled_at:
            del self._heard[key]
            self._closed[key] = _Closed(began, now, PROBE_S if breaker is None else breaker.wait_s)

    def told(self) -> list[Hint]:
        """What this process has seen by itself and others should know."""
        now = self._monotonic()
        self._closed = {key: one for key, one in self._closed.items() if now - one.began < COOLDOWN_S_MAX}
        troubled = {
            key: breaker
            for key, breaker in self._open.items()
            if now < breaker.cooling_until or now - breaker.opened_at < TROUBLE_S
        }
        return [
            Hint(
                key,
                troubled_s=now - troubled[key].opened_at if key in troubled else None,
                cooling_s=max(0.0, troubled[key].cooling_until - now) if key in troubled else 0.0,
                well_s=now - self._closed[key].began if key in self._closed else None,
            )
            for key in {**troubled, **self._closed}
        ]

    def learn(self, hints: Iterable[Hint]) -> None:
        """Take note of all that others have seen; what they said before is forgotten. A key may come several times."""
        now = self._monotonic()
        hints = list(hints)
        well = {key: one.began for key, one in self._closed.items()}
        for hint in hints:
            if hint.well_s is not None:
                well[hint.key] = max(well.get(hint.key, NEVER), now - hint.well_s)
        for key in [key for key, breaker in self._open.items() if well.get(key, NEVER) >= breaker.opened_at]:
            self._open.pop(key)
        self._heard = {}
        for hint in hints:
            if hint.troubled_s is None or well.get(hint.key, NEVER) >= now - hint.troubled_s:
                continue
            heard = _Heard(now - hint.troubled_s, now + min(hint.cooling_s, COOLDOWN_S_MAX))
            other = self._heard.get(hint.key, heard)
            self._heard[hint.key] = _Heard(*map(max, heard, other))

    def retain(self, wanted: Callable[[str], bool]) -> None:
        """Forget the keys that a new configuration dropped."""
        self._open = {key: breaker for key, breaker in self._open.items() if wanted(key)}
        self._closed = {key: one for key, one in self._closed.items() if wanted(key)}


def provider_of(key: str) -> str:
    return key.partition(":")[0]
