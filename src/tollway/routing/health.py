"""How providers have been doing lately: per provider and model, from the attempts alone. Must not know plans.

Theory. Each provider and model has a window of its newest attempts. A fault of the provider marks it: for 30 s it goes
to the back of the order, and after a 429 or 503 with Retry-After until then. The mark goes when an attempt that began
after it succeeds: one that was already under way says nothing about new ones. When the 30 s have passed the next call
may draw it again, which is the probe. A connection that fails concerns every model of a provider, yet marks only the
one that was tried: the others find out by themselves at the cost of one quick failover, and a provider that is a
gateway with one dead backend keeps the rest.

Replicas may tell each other (`told`, `learn`). What others say is kept apart from what was seen here, and is replaced
whole each time, so nothing that was told comes back as news. Trouble ends everywhere when an attempt that began after
it succeeds anywhere. A plan records the standings that it was made with, whoever those came from.

Belongs to one event loop; a window lives in memory and is lost with the process, which costs a few failovers.
"""

from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from tollway.domain.answer import AttemptRecord, Outcome
from tollway.domain.call import Percentiles
from tollway.domain.clock import Clock
from tollway.domain.hint import Hint
from tollway.domain.plan import Performance
from tollway.routing.policy import Standing, Standings

# The provider's own doing. "rejected" is about the request and "cancelled" is ours: they say neither good nor bad.
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

TROUBLE_S = 30.0
WINDOW_S = 300.0
WINDOW_ATTEMPTS_MAX = 500  # about 75 KB; a busy provider's window is then shorter than WINDOW_S
COOLDOWN_S_MAX = 600.0  # a provider that says "tomorrow" is asked again before
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


class _Attempt(NamedTuple):
    at: float
    outcome: Outcome
    first_token_ms: float | None
    tokens_per_s: float | None


class _Window:
    __slots__ = ("attempts", "cooling_until", "key", "measured", "measured_at", "troubled_at")

    def __init__(self, key: str) -> None:
        self.key = key
        self.attempts: deque[_Attempt] = deque(maxlen=WINDOW_ATTEMPTS_MAX)
        self.troubled_at = float("-inf")
        self.cooling_until = float("-inf")
        self.measured_at = float("-inf")
        self.measured: Performance | None = None


class _Heard(NamedTuple):
    """What others said of a provider's model, by this process's time."""

    troubled_at: float
    cooling_until: float


def _standing(marks: Iterable[_Window | _Heard | None], now: float) -> Standing | None:
    standing: Standing | None = None
    for mark in marks:
        if mark is not None:
            if now < mark.cooling_until:
                return "cooling"
            if now - mark.troubled_at < TROUBLE_S:
                standing = "troubled"
    return standing


class _View:
    """Standings as of one moment. Looks at the live windows, so it is for one plan and not to be kept."""

    __slots__ = ("_heard", "_marked", "_now")

    def __init__(self, marked: Mapping[str, _Window], heard: Mapping[str, _Heard], now: float) -> None:
        self._marked = marked
        self._heard = heard
        self._now = now

    def get(self, key: str, /) -> Standing | None:
        return _standing((self._marked.get(key), self._heard.get(key)), self._now)


ALL_WELL: Standings = MappingProxyType[str, Standing]({})


