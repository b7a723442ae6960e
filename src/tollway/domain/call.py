"""Who calls, and what they ask for: immutable, made once, read by every stage."""

from typing import Literal

import msgspec

from tollway.domain.claims import Claim
from tollway.domain.keys import Key


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A wallet whose signature was verified (SIWX), or whose delegated key was shown."""

    account: str  # stored id: "solana:<network>:<base58>" or "eip155:<lowercase hex>"
    caip_account_id: str  # CAIP-10, as signed in
    message_hash: str  # sha256, hex, of the signed message: what DELETE /session revokes; or of the key's secret
    expires_at: int  # Unix seconds; 0: a key that doesn't
    key: Key | None = None  # None: the wallet itself


Sort = Literal["price", "latency", "throughput"]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By nearest rank; absent where nothing was said, or measured."""

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


class MaxPrice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The most that the wallet may pay, each a decimal in USD as the caller wrote it: money never touches a float."""

    prompt: str | None = None  # for a million tokens
    completion: str | None = None  # for a million tokens
    request: str | None = None  # for the call, beyond its tokens
    image: str | None = None  # for an image


class Preferences(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `provider` object of a request: which providers may serve it, and in which order. Latency in seconds to the
    first token, throughput in tokens per second."""

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    sort: Sort | None = None
    require_parameters: bool = False
    data_collection: Literal["allow", "deny"] = "allow"
    max_price: MaxPrice | None = None
    preferred_max_latency: Percentiles | None = None
    preferred_min_throughput: Percentiles | None = None


NO_PREFERENCES = Preferences()


class PromptSize(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt in measures from which its tokens are bounded without a tokenizer."""

    text_bytes: int  # UTF-8 bytes of all text, tool definitions and schemas
    messages: int
    parts: tuple[tuple[str, int], ...] = ()  # content parts that are no text: (("image_url", 2),)


class Call(msgspec.Struct, frozen=True):
    """One parsed request. `fields` is its top level without the router's own fields, values byte-faithful."""

    id: str
    model: str
    prompt: PromptSize
    fields: dict[str, msgspec.Raw]
    request_hash: str  # sha256 of the body as received, hex
    fallbacks: tuple[str, ...] = ()  # `models`
    stream: bool = False
    include_usage: bool = False  # stream_options.include_usage
    n: int = 1
    max_tokens: int | None = None  # the caller's cap, from either spelling
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_cost: int | None = None  # nano-USD
    preferences: Preferences = NO_PREFERENCES
    features: frozenset[str] = frozenset()  # what costs beyond tokens: web_search, service_tier ...
    needs: frozenset[str] = frozenset()  # capabilities without which it can't be answered: tools, vision ...
    user: str | None = None
    pseudonym: str = ""  # what stands for account and user at a provider that is to know neither
    client_request_id: str | None = None  # the caller's own x-request-id, recorded only
    claim: Claim | None = None  # the caller's Idempotency-Key
