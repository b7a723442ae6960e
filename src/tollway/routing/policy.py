"""The rules of choice: who may serve a call, and who is asked first. Each rule is a row or a key, and pure.

Theory. A candidate is refused by the first row of FILTERS that applies to the call and refuses it; whatever row that
is, its word is the candidate's reason. The rest are sorted, model by model in the order the caller named them, by:

1. the caller's `provider.order`, which stands as it was said: nothing below overrules it;
2. whether it is known not to take something of the call: what it can't take is dropped for it;
3. standing: well, or about to be probed; then in trouble; then cooling down after a Retry-After;
4. whether it isn't known to be able to, or its context may be too short for the prompt;
5. whether it is slower than the caller prefers, as far as it was measured;
6. the caller's sort, if there is one: a price, or what was measured; who was not measured comes last;
7. an arrival time, exponential with rate 1/price². The first to arrive is a draw with that weight, the second a draw
   among the rest, and so on: one number a candidate orders them all (Efraimidis, Spirakis 2006).

Must not know clocks or how a provider came to its standing.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import Literal, NamedTuple, Protocol

import msgspec

from tollway.domain.call import NO_PREFERENCES, Call, MaxPrice, Percentiles, Sort
from tollway.domain.parameters import ORDINARY, dropped
from tollway.domain.plan import Performance
from tollway.routing.catalog import Resolution
from tollway.routing.price import exceeded
from tollway.routing.route import Route, arrival, draw

# probing: in trouble, and the call would be the one that finds out whether it still is.
Standing = Literal["troubled", "cooling", "probing"]

_STANDING_RANK: dict[Standing | None, int] = {None: 0, "probing": 0, "troubled": 1, "cooling": 2}
_STANDINGS = 3

UNMEASURED = Performance()


class Standings(Protocol):
    """Candidates that are not well, by key. A plain dict serves."""

    def get(self, key: str, /) -> Standing | None: ...


Measured = Callable[[str, str], Performance | None]  # of a provider and a model, lately


def unmeasured(provider: str, model: str) -> None:
    """Nobody has been measured."""


class Filter(NamedTuple):
    """Why a route may not serve a call. `preference` is what a caller would change to have it."""

    reason: str
    preference: str
    applies: Callable[[Call], bool]
    refuses: Callable[[Call, Route], bool]
    note: Callable[[Call, Route], str | None] = lambda call, route: None


def missing(call: Call, route: Route) -> list[str]:
    """What the call asks for and the route isn't known to take: `require_parameters` is about it."""
    asked = call.needs | (call.fields.keys() - ORDINARY - {"response_format"})
    return sorted((asked - route.supports) | (route.lacks & call.fields.keys()))


def _over(call: Call, route: Route) -> list[str]:
    return exceeded(call.preferences.max_price or MaxPrice(), call, route.candidate)


# What the caller allows comes before what we can price: `unpriced_feature` means that nothing else stood in the way.
FILTERS: tuple[Filter, ...] = (
    Filter(
        "not_in_only",
        "provider.only",
        lambda call: bool(call.preferences.only),
        lambda call, route: route.provider not in call.preferences.only,
    ),
    Filter(
        "ignored",
        "provider.ignore",
        lambda call: bool(call.preferences.ignore),
        lambda call, route: route.provider in call.preferences.ignore,
    ),
    Filter(
        "not_in_order",
        "provider.order",
        lambda call: bool(call.preferences.order) and not call.preferences.allow_fallbacks,
        lambda call, route: route.provider not in call.preferences.order,
    ),
    Filter(
        "collects_data",
        "provider.data_collection",
        lambda call: call.preferences.data_collection == "deny",
        lambda call, route: route.candidate.data_collection != "deny",
    ),
    Filter(
        "over_max_price",
        "provider.max_price",
        lambda call: call.preferences.max_price is not None,
        lambda call, route: bool(_over(call, route)),
        lambda call, route: ", ".join(_over(call, route)),
    ),
    Filter(
        "lacks_parameters",
        "provider.require_parameters",
        lambda call: call.preferences.require_parameters,
        lambda call, route: bool(missing(call, route)),
        lambda call, route: ", ".join(missing(call, route)),
    ),
    Filter(
        "one_choice",
        "n",
        lambda call: call.n > 1,
        lambda call, route: route.candidate.one_choice,
    ),
    Filter(
        "unpriced_feature",
        "features",
        lambda call: bool(call.features),
        lambda call, route: not call.features <= route.features,
        lambda call, route: ", ".join(sorted(call.features - route.features)),
    ),
)


class Drawn(msgspec.Struct, order=True):
    """A route in its place; sorts by the first four fields, of which the key differs always."""

    place: int
    by: float  # an int where it is a price
    arrival: float
    key: str
    route: Route
    draw: float
    note: str | None
    standing: Standing | None
    performance: Performance | None


