"""The operator's share of each provider's quota: a gate an attempt passes, and who has no room at the moment.

What counts at a provider is what was sent to it, also where the wallet pays nothing. A call that is larger than all
that a provider's period lets through is let through by an empty one.
"""

from collections.abc import Mapping, Sequence

from tollway.domain.answer import Outcome
from tollway.domain.call import Call
from tollway.domain.errors import ProviderFault, RateLimited
from tollway.domain.limit import Ask, Taken
from tollway.domain.plan import Candidate
from tollway.domain.usage import Usage
from tollway.limits.allowances import Allowance
from tollway.limits.counts import Counts
from tollway.limits.limiter import Limiter
from tollway.limits.tokens import guess
from tollway.limits.told import CROWDED_MS, duration_text

# The provider generated nothing, and said so.
UNSERVED: frozenset[Outcome] = frozenset(
    {"connect_failed", "stale_connection", "rate_limited", "overloaded", "refused_by_provider", "rejected"}
)


class Pass:
    """One attempt's. Left once, whatever ends it; until it is settled it counts at what was guessed."""

    __slots__ = ("_inside", "_limiter", "_taken")

    def __init__(self, limiter: Limiter, taken: Taken | None, inside: bool) -> None:
        self._limiter = limiter
        self._taken = taken
        self._inside = inside

    def leave(self) -> None:
        """Safe to say twice."""
        if self._inside and self._taken is not None:
            self._inside = False
            self._limiter.leave(self._taken)

    def failed(self, outcome: Outcome) -> None:
        """The attempt came to nothing. What a provider may have generated before it fell silent stays counted."""
        if outcome in UNSERVED:
            self._settle(0)

    def used(self, usage: Usage) -> None:
        """What the attempt came to."""
        self._settle(usage.prompt + usage.completion)

    def _settle(self, tokens: int) -> None:
        if self._taken is not None and len(self._taken.asks) > 1:
            self._limiter.settle(self._taken, (1, tokens))


class Gate:
    """One provider's, of one configuration; what is counted outlives it."""

    def __init__(self, counts: Counts, provider: str, allowance: Allowance) -> None:
        self._limiter = counts.providers
        self._observer = counts.observer
        self._provider = provider
        self._allowance = allowance

    async def enter(self, call: Call, candidate: Candidate) -> Pass:
        """Let an attempt through. Raises ProviderFault("at_limit"), which says when there is room again."""
        taken = await self._limiter.take(self._asks(call, candidate))
        if taken is not None and taken.short is not None:
            self._refused(taken)
            raise ProviderFault("at_limit", "no room within providers.limits", retry_after_ms=wait_ms(taken))
        return Pass(self._limiter, taken, self._allowance.concurrency is not None)

    async def wait_ms(self, call: Call, candidate: Candidate) -> int | None:
        """How long until there is room, as far as that is known; None when there is."""
        looked = await self._limiter.look(self._asks(call, candidate))
        if looked is None or looked.short is None:
            return None
        self._refused(looked)
        return wait_ms(looked)

    def _asks(self, call: Call, candidate: Candidate) -> list[Ask]:
        allowance = self._allowance
        asks = [Ask(key=f"pr:{self._provider}", rates=allowance.requests, at_once=allowance.concurrency)]
        if allowance.tokens:
            tokens = min(guess(call, candidate), *[rate.most for rate in allowance.tokens])
            asks.append(Ask(key=f"pt:{self._provider}", amount=tokens, rates=allowance.tokens))
        return asks

    def _refused(self, taken: Taken) -> None:
        kind = "tokens" if taken.short else "concurrency" if taken.wait_s is None else "requests"
        self._observer.limited("provider", kind, self._provider)


def wait_ms(taken: Taken) -> int:
    wait_s = taken.wait_s
    return CROWDED_MS if wait_s is None else max(1, -int(-wait_s * 1000 // 1))


class Gates:
    """By provider, of those that have one."""

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self._gates = gates

    def __len__(self) -> int:
        return len(self._gates)

    def get(self, provider: str) -> Gate | None:
        return self._gates.get(provider)

    async def full(self, call: Call, candidates: Sequence[Candidate]) -> list[str]:
        """The keys of those whose provider has no room. Raises RateLimited, with the soonest, when that is all."""
        waits: dict[str, int] = {}
        for candidate in candidates:
            gate = self._gates.get(candidate.provider)
            wait = None if gate is None else await gate.wait_ms(call, candidate)
            if wait is not None:
                waits[candidate.key] = wait
        if len(waits) < len(candidates):
            return list(waits)
        raise all_full(min(waits.values()), list(waits))


def all_full(wait_ms: int, keys: Sequence[str]) -> RateLimited:
    return RateLimited(
        "Every provider that may serve this call is at the limit that this router keeps to: "
        f"try again in {duration_text(wait_ms / 1000)}.",
        retry_after_ms=wait_ms,
        details={
            "limit": {"of": "provider"},
            "candidates": [{"candidate": key, "reason": "at_limit"} for key in keys],
        },
    )
