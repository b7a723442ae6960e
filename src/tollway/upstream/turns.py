"""Whose turn it is next in one call, decided by what failed: the table NEXT over the plan's order. No I/O, no clock.

A plan bounds how many providers are tried (routing.plan.MAX_CANDIDATES); what asks one of them again is bounded here,
once a candidate for each reason, and by its provider's retry budget over all calls.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

from tollway.domain.answer import Outcome
from tollway.domain.errors import ProviderFault
from tollway.domain.observer import Observer
from tollway.domain.plan import Candidate
from tollway.upstream.budget import RetryBudget

# same_once: after a short pause. when_alone: when nobody else is left, once more on a connection of its own.
Next = Literal["next", "same_once", "when_alone", "give_up"]

# What to do after an attempt that failed before anything reached the client.
NEXT: dict[Outcome, Next] = {
    "connect_failed": "next",
    "stale_connection": "when_alone",  # nothing is wrong with the provider, yet it may have begun, and bill that twice
    "first_byte_timeout": "next",
    "idle_timeout": "next",
    "batch_timeout": "next",
    "rate_limited": "next",
    "overloaded": "next",
    "at_limit": "next",
    "server_error": "same_once",
    "refused_by_provider": "next",
    "inexpressible": "next",
    "rejected": "give_up",
    "too_large": "give_up",  # the next provider would write as much, at the operator's cost
    "malformed": "next",
    "error_event": "next",
    "cut": "next",
}

SILENT: frozenset[Outcome] = frozenset({"first_byte_timeout", "batch_timeout"})  # not asked again for this call
UNASKED: frozenset[Outcome] = frozenset({"at_limit", "inexpressible"})  # nothing was sent

RETRY_PAUSE_S = (0.05, 0.25)  # before the same provider is asked again after a 500, jittered
RETRY_AFTER_S_MAX = 10.0  # the longest a caller is kept waiting for a provider's Retry-After


class Repeats(NamedTuple):
    """What asking a provider once more depends on, over all calls."""

    budget: RetryBudget
    jitter: Callable[[], float]  # 0 to 1


class Turn(msgspec.Struct, frozen=True):
    candidate: Candidate
    pause_s: float = 0.0  # before it is asked
    again: bool = False  # it has been asked before in this call
    fresh: bool = False  # on a connection that nothing was sent on before


class Turns:
    """One call's, after the first of all: `others` are those that it didn't ask. `observer` is told what the budget
    said."""

    def __init__(self, others: Sequence[Candidate], repeats: Repeats, observer: Observer) -> None:
        self._queue = others
        self._at_once: Turn | None = None  # of the one that was asked last
        self._repeated: set[tuple[str, Next]] = set()
        self._limited: list[tuple[int, Candidate]] = []  # those at their limit, and how many ms they told us to wait
        self._stale: list[Candidate] = []
        self._waited = False
        self._budget, self._jitter = repeats
        self._observer = observer

    def take(self) -> Turn | None:
        """Who is asked now; None when nobody is left."""
        if self._at_once is not None:
            turn, self._at_once = self._at_once, None
            return turn
        if self._queue:
            first, self._queue = self._queue[0], self._queue[1:]
            return Turn(first)
        while self._stale:
            alone = self._stale.pop(0)
            if self._may_repeat(alone, "when_alone"):
                return Turn(alone, again=True, fresh=True)
        return self._as_told()

    def failed(self, turn: Turn, fault: ProviderFault) -> None:
        candidate, outcome = turn.candidate, fault.outcome
        if not turn.again and outcome not in UNASKED:
            self._budget.attempted(candidate.provider)
        if outcome == "rate_limited" and fault.retry_after_ms is not None:
            self._limited.append((fault.retry_after_ms, candidate))
        if outcome in SILENT:
            self._keep(lambda other: other.provider != candidate.provider)
        match NEXT[outcome]:
            case "give_up":
                self._keep(lambda other: _may_fit(other, fault, candidate))
            case "same_once" if self._may_repeat(candidate, "same_once"):
                low, high = RETRY_PAUSE_S
                self._at_once = Turn(candidate, low + (high - low) * self._jitter(), again=True)
            case "when_alone":
                self._stale.append(candidate)
            case _:
                pass

    def _may_repeat(self, candidate: Candidate, why: Next) -> bool:
        if (candidate.key, why) in self._repeated:
            return False
        self._repeated.add((candidate.key, why))
        return self._grant(candidate.provider)

    def _grant(self, provider: str) -> bool:
        granted = self._budget.take(provider)
        self._observer.retried(provider, "granted" if granted else "refused")
        return granted

    def _as_told(self) -> Turn | None:
        """Nobody else is left: the first that may be asked again, once, if a caller can be asked to wait that long."""
        if self._waited or not self._limited:
            return None
        self._waited = True
        wait_ms, soonest = min(self._limited, key=lambda told: told[0])
        if wait_ms > RETRY_AFTER_S_MAX * 1000 or not self._grant(soonest.provider):
            return None
        return Turn(soonest, wait_ms / 1000, again=True)

    def _keep(self, which: Callable[[Candidate], bool]) -> None:
        self._queue = tuple(filter(which, self._queue))
        self._stale = list(filter(which, self._stale))
        self._limited = [told for told in self._limited if which(told[1])]


def _may_fit(other: Candidate, fault: ProviderFault, failed: Candidate) -> bool:
    """Too long a prompt may still fit a larger model that the caller named; any other refusal is final."""
    if fault.code != "context_length_exceeded":
        return False
    return other.model != failed.model and other.context_length > failed.context_length
