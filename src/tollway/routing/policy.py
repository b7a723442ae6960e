"""The rules of choice: who may serve a call, and who is asked first. Each rule is a row or a key, and pure.

Theory. A candidate is refused by the first row of FILTERS that applies to the call and refuses it; whatever row that
is, its word is the candidate's reason. The rest are sorted, model by model in the order the caller named them, by:

1. the caller's `provider.order`, which stands as it was said: health does not overrule it;
2. standing: well, then in trouble in the last 30 s, then cooling down after a Retry-After;
3. an arrival time, exponential with rate 1/price². The first to arrive is a draw with that weight, the second a draw
   among the rest, and so on: one number a candidate orders them all (Efraimidis, Spirakis 2006).

Must not know clocks or how a provider came to its standing.
"""

from collections.abc import Callable, Sequence
from math import log
from typing import Literal, NamedTuple, Protocol

import msgspec

from tollway.domain.call import Call
from tollway.routing.route import Route, draw

Standing = Literal["troubled", "cooling"]

_STANDING_RANK: dict[Standing | None, int] = {None: 0, "troubled": 1, "cooling": 2}


class Standings(Protocol):
    """Candidates that are not well, by key. A plain dict serves."""

    def get(self, key: str, /) -> Standing | None: ...


class Filter(NamedTuple):
    reason: str
    applies: Callable[[Call], bool]
    refuses: Callable[[Call, Route], bool]


# What the caller allows comes before what we can price: `unpriced_feature` means that nothing else stood in the way.
FILTERS: tuple[Filter, ...] = (
    Filter(
        "not_in_only",
        lambda call: bool(call.preferences.only),
        lambda call, route: route.provider not in call.preferences.only,
    ),
    Filter(
        "ignored",
        lambda call: bool(call.preferences.ignore),
        lambda call, route: route.provider in call.preferences.ignore,
    ),
    Filter(
        "not_in_order",
        lambda call: bool(call.preferences.order) and not call.preferences.allow_fallbacks,
        lambda call, route: route.provider not in call.preferences.order,
    ),
    Filter(
        "unpriced_feature",
        lambda call: bool(call.features),
        lambda call, route: not call.features <= route.features,
    ),
)


class Drawn(msgspec.Struct, order=True):
    """A route in its place; sorts by the first four fields, of which the key differs always."""

    listed: int  # index in provider.order; its length when absent
    standing_rank: int
    arrival: float
    key: str
    route: Route
    draw: float
    note: str | None


def applying(call: Call) -> list[Filter]:
    return [row for row in FILTERS if row.applies(call)]


def refusal(call: Call, filters: Sequence[Filter], route: Route) -> str | None:
    """The reason of the first filter that refuses the route."""
    for row in filters:
        if row.refuses(call, route):
            return row.reason
    return None


def ordered(routes: Sequence[Route], order: Sequence[str], standings: Standings, seed: int) -> list[Drawn]:
    """The routes of one model, the one to try first in front."""
    drawn = []
    for route in routes:
        listed = order.index(route.provider) if route.provider in order else len(order)
        standing = standings.get(route.key)
        number = draw(seed, route.salt)
        arrival = -log(number) / route.weight
        note: str | None = standing
        if listed < len(order):
            note = f"ordered, {standing}" if standing else "ordered"
        drawn.append(Drawn(listed, _STANDING_RANK[standing], arrival, route.key, route, number, note))
    drawn.sort()
    return drawn