def plain(call: Call) -> bool:
    """Whether no filter applies, as with nearly every call."""
    return call.preferences is NO_PREFERENCES and not call.features and call.n == 1


def suits(call: Call, where: Route | Resolution) -> bool:
    """Whether nothing of the call is in question at a route, or at any that a plain name stands for, the prompt's
    length included."""
    prompt = call.prompt
    return (
        not call.needs and not where.lacks and prompt.text_bytes + where.message_tokens * prompt.messages <= where.room
    )


def applying(call: Call) -> list[Filter]:
    if plain(call):
        return []
    return [row for row in FILTERS if row.applies(call)]


def refusal(call: Call, filters: Sequence[Filter], route: Route) -> Filter | None:
    """The first filter that refuses the route."""
    for row in filters:
        if row.refuses(call, route):
            return row
    return None


def ordered(
    routes: Sequence[Route], call: Call, sort: Sort | None, standings: Standings, measured: Measured, seed: int
) -> list[Drawn]:
    """The routes of one model, the one to try first in front. `sort` is the name's, or else the call's own."""
    choosy = not (call.preferences is NO_PREFERENCES and sort is None)
    measures = choosy and _measures(call, sort)
    drawn = []
    for route in routes:
        number = draw(seed, route.salt)
        standing = standings.get(route.key)
        place = _STANDING_RANK[standing] * 4
        by: float = 0
        note: str | None = standing
        performance: Performance | None = None
        if choosy or not suits(call, route):
            performance = measured(route.provider, route.candidate.model) if measures else None
            place, note = _place(call, route, standing, performance or UNMEASURED)
            by = _by(sort, route, performance or UNMEASURED)
        drawn.append(Drawn(place, by, arrival(route, number), route.key, route, number, note, standing, performance))
    drawn.sort()
    return drawn


def _measures(call: Call, sort: Sort | None) -> bool:
    """Whether it matters how fast anybody is."""
    if sort is not None and sort != "price":
        return True
    preferences = call.preferences
    return preferences.preferred_max_latency is not None or preferences.preferred_min_throughput is not None


def _place(call: Call, route: Route, standing: Standing | None, performance: Performance) -> tuple[int, str | None]:
    """The first five keys of the order as one number, and what there is to say of them."""
    notes = []
    order = call.preferences.order
    at = order.index(route.provider) if route.provider in order else len(order)
    if at < len(order):
        notes.append("ordered")
    if standing is not None:
        notes.append(standing)
    lacks, doubtful = _fitness(call, route, notes)
    slow = _slow(call, performance, notes)
    place = (((at * 2 + lacks) * _STANDINGS + _STANDING_RANK[standing]) * 2 + doubtful) * 2 + slow
    return place, ", ".join(notes) or None


def _fitness(call: Call, route: Route, notes: list[str]) -> tuple[bool, bool]:
    """Whether the route is known not to take something of the call, and whether it isn't known to take all that an
    answer needs. Adds to `notes` what that is."""
    without = sorted({*dropped(call.fields, call.needs, route.lacks), *(call.needs & route.lacks)})
    if without:
        notes.append(f"without {', '.join(without)}")
    unknown = sorted(call.needs - route.supports - route.lacks)
    if unknown:
        notes.append(f"not known to take {', '.join(unknown)}")
    prompt, candidate = call.prompt, route.candidate
    parts = sum(count * candidate.part_tokens.get(kind, 0) for kind, count in prompt.parts)
    short = prompt.text_bytes + route.message_tokens * prompt.messages + parts > route.room
    if short:
        notes.append("the prompt may not fit")
    return bool(without), bool(unknown) or short


def _slow(call: Call, performance: Performance, notes: list[str]) -> bool:
    """Whether something was measured that the caller prefers otherwise."""
    preferences = call.preferences
    late = _beyond(performance.latency_s, preferences.preferred_max_latency, 1)
    thin = _beyond(performance.tokens_per_s, preferences.preferred_min_throughput, -1)
    if late:
        notes.append("over preferred_max_latency")
    if thin:
        notes.append("under preferred_min_throughput")
    return late or thin


def _beyond(found: Percentiles, preferred: Percentiles | None, sign: int) -> bool:
    if preferred is None:
        return False
    pairs = [(getattr(found, name), getattr(preferred, name)) for name in Percentiles.__struct_fields__]
    return any(have is not None and want is not None and sign * have > sign * want for have, want in pairs)


def _by(sort: Sort | None, route: Route, performance: Performance) -> float:
    """What sorts: the less the better."""
    if sort is None:
        return 0
    if sort == "price":
        return route.price
    if sort == "latency":
        median = performance.latency_s.p50
        return inf if median is None else median
    median = performance.tokens_per_s.p50
    return inf if median is None else -median
