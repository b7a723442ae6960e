"""How providers have been doing lately: per provider and model, from the attempts alone.

Theory. Each provider and model has a window of its newest attempts: what is said of them is worked out from it, and
when their faults open a breaker (breaker.py has the rules). Plans are made through here, since of all calls that could
be a breaker's probe one may be.

Belongs to one event loop; a window lives in memory and is lost with the process, which costs a few failovers.
"""

import heapq
from collections import deque
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Literal

import msgspec

from tollway.domain.answer import AttemptRecord, Outcome
from tollway.domain.call import Call, Percentiles
from tollway.domain.clock import Clock
from tollway.domain.hint import Hint
from tollway.domain.plan import Performance, Plan
from tollway.routing.breaker import OPEN_IN_A_ROW, OPEN_SHARE, TROUBLE_S, State
from tollway.routing.breakers import ALL_WELL, Breakers, Evidence, Probe
from tollway.routing.catalog import Catalog
from tollway.routing.plan import plan
from tollway.routing.policy import Standing, Standings

# The provider's own doing. "rejected" is about the request, "inexpressible" about us, "cancelled" is ours, and a
# "stale_connection" is a matter of timing: they say neither good nor bad.
FAULTS: frozenset[Outcome] = frozenset(
    {
        "connect_failed",
        "first_byte_timeout",
        "idle_timeout",
        "batch_timeout",
        "rate_limited",
        "overloaded",
        "server_error",
        "refused_by_provider",
        "malformed",
        "error_event",
        "cut",
    }
)

# Those that concern the whole provider; but a 403 or 404 is about one of its models.
WIDE: frozenset[Outcome] = frozenset({"connect_failed", "refused_by_provider"})
OF_A_MODEL = (403, 404)
# Whatever else may be wrong: a connection was made, and our key was taken.
REACHED: frozenset[Outcome] = frozenset(
    {
        "rate_limited",
        "overloaded",
        "server_error",
        "rejected",
        "too_large",
        "malformed",
        "error_event",
        "idle_timeout",
        "cut",
    }
)

WINDOW_S = 300.0
WINDOW_ATTEMPTS_MAX = 500  # about 75 KB; a busy provider's window is then shorter than WINDOW_S
MEASURED_S = 1.0  # percentiles are worked out once in this time, however many calls ask
DOWN_FAULTS = 3  # this many in a row, the newest ones: one alone may be the request's doing
DEGRADED_BELOW = 0.95  # uptime

Status = Literal["ok", "degraded", "down", "unknown"]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles by nearest rank."""

    p50: float
    p75: float
    p90: float
    p99: float


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The last five minutes. `uptime` is the fraction of attempts that succeeded among those that succeeded or failed
    by the provider's fault; None when there were none."""

    status: Status
    attempts: int
    uptime: float | None
    first_token_ms: Spread | None
    tokens_per_s: Spread | None


class _Attempt(msgspec.Struct, frozen=True, gc=False):
    at: float
    outcome: Outcome
    wide: bool  # a fault of the whole provider
    first_token_ms: float | None
    tokens_per_s: float | None


class _Window:
    __slots__ = ("attempts", "key", "measured", "measured_at")

    def __init__(self, key: str) -> None:
        self.key = key
        self.attempts: deque[_Attempt] = deque(maxlen=WINDOW_ATTEMPTS_MAX)
        self.measured_at = float("-inf")
        self.measured: Performance | None = None


