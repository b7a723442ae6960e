"""A recorded decision made again: the same call, seed and knowledge of providers' health, the catalog of today. Must
not know where the record came from.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from tollway.domain.call import Call
from tollway.domain.plan import Performance, Plan, Verdict
from tollway.routing.catalog import Catalog
from tollway.routing.plan import DISABLED, narrow, plan
from tollway.routing.policy import Standing


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a candidate, and what is said now; None where it wasn't, or isn't, one."""

    candidate: str
    recorded: Verdict | None
    replayed: Verdict | None


def replay(call: Call, catalog: Catalog, recorded: Sequence[Verdict], *, seed: int) -> Plan:
    """The plan from what the verdicts say was known. Whom a limit or the money left out later is left out again.
    Raises as `plan` does."""
    standings = {v.candidate: cast(Standing, v.standing) for v in recorded if v.standing is not None}
    disabled = {v.candidate.partition(":")[0] for v in recorded if v.reason == DISABLED}
    measured: Mapping[str, Performance | None] = {v.candidate: v.performance for v in recorded}
    made = plan(
        call,
        catalog,
        standings,
        seed=seed,
        measured=lambda provider, model: measured.get(f"{provider}:{model}"),
        disabled=disabled,
    )
    for reason in ("at_limit", "beyond_max_cost", "beyond_the_hold"):
        made = narrow(made, [v.candidate for v in recorded if v.reason == reason], reason)
    return made


def differences(recorded: Sequence[Verdict], replayed: Sequence[Verdict]) -> list[Difference]:
    """Nothing, when both say the same of the same candidates."""
    then, now = ({verdict.candidate: verdict for verdict in some} for some in (recorded, replayed))
    return [
        Difference(candidate=key, recorded=then.get(key), replayed=now.get(key))
        for key in {**then, **now}
        if then.get(key) != now.get(key)
    ]
