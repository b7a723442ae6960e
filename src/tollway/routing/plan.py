"""The planner: a call, the catalog, who is not well, and a seed in; a Plan out that says why. No clock, no I/O.

The same inputs and seed give an equal plan, in any process. Every candidate of every model named has one verdict.
"""

from collections.abc import Collection, Sequence

import msgspec

from tollway.domain.call import NO_PREFERENCES, Call
from tollway.domain.errors import TollwayError
from tollway.domain.plan import Plan, Verdict
from tollway.routing.catalog import Catalog, Resolution
from tollway.routing.explain import no_candidate
from tollway.routing.policy import (
    FILTERS,
    Drawn,
    Filter,
    Measured,
    Standings,
    applying,
    ordered,
    plain,
    refusal,
    suits,
    unmeasured,
)
from tollway.routing.route import Route, arrival, draw

# Each candidate may cost the caller a timeout's wait, and is one more bound of the hold.
MAX_CANDIDATES = 16

DISABLED = "disabled"  # the verdict on a provider out of service


def plan(
    call: Call,
    catalog: Catalog,
    standings: Standings,
    *,
    seed: int,
    measured: Measured = unmeasured,
    disabled: Collection[str] = (),
) -> Plan:
    """Who may serve `call`, in the order to try: `model` first, then each of `fallbacks`; a candidate named twice keeps
    its first place. `disabled` are the providers that the operator took out of service.

    Raises ModelNotFound, ProviderNotFound; NoProviderAvailable, or UnpricedFeature when the caller's preferences left
    some candidate but no rate for what the call asks."""
    if plain(call) and not (call.fallbacks or disabled):
        resolution = catalog.resolve(call.model)
        if resolution.plain and suits(call, resolution):
            made = _by_lot(resolution.every, standings, seed)
            if made is not None:
                return made
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
            if route.provider in disabled:
                refused[route.key] = Verdict(candidate=route.key, kept=False, reason=DISABLED)
            elif filters and (row := refusal(call, filters, route)) is not None:
                refused[route.key] = _refused(call, route, row)
            else:
                kept.append(route)
        if kept:
            sort = resolution.sort or call.preferences.sort
            groups.append(ordered(kept, call, sort, standings, measured, seed))
    for resolution in named:
        if resolution.pinned is not None:
            for route in resolution.every:
                if route.key not in seen:
                    seen.add(route.key)
                    refused[route.key] = Verdict(candidate=route.key, kept=False, reason="not_pinned")
    if not groups:
        raise _nobody(call, named, tuple(refused.values()), disabled)
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


def _by_lot(routes: Sequence[Route], standings: Standings, seed: int) -> Plan | None:
    """The plan where nothing but the draw decides: as nearly every call's, so it is made in few steps. None where
    something else does: somebody isn't well, or there are more than are tried."""
    if len(routes) == 1:
        only = routes[0]
        if standings.get(only.key) is not None:
            return None
        verdict = _well(only, draw(seed, only.salt), 1)
        return Plan(candidates=(only.candidate,), seed=seed, verdicts=(verdict,))
    if len(routes) > MAX_CANDIDATES:
        return None
    drawn: list[tuple[float, str, Route, float]] = []
    for route in routes:
        key = route.key
        if standings.get(key) is not None:
            return None
        number = draw(seed, route.salt)
        drawn.append((arrival(route, number), key, route, number))
    drawn.sort()
    candidates, verdicts = [], []
    for rank, (_, _, route, number) in enumerate(drawn, 1):
        candidates.append(route.candidate)
        verdicts.append(_well(route, number, rank))
    return Plan(candidates=tuple(candidates), seed=seed, verdicts=tuple(verdicts))


def _named(call: Call, catalog: Catalog) -> list[Resolution]:
    """Everything the call names, looked up before anything is chosen: a misspelling is told, not fallen back from."""
    named = [catalog.resolve(call.model)]
    for index, name in enumerate(call.fallbacks):
        named.append(catalog.resolve(name, f"models[{index}]"))
    if call.preferences is not NO_PREFERENCES:
        catalog.require_providers(call.preferences)
    return named


def _refused(call: Call, route: Route, row: Filter) -> Verdict:
    return Verdict(candidate=route.key, kept=False, reason=row.reason, note=row.note(call, route))


def _nobody(
    call: Call, named: Sequence[Resolution], refused: Sequence[Verdict], disabled: Collection[str]
) -> TollwayError:
    """The error for a call that nobody may serve, with what would serve it: whom only one thing stands against that is
    the caller's to change."""
    every = {route.key: route for resolution in named for route in resolution.every}
    asked = {route.key for resolution in named for route in resolution.asked}
    without: dict[str, list[str]] = {}
    in_service = {key: route for key, route in every.items() if route.provider not in disabled}
    for key, route in in_service.items():
        against = [row.preference for row in FILTERS if row.applies(call) and row.refuses(call, route)]
        if key not in asked:
            against.append("pin")
        if len(against) == 1:
            without.setdefault(against[0], []).append(key)
    return no_candidate(call, refused, [route.candidate for route in in_service.values()], without)


def _bounded(groups: Sequence[list[Drawn]], allow_fallbacks: bool) -> tuple[list[Drawn], list[Drawn], str]:
    """What is tried, what is left over, and why it is: each model keeps a place, however many serve the one before."""
    if not allow_fallbacks:
        first, *others = [drawn for group in groups for drawn in group]
        return [first], others, "fallbacks_not_allowed"
    if len(groups) == 1:
        return groups[0][:MAX_CANDIDATES], groups[0][MAX_CANDIDATES:], "too_many"
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
    candidates, verdicts = [], []
    for rank, d in enumerate(tried, 1):
        candidates.append(d.route.candidate)
        verdicts.append(_kept(d, rank))
    if left:
        verdicts += [msgspec.structs.replace(_kept(d, None), kept=False, reason=reason) for d in left]
    verdicts += refused.values()
    return Plan(candidates=tuple(candidates), seed=seed, verdicts=tuple(verdicts))


def _kept(d: Drawn, rank: int | None) -> Verdict:
    if d.note is None and d.performance is None:
        return _well(d.route, d.draw, rank)
    return Verdict(
        candidate=d.key,
        kept=True,
        rank=rank,
        weight=d.route.weight,
        draw=d.draw,
        note=d.note,
        standing=d.standing,
        performance=d.performance,
    )


def _well(route: Route, number: float, rank: int | None) -> Verdict:
    """On one of whom there is nothing to say but what it drew."""
    return Verdict(candidate=route.key, kept=True, rank=rank, weight=route.weight, draw=number)
