"""The terms of a call before it is made: what each candidate could cost at most, and what to say when that is too much.

`max_cost` is kept by lowering the output limit; a candidate that can't fit even one token into it is left out.
"""

import msgspec

from tollway.domain.call import Call
from tollway.domain.commands import Insufficient
from tollway.domain.errors import InsufficientBalance, KeyLimitExceeded, RequestError, TollwayError
from tollway.domain.money import format_usd
from tollway.domain.plan import Candidate, Plan
from tollway.metering.bound import affordable_max_tokens, hold_bound


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """`bounds` in nano-USD by Candidate.key; `caps` the output limits lowered for max_cost."""

    bounds: dict[str, int]
    caps: dict[str, int]
    too_dear: tuple[str, ...]  # keys that can't fit one token into max_cost
    candidates: tuple[Candidate, ...]  # of the plan, those that are too dear included
    amounts: tuple[int, ...]  # distinct bounds, largest first: what the ledger is asked to hold

    def beyond(self, held: int) -> tuple[str, ...]:
        """The candidates that a hold of `held` doesn't carry."""
        if held >= self.amounts[0]:
            return ()
        return tuple(key for key, bound in self.bounds.items() if bound > held)


def terms(call: Call, plan: Plan) -> Terms:
    """What each candidate may cost at most, and where the caller's output limit is lowered: to what the model can put
    out, and to what max_cost carries. Raises RequestError when nothing in the plan fits into max_cost."""
    bounds: dict[str, int] = {}
    caps: dict[str, int] = {}
    too_dear: list[str] = []
    for candidate in plan.candidates:
        bound = hold_bound(call, candidate)
        if call.max_tokens is not None and call.max_tokens > candidate.max_output_tokens:
            # The hold covers what the model can put out: more must not be asked for, or it could not be charged.
            caps[candidate.key] = candidate.max_output_tokens
        if call.max_cost is not None and bound > call.max_cost:
            cap = affordable_max_tokens(call, candidate, call.max_cost)
            if cap < 1:
                too_dear.append(candidate.key)
                continue
            caps[candidate.key] = cap
            bound = hold_bound(call, candidate, cap)
        bounds[candidate.key] = bound
    if not bounds:
        least = {candidate.key: hold_bound(call, candidate, 1) for candidate in plan.candidates}
        needed = min(least.values())
        raise RequestError(
            f"No provider of this model can answer within max_cost: one token may cost up to {format_usd(needed)} USD.",
            param="max_cost",
            details={
                "candidates": [
                    {"candidate": key, "reason": "beyond_max_cost", "max_cost": format_usd(bound)}
                    for key, bound in least.items()
                ],
                "would_fit": {"max_cost": format_usd(needed)},
            },
        )
    amounts = tuple(bounds.values())
    return Terms(
        bounds=bounds,
        caps=caps,
        too_dear=tuple(too_dear),
        candidates=plan.candidates,
        amounts=amounts if len(amounts) == 1 else tuple(sorted(set(amounts), reverse=True)),
    )


_CURE = {"balance": "top up", "key": "ask its owner for a new one"}


def insufficient(call: Call, terms: Terms, short: Insufficient) -> TollwayError:
    """402: the balance, the hold that was needed, and the largest max_tokens that the balance could carry. 403 where
    it is the limit of a delegated key that falls short."""
    available = short.available
    needed = min(terms.bounds.values())
    # Not only of the one with the least bound: another may ask less for the prompt and more for the answer.
    fitting = [candidate for candidate in terms.candidates if candidate.key in terms.bounds]
    fits = max(affordable_max_tokens(call, candidate, max(0, available)) for candidate in fitting)
    advice = f"lower {call.max_tokens_field} to {fits} or {_CURE[short.short]}" if fits >= 1 else _CURE[short.short]
    details = {"hold_usd": format_usd(needed), "max_tokens_affordable": fits}
    costs = f"This call may cost up to {format_usd(needed)} USD"
    if short.short == "key":
        return KeyLimitExceeded(
            f"{costs} and this key may spend {format_usd(available)} USD more: {advice}.",
            details={"key_left_usd": format_usd(available), **details},
        )
    return InsufficientBalance(
        f"{costs} and the balance has {format_usd(available)} USD free: {advice}.",
        details={"balance_usd": format_usd(available), **details},
    )