class Health:
    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._windows: dict[str, dict[str, _Window]] = {}  # by provider, then model
        self._breakers = Breakers(clock.monotonic)

    def enter(self, provider: str, model: str) -> Probe | None:
        """An attempt begins. Where a breaker isn't closed, whoever makes it tells a Probe how it goes."""
        return self._breakers.enter(provider, model)

    def observe(self, attempt: AttemptRecord) -> None:
        """Take note of an attempt that has just ended. `attempt.model` is the public id."""
        now = self._monotonic()
        provider, outcome = attempt.provider, attempt.outcome
        try:
            window = self._windows[provider][attempt.model]
        except KeyError:
            window = self._open(provider, attempt.model)
        wide = outcome in WIDE and attempt.status not in OF_A_MODEL
        window.attempts.append(_Attempt(now, outcome, wide, attempt.first_token_ms, attempt.tokens_per_s))
        breakers = self._breakers
        if outcome == "ok" and breakers.all_well:
            return
        began = now - (attempt.duration_ms or 0.0) / 1e3
        if outcome == "ok":
            breakers.answered(window.key, began, whole=True)
        elif outcome in REACHED:
            breakers.reached(provider, began)
        if outcome not in FAULTS:
            return
        # RFC 9110 10.2.3: Retry-After means the same on a 503 as on a 429.
        told_ms = attempt.retry_after_ms if outcome in ("rate_limited", "overloaded") else None
        fault = Evidence(outcome, began, now, None if told_ms is None else told_ms / 1e3)
        if wide:
            breakers.failed(provider, fault, lambda: self._wide_trouble(provider, now))
        else:
            breakers.failed(window.key, fault, lambda: _trouble(_telling(_newest(window, now))))

    def view(self) -> Standings:
        """Who is not well at this moment, for one plan."""
        return ALL_WELL if self._breakers.all_well else self._breakers.view()

    def planned(self, call: Call, catalog: Catalog, *, seed: int, disabled: Collection[str] = ()) -> Plan:
        """The call's plan, as everybody stands. Of all calls whose plan begins with one that is half open, one at a
        time is its probe; the others find it at the back. Raises as `plan` does."""
        measured = self.performance
        if self._breakers.all_well:
            return plan(call, catalog, ALL_WELL, seed=seed, measured=measured, disabled=disabled)
        view = self._breakers.view()
        made = plan(call, catalog, view, seed=seed, measured=measured, disabled=disabled)
        first = made.candidates[0].key
        if view.due - {first}:
            view_of_one = self._breakers.view(probe=first)
            made = plan(call, catalog, view_of_one, seed=seed, measured=measured, disabled=disabled)
        if first in view.due:
            self._breakers.claim(first)
        return made

    def state(self, provider: str, model: str) -> State:
        """Of the breaker, or of its provider's where that is worse."""
        return self._breakers.state(f"{provider}:{model}")

    def states(self) -> Iterator[tuple[str, str, State]]:
        """Provider, model and state, of all that were ever asked."""
        for provider, models in self._windows.items():
            for model in models:
                yield provider, model, self.state(provider, model)

    def told(self) -> list[Hint]:
        """What this process has seen by itself and others should know."""
        return self._breakers.told()

    def learn(self, hints: Iterable[Hint]) -> None:
        """Take note of all that others have seen; what they said before is forgotten. A key may come several times."""
        self._breakers.learn(hints)

    def stats(self, provider: str, model: str | None = None) -> Stats:
        """Of one model at a provider, or of all its models together."""
        now = self._monotonic()
        models = self._windows.get(provider, {})
        windows = list(models.values()) if model is None else [models[model]] if model in models else []
        recent = [(window, _recent(window, now)) for window in windows]
        attempts = [attempt for _, some in recent for attempt in some]
        return Stats(
            status=_joined([_status(some, self._standing(window, now)) for window, some in recent]),
            attempts=len(attempts),
            uptime=_uptime(attempts),
            first_token_ms=_spread([a.first_token_ms for a in attempts if a.first_token_ms is not None]),
            tokens_per_s=_spread([a.tokens_per_s for a in attempts if a.tokens_per_s is not None]),
        )

    def performance(self, provider: str, model: str) -> Performance | None:
        """How fast a model has been lately, by its streams; None when none has been seen. At most MEASURED_S old."""
        window = self._windows.get(provider, {}).get(model)
        if window is None:
            return None
        now = self._monotonic()
        if now - window.measured_at >= MEASURED_S:
            window.measured_at = now
            window.measured = _measured(_recent(window, now))
        return window.measured

    def status(self, provider: str, model: str) -> Status:
        """What `stats` says of one model, without the percentiles: a listing asks for every candidate there is."""
        window = self._windows.get(provider, {}).get(model)
        if window is None:
            return "unknown"
        now = self._monotonic()
        return _status(_recent(window, now), self._standing(window, now))

    def retain(self, keys: Container[str]) -> None:
        """Forget every provider and model whose `Candidate.key` is not in `keys`: a new configuration dropped them."""
        for provider, models in list(self._windows.items()):
            left = {model: window for model, window in models.items() if window.key in keys}
            if left:
                self._windows[provider] = left
            else:
                del self._windows[provider]
        self._breakers.retain(lambda key: key in keys or key in self._windows)

    def _standing(self, window: _Window, now: float) -> Standing | None:
        return None if self._breakers.all_well else self._breakers.standing(window.key, now)

    def _open(self, provider: str, model: str) -> _Window:
        window = _Window(f"{provider}:{model}")
        self._windows.setdefault(provider, {})[model] = window
        return window

    def _wide_trouble(self, provider: str, now: float) -> bool:
        newest = heapq.merge(
            *(_newest(window, now) for window in self._windows[provider].values()),
            key=lambda attempt: attempt.at,
            reverse=True,
        )
        return _trouble(attempt.outcome == "ok" or not attempt.wide for attempt in newest if _tells(attempt))


