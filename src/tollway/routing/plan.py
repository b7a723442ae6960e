"""The planner: a call, the catalog, who is not well, and a seed in; a Plan out that says why. No clock, no I/O.

The same inputs and seed give an equal plan, in any process. Every candidate of every model named has one verdict.
"""

from collections.abc import Collection, Sequence

import msgspec

from tollway.domain.call import Call
from tollway.domain.plan import Plan, Verdict
from tollway.routing.catalog import Catalog, Resolution
from tollway.routing.explain import no_candidate
from tollway.routing.policy import Drawn, Standings, applying, ordered, refusal
from tollway.routing.route import Route

# Each candidate may cost the caller a timeout's wait, and is one more bound of the hold.
MAX_CANDIDATES = 16


def plan(call: Call, catalog: Catalog, standings: Standings, *, seed: int) -> Plan:
    """Who may serve `call`, in the order to try: `model` first, then each of `fallbacks`; a candidate named twice keeps
    its first place.

    Raises ModelNotFound, ProviderNotFound; NoProviderAvailable, or UnpricedFeature when the caller's preferences left
    some candidate but no rate for what the call asks."""
    named = _named(call, catalog)
    filters = applying(call)
    groups: list[list[Drawn]] = []
    refused: dict[str, Verdict] = {}
    seen: set[str] = set()
    for resolution in named:
        kept = []
        for route in resolution.asked:
            if route.key in seen:
                continue
            seen.add(route.key)
            reason = refusal(call, filters, route)
            if reason is None:
                kept.append(route)
            else:
                refused[route.key] = _refused(call, route, reason)
        if kept:
            groups.append(ordered(kept, call.preferences.order, standings, seed))
    for resolution in named:
        if resolution.pinned is not None:
            for route in resolution.every:
                if route.key not in seen:
                    seen.add(route.key)
                    refused[route.key] = Verdict(candidate=route.key, kept=False, reason="not_pinned")
    if not groups:
        raise no_candidate(call, tuple(refused.values()))
    return _plan(*_bounded(groups, call.preferences.allow_fallbacks), refused, seed)


def narrow(plan: Plan, dropped: Collection[str], reason: str = "beyond_the_hold") -> Plan:
    """`plan` without the candidates whose keys are in `dropped`; their verdicts say `reason`, the others move up."""
    rank = 0
    verdicts = []
    for verdict in plan.verdicts:
        if verdict.kept and verdict.candidate in dropped:
            verdict = msgspec.structs.replace(verdict, kept=False, reason=reason, rank=None)
        elif verdict.kept:
            rank += 1
            verdict = msgspec.structs.replace(verdict, rank=rank)
        verdicts.append(verdict)
    candidates = tuple(candidate for candidate in plan.candidates if candidate.key not in dropped)
    caps = {key: cap for key, cap in plan.caps.items() if key not in dropped}
    return Plan(candidates=candidates, seed=plan.seed, verdicts=tuple(verdicts), caps=caps)


def _named(call: Call, catalog: Catalog) -> list[Resolution]:
    """Everything the call names, looked up before anything is chosen: a misspelling is told, not fallen back from."""
    named = [catalog.resolve(call.model)]
    for index, name in enumerate(call.fallbacks):
        named.append(catalog.resolve(name, f"models[{index}]"))
    preferences = call.preferences
    if preferences.order or preferences.only or preferences.ignore:
        catalog.require_providers(preferences)
    return named


def _refused(call: Call, route: Route, reason: str) -> Verdict:
    missing = ", ".join(sorted(call.features - route.features)) if reason == "unpriced_feature" else None
    return Verdict(candidate=route.key, kept=False, reason=reason, note=missing)


def _bounded(groups: Sequence[list[Drawn]], allow_fallbacks: bool) -> tuple[list[Drawn], list[Drawn], str]:
    """What is tried, what is left over, and why it is: each model keeps a place, however many serve the one before."""
    if not allow_fallbacks:
        first, *others = [drawn for group in groups for drawn in group]
        return [first], others, "fallbacks_not_allowed"
    tried: list[Drawn] = []
    left: list[Drawn] = []
    following = len(groups)
    for group in groups:
        following -= 1
        room = MAX_CANDIDATES - len(tried) - following
        tried += group[:room]
        left += group[room:]
    return tried, left, "too_many"


def _plan(tried: list[Drawn], left: list[Drawn], reason: str, refused: dict[str, Verdict], seed: int) -> Plan:
    verdicts = [
        Verdict(candidate=d.key, kept=True, rank=rank, weight=d.route.weight, draw=d.draw, note=d.note)
        for rank, d in enumerate(tried, 1)
    ]
    verdicts += [
        Verdict(candidate=d.key, kept=False, reason=reason, weight=d.route.weight, draw=d.draw, note=d.note)
        for d in left
    ]
    verdicts += refused.values()
    return Plan(candidates=tuple([d.route.candidate for d in tried]), seed=seed, verdicts=tuple(verdicts))
