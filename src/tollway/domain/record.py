"""The record of one call: what GET /generations/{id} shows and the ledger keeps beside the transfers."""

from typing import Literal

import msgspec

from tollway.domain.answer import AttemptRecord
from tollway.domain.asked import Asked
from tollway.domain.plan import Verdict
from tollway.domain.price import Tariff
from tollway.domain.usage import Usage

Ended = Literal["complete", "client_left", "cut_by_router", "provider_failed", "refused", "ledger_failed"]
EstimateOrigin = Literal["bytes", "tokenizer"]  # four bytes of text are a token, or counted by our own tokenizer
Delivery = Literal["complete", "partial", "none", "unknown"]


class CallRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Written with the post or void. Money in nano-USD, times in Unix milliseconds."""

    id: str
    account: str
    created_ms: int
    ended_ms: int
    model_asked: str
    stream: bool
    ended: Ended
    delivery: Delivery
    provider: str | None = None
    model: str | None = None
    upstream: str | None = None
    response_id: str | None = None
    usage: Usage | None = None
    usage_origin: Literal["provider", "estimated"] | None = None
    usage_reported: str | None = None  # the provider's raw usage, when it was refused
    estimate: Usage | None = None  # our own count, beside the provider's
    estimate_origin: EstimateOrigin = "bytes"
    price: int = 0  # nano-USD charged to the wallet
    cost: int = 0  # nano-USD owed to the provider
    held: int = 0
    tariff: Tariff | None = None  # the prices it was charged by, pinned when the hold was made
    flags: tuple[str, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    seed: int = 0
    verdicts: tuple[Verdict, ...] = ()
    asked: Asked | None = None  # what the verdicts are about
    request_hash: str = ""
    user: str | None = None
    key: str | None = None  # id of the delegated key that it came by
    client_request_id: str | None = None
    error_code: str | None = None
