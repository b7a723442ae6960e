"""A verdict in words, for /generations and for the errors of a plan that came out empty. Must not choose anything."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tollway.domain.call import Call
from tollway.domain.errors import NoProviderAvailable, TollwayError, UnpricedFeature
from tollway.domain.plan import Candidate, Verdict
from tollway.routing.nearest import shown
from tollway.routing.price import blended, per_million

# Every reason a verdict may carry. The words are stable; they are kept with each call.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "disabled": "the operator took its provider out of service",
        "not_in_only": "`provider.only` does not list it",
        "ignored": "`provider.ignore` lists it",
        "not_in_order": "`provider.order` does not list it and `provider.allow_fallbacks` is false",
        "collects_data": "`provider.data_collection` is deny and its provider may keep prompts",
        "over_max_price": "it is over `provider.max_price`",
        "lacks_parameters": "`provider.require_parameters` asks for what it isn't known to take",
        "one_choice": "`n` asks for more than one choice, which is all that its provider gives",
        "unpriced_feature": "it has no price for what the call asks beyond tokens",
        "not_pinned": "the call pins another provider",
        "fallbacks_not_allowed": "`provider.allow_fallbacks` is false and another came first",
        "too_many": "enough others came before it",
        "at_limit": "its provider is at the limit that this router keeps to",
        "beyond_max_cost": "not even one token of it fits into `max_cost`",
        "beyond_the_hold": "the balance does not carry what it may cost",
    }
)

# An error stays readable, and small, however many providers a model has.
CANDIDATES_SHOWN_MAX = 32
CANDIDATES_TOLD_MAX = 4


def explain(verdict: Verdict) -> str:
    """One sentence on one candidate."""
    note = f" ({verdict.note})" if verdict.note else ""
    if verdict.kept:
        return f"{verdict.candidate} is number {verdict.rank}{note}: drew {verdict.draw} at weight {verdict.weight}."
    reason = verdict.reason or ""
    return f"{verdict.candidate} was left out: {REASONS.get(reason, reason)}{note}."


def no_candidate(
    call: Call,
    verdicts: Sequence[Verdict],
    candidates: Sequence[Candidate],
    without: Mapping[str, Sequence[str]],
) -> TollwayError:
    """The error for a call that nobody may serve; `verdicts` are all refusals, `candidates` whoever of the models that
    the call names is in service. `without` names, by what a caller would change, those that only that stands against.

    UnpricedFeature when the caller's preferences left somebody, NoProviderAvailable when they left nobody."""
    details: dict[str, object] = {
        "candidates": [_told(verdict) for verdict in verdicts[:CANDIDATES_SHOWN_MAX]],
        "would_fit": {
            "without": {name: list(keys[:CANDIDATES_SHOWN_MAX]) for name, keys in without.items()},
            "lowest_price": _cheapest(candidates) if candidates else None,
            "largest_context_length": max((candidate.context_length for candidate in candidates), default=None),
        },
    }
    asked = shown(call.model) + (" or its fallbacks" if call.fallbacks else "")
    if any(verdict.reason == "unpriced_feature" for verdict in verdicts):
        features = ", ".join(sorted(call.features))
        return UnpricedFeature(
            f"The call asks for {features}, and nobody who may serve {asked} has a price for all of it: "
            "leave out what `candidates` names, or choose another model.",
            details=details,
        )
    cures = " or ".join(f"`{name}`" for name in without) or "`provider` or the pin"
    cure = f"Change {cures}, or choose another model." if candidates else "Choose another model."
    told = [explain(verdict) for verdict in verdicts[:CANDIDATES_TOLD_MAX]]
    if len(verdicts) > CANDIDATES_TOLD_MAX:
        told.append(f"So were {len(verdicts) - CANDIDATES_TOLD_MAX} more.")
    return NoProviderAvailable(
        f"No provider may serve {asked}. {' '.join(told)} {cure}",
        details=details,
    )


def _told(verdict: Verdict) -> dict[str, str | None]:
    told = {"candidate": verdict.candidate, "reason": verdict.reason}
    return told if verdict.note is None else {**told, "note": verdict.note}


def _cheapest(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Who costs least for a token in and one out, and what, in USD per million tokens."""
    cheapest = min(candidates, key=lambda candidate: (blended(candidate.tariff), candidate.key))
    return {"candidate": cheapest.key, **per_million(cheapest.tariff)}
