"""Calls and candidates with little around them, for whatever counts tokens or money."""

from collections.abc import Iterable
from typing import Any

import msgspec

from tollway.domain.answer import Answer, Served
from tollway.domain.call import Call, PromptSize
from tollway.domain.plan import Candidate
from tollway.domain.price import Price, Rates, Tariff
from tollway.domain.usage import Generated

RATES = Rates(input=2_500_000, output=10_000_000)  # USD 2.50 and 10.00 per million tokens
NOTHING = Generated()


def call(*, text_bytes: int = 40, messages: int = 1, parts: Iterable[tuple[str, int]] = (), **fields: Any) -> Call:
    size = PromptSize(text_bytes=text_bytes, messages=messages, parts=tuple(parts))
    whole = Call(id="call-1", model="m", prompt=size, fields={}, request_hash="")
    return msgspec.structs.replace(whole, **fields)


def tariff(rates: Rates = RATES, *, markup_bps: int = 0, sell: Price | None = None, **price: Any) -> Tariff:
    return Tariff(buy=Price(rates=rates, **price), sell=sell, markup_bps=markup_bps)


def candidate(tariff: Tariff | None = None, **fields: Any) -> Candidate:
    """One with USD 2.50 / 10.00, a context of 8,000 and an output of 1,000 tokens, unless told otherwise."""
    whole = Candidate(
        provider="p",
        model="m",
        upstream="m",
        tariff=tariff or Tariff(buy=Price(rates=RATES)),
        context_length=8_000,
        max_output_tokens=1_000,
    )
    return msgspec.structs.replace(whole, **fields)


def served(
    asked: Call,
    at: Candidate,
    *,
    usage_raw: bytes | None = None,
    generated: Generated = NOTHING,
    finish_reasons: Iterable[str | None] = (),
    max_tokens: int | None = None,
) -> Served:
    reasons = tuple(finish_reasons)
    read = Answer(fields={}, response_id=None, usage=usage_raw, generated=generated, finish_reasons=reasons)
    return Served(asked, at, read, max_tokens)
