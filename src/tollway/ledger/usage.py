"""What an account's posted calls came to: how one call counts, and the report made from sums by day. Pure.

A store keeps sums by UTC day, so that a report over months reads hundreds of rows and not every call. Two kinds of
them: by model and provider, of which there are few, and by a name that the call had (its `user`, its delegated key), of
which there may be any number.
"""

import datetime as dt
from typing import TypeVar

from tollway.domain.commands import UsageBy, UsageLine, UsageReport
from tollway.domain.usage import Usage

DAY_MS = 86_400_000
USAGE_DAYS_MAX = 366  # a leap year
USAGE_LINES_MAX = 1000  # of a report, as of a statement's page; only names can be more
# (day, name) pairs that are read for one report: a tenth of a second. The reader has others to serve.
NAMES_READ_MAX = 100_000
_EPOCH = dt.date(1970, 1, 1).toordinal()

Sums = list[int]  # of posted calls: calls, prompt, completion, cached and reasoning tokens, nano-USD charged
K = TypeVar("K")


def add_call(kept: dict[K, Sums], key: K, usage: Usage | None, charged: int) -> None:
    """Add one posted call. Without usage it has no tokens. On every call's path: written out, half a microsecond."""
    sums = kept.get(key)
    if sums is None:
        sums = kept[key] = [0, 0, 0, 0, 0, 0]
    sums[0] += 1
    sums[5] += charged
    if usage is not None:
        sums[1] += usage.prompt
        sums[2] += usage.completion
        sums[3] += usage.cached
        sums[4] += usage.reasoning


def day_number(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return date.toordinal() - _EPOCH


def day_key(day: int) -> str:
    """YYYY-MM-DD."""
    return dt.date.fromordinal(day + _EPOCH).isoformat()


def check_period(first: dt.date, last: dt.date) -> None:
    if not 0 <= (last - first).days < USAGE_DAYS_MAX:
        raise ValueError(f"period: {first} to {last} is not within 1 to {USAGE_DAYS_MAX} days")


def report(by: UsageBy, groups: dict[str | None, Sums]) -> UsageReport:
    """Days in their order; of anything else the dearest first, as many as a report has lines."""
    lines = [_line(key, sums) for key, sums in groups.items()]
    if by == "day":
        lines.sort(key=lambda line: line.key or "")
    else:
        lines.sort(key=lambda line: (-line.charged, -line.calls, line.key or ""))
    total = [sum(column) for column in zip(*groups.values(), strict=True)]
    return UsageReport(
        lines=tuple(lines[:USAGE_LINES_MAX]),
        total=_line(None, total or [0, 0, 0, 0, 0, 0]),
        more=len(lines) > USAGE_LINES_MAX,
    )


def unnamed(total: Sums, named: dict[str | None, Sums]) -> Sums:
    """What is left of `total` without the calls that named a user."""
    return [whole - sum(sums[place] for sums in named.values()) for place, whole in enumerate(total)]


def _line(key: str | None, sums: Sums) -> UsageLine:
    calls, prompt, completion, cached, reasoning, charged = sums
    return UsageLine(
        key=key,
        calls=calls,
        prompt=prompt,
        completion=completion,
        cached=cached,
        reasoning=reasoning,
        charged=charged,
    )
