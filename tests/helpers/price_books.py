"""Price books as tests write them."""

from typing import Any

from tollway.domain.price import Rates, Tier
from tollway.metering.price_book import ModelSize, PriceBook, PriceRow


def row(
    model: str = "gpt-4o", *, input: int = 100, output: int = 200, provider: str = "openai", **more: Any
) -> PriceRow:
    """Its rates beyond `input` and `output` are named with the rest of its fields."""
    rates = {name: more.pop(name) for name in Rates.__struct_fields__ if name in more}
    given = {"source": "genai-prices", "date": "2026-11-01", **more}
    return PriceRow(provider=provider, model=model, rates=Rates(input=input, output=output, **rates), **given)


def tier(above: int, input: int, output: int, **more: int) -> Tier:
    return Tier(above=above, rates=Rates(input=input, output=output, **more))


def size(model: str, context: int, output: int | None = None, *, provider: str = "openai", **more: Any) -> ModelSize:
    given = {"source": "genai-prices", "date": "2026-11-01", **more}
    return ModelSize(provider=provider, model=model, context_length=context, max_output_tokens=output, **given)


def book(*rows: PriceRow, hosts: dict[str, str] | None = None) -> PriceBook:
    return PriceBook.of(rows, PriceBook(hosts=hosts or {}))
