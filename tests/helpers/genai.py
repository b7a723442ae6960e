"""A reading of genai-prices as its objects look: providers with models, matches, tiers and conditions."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any


def equals(name: str) -> Any:
    return SimpleNamespace(equals=name, is_match=lambda asked: asked == name)


def starts_with(start: str) -> Any:
    return SimpleNamespace(starts_with=start, is_match=lambda asked: asked.startswith(start))


def either(*clauses: Any) -> Any:
    return SimpleNamespace(or_=list(clauses), is_match=lambda asked: any(clause.is_match(asked) for clause in clauses))


def price(**usd_per_mtok: Any) -> Any:
    """Plain figures as text, tiers as (base, {start: price})."""
    return SimpleNamespace(
        **{
            name: Decimal(value)
            if isinstance(value, str)
            else SimpleNamespace(
                base=Decimal(value[0]),
                tiers=[SimpleNamespace(start=start, price=Decimal(text)) for start, text in value[1].items()],
            )
            for name, value in usd_per_mtok.items()
        }
    )


def when(prices: Any, **constraint: Any) -> Any:
    return SimpleNamespace(prices=prices, constraint=SimpleNamespace(**constraint) if constraint else None)


def model(id: str, prices: Any, match: Any = None, *, context_window: int | None = None) -> Any:
    match = match or equals(id)
    return SimpleNamespace(id=id, match=match, prices=prices, is_match=match.is_match, context_window=context_window)


def provider(id: str, *models: Any) -> Any:
    return SimpleNamespace(id=id, models=list(models))
