"""/session/usage: what a wallet's calls came to, by day, model, provider, key or the `user` that they named."""

import datetime as dt
import re
from typing import get_args

import msgspec
from starlette.requests import Request

from tollway.api.services import Answered, Services, reading, wallet_only
from tollway.domain.commands import UsageBy, UsageLine
from tollway.domain.errors import RequestError
from tollway.domain.money import format_usd

USAGE_BY: tuple[UsageBy, ...] = get_args(UsageBy)
DAYS_DEFAULT = 30
DAYS_MAX = 366  # a leap year

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")  # one of the forms that Python reads


class UsageTotal(msgspec.Struct, kw_only=True):
    """What posted calls came to. Tokens as in OpenAI's `usage`; money is a decimal USD string."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: str


class UsageView(msgspec.Struct, kw_only=True):
    """One line of GET /session/usage: UsageTotal's fields, and whose they are."""

    key: str | None  # a day, model, provider, user or delegated key; null: calls without one
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: str


class UsageList(msgspec.Struct, kw_only=True, rename={"first": "from", "last": "to"}):
    """GET /session/usage. Days in their order, anything else the dearest first; `total` is of every call of the period,
    `has_more` says that there are more lines than are listed."""

    object: str = "list"
    by: UsageBy
    first: str  # YYYY-MM-DD
    last: str
    data: list[UsageView]
    has_more: bool
    total: UsageTotal


async def usage(services: Services, request: Request) -> Answered:
    async with reading(services, request) as caller:
        wallet_only(caller)
        asked = request.query_params
        by = next((by for by in USAGE_BY if by == asked.get("by", "day")), None)
        if by is None:
            raise RequestError(f"by is one of {', '.join(USAGE_BY)}.", param="by")
        today = dt.datetime.fromtimestamp(services.clock.now_ms() / 1000, dt.UTC).date()
        first, last = _period(asked.get("from"), asked.get("to"), today)
        try:
            found = await services.ledger.usage(caller.account, by=by, first=first, last=last)
        except ValueError:
            raise RequestError(
                "These days have more users than can be told apart: ask for fewer days, or by day, model or provider.",
                param="by",
            ) from None
    return Answered(
        value=UsageList(
            by=by,
            first=first.isoformat(),
            last=last.isoformat(),
            data=[_view(line) for line in found.lines],
            has_more=found.more,
            total=_total(found.total),
        )
    )


def _total(line: UsageLine) -> UsageTotal:
    return UsageTotal(
        calls=line.calls,
        prompt_tokens=line.prompt,
        completion_tokens=line.completion,
        cached_tokens=line.cached,
        reasoning_tokens=line.reasoning,
        cost_usd=format_usd(line.charged),
    )


def _view(line: UsageLine) -> UsageView:
    return UsageView(key=line.key, **msgspec.structs.asdict(_total(line)))


def _period(first_text: str | None, last_text: str | None, today: dt.date) -> tuple[dt.date, dt.date]:
    """Both days included. Without a beginning the last 30 days, without an end up to today."""
    last = today if last_text is None else _date(last_text, "to")
    if first_text is None:
        first = dt.date.fromordinal(max(1, last.toordinal() - DAYS_DEFAULT + 1))
    else:
        first = _date(first_text, "from")
    if first > last:
        raise RequestError(f"from ({first}) is after to ({last}).", param="from")
    if (last - first).days >= DAYS_MAX:
        raise RequestError(f"from {first} to {last} are more than {DAYS_MAX} days: ask for fewer.", param="from")
    return first, last


def _date(text: str, param: str) -> dt.date:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return dt.date.fromisoformat(text)
    except ValueError:
        raise RequestError(f"{param} is a day such as 2026-01-31.", param=param) from None