class Health:
    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._windows: dict[str, dict[str, _Window]] = {}  # by provider, then model
        self._marked: dict[str, _Window] = {}  # by key: those whose newest news is bad
        self._heard: dict[str, _Heard] = {}  # by key: the same, of others
        self._well: dict[str, float] = {}  # by key: when the attempt began that ended trouble

    def observe(self, attempt: AttemptRecord) -> None:
        """Take note of an attempt that has just ended. `attempt.model` is the public id."""
        now = self._monotonic()
        try:
            window = self._windows[attempt.provider][attempt.model]
        except KeyError:
            window = self._open(attempt.provider, attempt.model)
        outcome = attempt.outcome
        window.attempts.append(_Attempt(now, outcome, attempt.first_token_ms, attempt.tokens_per_s))
        if outcome in FAULTS:
            self._mark(window, attempt, now)
        elif (self._marked or self._heard) and outcome == "ok":
            self._end_trouble(window.key, now - (attempt.duration_ms or 0.0) / 1e3)

    def view(self) -> Standings:
        """Who is not well at this moment, for one plan."""
        return _View(self._marked, self._heard, self._monotonic()) if self._marked or self._heard else ALL_WELL

    def told(self) -> list[Hint]:
        """What this process has seen by itself and others should know."""
        now = self._monotonic()
        self._well = {key: at for key, at in self._well.items() if now - at < COOLDOWN_S_MAX}
        troubled = {key: window for key, window in self._marked.items() if _standing((window,), now) is not None}
        return [
            Hint(
                key,
                troubled_s=now - troubled[key].troubled_at if key in troubled else None,
                cooling_s=max(0.0, troubled[key].cooling_until - now) if key in troubled else 0.0,
                well_s=now - self._well[key] if key in self._well else None,
            )
            for key in {**troubled, **self._well}
        ]

    def learn(self, hints: Iterable[Hint]) -> None:
        """Take note of all that others have seen; what they said before is forgotten. A key may come several times."""
        now = self._monotonic()
        hints = list(hints)
        well = dict(self._well)
        for hint in hints:
            if hint.well_s is not None:
                well[hint.key] = max(well.get(hint.key, float("-inf")), now - hint.well_s)
        for key in [key for key, window in self._marked.items() if well.get(key, float("-inf")) >= window.troubled_at]:
            self._clear(key)
        self._heard = {}
        for hint in hints:
            if hint.troubled_s is None or well.get(hint.key, float("-inf")) >= now - hint.troubled_s:
                continue
            heard = _Heard(now - hint.troubled_s, now + min(hint.cooling_s, COOLDOWN_S_MAX))
            other = self._heard.get(hint.key, heard)
            self._heard[hint.key] = _Heard(*map(max, heard, other))

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
        self._marked = {key: window for key, window in self._marked.items() if key in keys}
        self._well = {key: at for key, at in self._well.items() if key in keys}

    def _standing(self, window: _Window, now: float) -> Standing | None:
        return _standing((window, self._heard.get(window.key)), now)

    def _open(self, provider: str, model: str) -> _Window:
        window = _Window(f"{provider}:{model}")
        self._windows.setdefault(provider, {})[model] = window
        return window

    def _end_trouble(self, key: str, began: float) -> None:
        """An attempt that began then has succeeded."""
        marked, heard = self._marked.get(key), self._heard.get(key)
        if marked is not None and began >= marked.troubled_at:
            self._clear(key)
            self._well[key] = began
        if heard is not None and began >= heard.troubled_at:
            del self._heard[key]
            self._well[key] = began

    def _clear(self, key: str) -> None:
        window = self._marked.pop(key)
        window.troubled_at = window.cooling_until = float("-inf")

    def _mark(self, window: _Window, attempt: AttemptRecord, now: float) -> None:
        window.troubled_at = now
        self._marked[window.key] = window
        # RFC 9110 10.2.3: Retry-After means the same on a 503 as on a 429.
        if attempt.retry_after_ms is not None and attempt.outcome in ("rate_limited", "overloaded"):
            until = now + min(attempt.retry_after_ms / 1e3, COOLDOWN_S_MAX)
            window.cooling_until = max(window.cooling_until, until)


def _recent(window: _Window, now: float) -> list[_Attempt]:
    return [attempt for attempt in window.attempts if now - attempt.at <= WINDOW_S]


def _telling(attempts: Iterable[_Attempt]) -> list[bool]:
    """True for each success and False for each fault, leaving out what says nothing about the provider."""
    return [a.outcome == "ok" for a in attempts if a.outcome == "ok" or a.outcome in FAULTS]


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
