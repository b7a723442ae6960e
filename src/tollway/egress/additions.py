"""What the router adds to an answer: `usage.cost`, and the `tollway` object that says who served it and what is left.

A provider's own members of these names are overwritten: only the ledger says what a call cost.
"""

from typing import Any

import msgspec

from tollway.domain.answer import AttemptRecord
from tollway.domain.usage import Usage
from tollway.wire import json
from tollway.wire.sse import encode_event

# What the chunks of one stream have in common (OpenAI's chat.completion.chunk).
CHUNK_MEMBERS = ("id", "object", "created", "model", "service_tier", "system_fingerprint")

# A provider that bills on its own account (OpenRouter) reports its own money in these members of `usage`.
PROVIDER_MONEY = frozenset({"cost", "cost_details", "is_byok"})

UsageObject = dict[str, Any]


class Tollway(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `tollway` member of an answer."""

    request_id: str
    provider: str
    model: str
    balance_usd: str
    attempts: tuple[AttemptRecord, ...]
    estimated: bool = False
    max_tokens_applied: int | None = None


def usage_object(reported: bytes | None, usage: Usage, cost: str) -> UsageObject:
    """OpenAI's `usage` with `cost` (decimal string, USD). `reported`: the provider's raw object, when it stands; its
    values stay byte-faithful."""
    if reported is None:
        return {**_openai_usage(usage), "cost": cost}
    fields: UsageObject = json.decode_fields(reported)
    for name in PROVIDER_MONEY & fields.keys():
        del fields[name]
    fields["cost"] = cost
    return fields


def batch_body(fields: dict[str, msgspec.Raw], usage: UsageObject, tollway: Tollway) -> bytes:
    """The provider's answer, values byte-faithful, with our usage and `tollway`."""
    return json.encode({**fields, "usage": usage, "tollway": tollway})


def usage_chunk(first_event: bytes, usage: UsageObject, tollway: Tollway) -> bytes:
    """The stream's usage chunk (`choices: []`), with the id, created and model of `first_event` (its `data:` line)."""
    first = _fields(first_event.removeprefix(b"data:"))
    head = {name: first[name] for name in CHUNK_MEMBERS if name in first}
    return encode_event(json.encode({**head, "choices": [], "usage": usage, "tollway": tollway}))


def _fields(payload: bytes) -> dict[str, msgspec.Raw]:
    """The members of an event that has been relayed; none of one that can't be read. It is paid for: an ending without
    them is better than none."""
    try:
        return json.decode_fields(payload)
    except ValueError:
        return {}


def _openai_usage(usage: Usage) -> UsageObject:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": usage.audio_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output},
    }