def _newest(window: _Window, now: float) -> Iterator[_Attempt]:
    """Those that ended within TROUBLE_S, the newest first."""
    return takewhile(lambda attempt: now - attempt.at <= TROUBLE_S, reversed(window.attempts))


def _trouble(newest: Iterable[bool]) -> bool:
    """Whether so many of these, good or not and the newest first, are not: at least a share, or all of the newest."""
    total = faults = 0
    for good in newest:
        total += 1
        faults += not good
        if faults == total == OPEN_IN_A_ROW:
            return True
    return faults * OPEN_SHARE >= total


def _recent(window: _Window, now: float) -> list[_Attempt]:
    return [attempt for attempt in window.attempts if now - attempt.at <= WINDOW_S]


def _tells(attempt: _Attempt) -> bool:
    """Whether it says anything about the provider."""
    return attempt.outcome == "ok" or attempt.outcome in FAULTS


def _telling(attempts: Iterable[_Attempt]) -> list[bool]:
    """True for each success and False for each fault."""
    return [attempt.outcome == "ok" for attempt in attempts if _tells(attempt)]


def _uptime(attempts: Sequence[_Attempt]) -> float | None:
    told = _telling(attempts)
    return sum(told) / len(told) if told else None


def _status(attempts: Sequence[_Attempt], standing: Standing | None) -> Status:
    told = _telling(attempts)
    if not told:
        return "unknown"
    if len(told) >= DOWN_FAULTS and not any(told[-DOWN_FAULTS:]):
        return "down"
    if standing is not None or sum(told) < DEGRADED_BELOW * len(told):
        return "degraded"
    return "ok"


def _joined(statuses: Sequence[Status]) -> Status:
    """A provider's from its models': what all that are known agree on, else degraded."""
    known = {status for status in statuses if status != "unknown"}
    if not known:
        return "unknown"
    return known.pop() if len(known) == 1 else "degraded"


def _measured(attempts: Sequence[_Attempt]) -> Performance | None:
    waits = _spread([a.first_token_ms / 1e3 for a in attempts if a.first_token_ms is not None])
    rates = _spread([a.tokens_per_s for a in attempts if a.tokens_per_s is not None])
    if waits is None and rates is None:
        return None
    return Performance(latency_s=_percentiles(waits), tokens_per_s=_percentiles(rates))


def _percentiles(spread: Spread | None) -> Percentiles:
    return Percentiles() if spread is None else Percentiles(**msgspec.structs.asdict(spread))


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    values.sort()

    def at(percent: int) -> float:
        return values[-(-percent * len(values) // 100) - 1]

    return Spread(p50=at(50), p75=at(75), p90=at(90), p99=at(99))
