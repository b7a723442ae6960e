"""Our own calls as their provider may bill them, from the rows that a store reads. Pure.

What a call is recorded to cost is what its provider is owed: the post's cost, less what a reversal took off it.
"""

import msgspec

from tollway.domain.answer import AttemptRecord
from tollway.domain.usage import Usage
from tollway.ledger.usage import DAY_MS
from tollway.wire import json


class Billed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call of ours that its provider may bill. Nano-USD."""

    id: str
    day: int  # UTC, of the call's beginning
    models: tuple[str, ...]  # what it may be called, the provider's own name first
    response_id: str | None = None
    prompt: int | None = None
    completion: int | None = None
    cost: int = 0  # that the provider is owed for it
    loss: int = 0  # what of it no wallet paid
    taken_off: bool = False  # a reversal says that the provider is not owed it
    given_back: bool = False  # it was voided: nothing is owed
    estimated: bool = False  # the tokens are our own count
    recorded: bool = True  # False: its record was let go of


class _Told(msgspec.Struct):
    """What is read of a call's record."""

    created_ms: int
    provider: str | None = None
    model: str | None = None
    upstream: str | None = None
    response_id: str | None = None
    usage: Usage | None = None
    usage_origin: str | None = None
    attempts: tuple[AttemptRecord, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """A post or void: the columns that the query `billed` selects."""

    id: str
    kind: str
    at_ms: int
    model: str
    charged: int  # what the wallet paid, 0 after a reversal
    cost: int
    taken_off: int  # by a reversal, of what the provider is owed
    record: bytes | str | None


def billed(entry: Entry, provider: str) -> Billed | None:
    """The call of a post of `provider`, or of any void; None for a void that has nothing to do with it."""
    void = entry.kind == "void"
    if entry.record is None:
        if void:
            return None
        return Billed(
            id=entry.id,
            day=entry.at_ms // DAY_MS,
            models=_names(None, entry.model),
            cost=entry.cost - entry.taken_off,
            loss=max(0, entry.cost - entry.taken_off - entry.charged),
            taken_off=entry.taken_off > 0,
            recorded=False,
        )
    told = _told(entry.record)
    if void and provider not in (told.provider, *(attempt.provider for attempt in told.attempts)):
        return None
    usage = told.usage
    return Billed(
        id=entry.id,
        day=told.created_ms // DAY_MS,
        models=_names(told.upstream, told.model or entry.model),
        response_id=told.response_id,
        prompt=usage and usage.prompt,
        completion=usage and usage.completion,
        cost=0 if void else entry.cost - entry.taken_off,
        loss=0 if void else max(0, entry.cost - entry.taken_off - entry.charged),
        taken_off=entry.taken_off > 0,
        given_back=void,
        estimated=told.usage_origin == "estimated",
    )


_told = json.decoder(_Told)


def _names(upstream: str | None, model: str) -> tuple[str, ...]:
    """What a provider may call a model, the likeliest first."""
    return tuple(dict.fromkeys((upstream or model, model, model.rpartition("/")[2])))
