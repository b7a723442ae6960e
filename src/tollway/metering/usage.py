"""A provider's usage object: read, and held against what the call could possibly have used.

After OpenAI's `usage`, with the spellings of other providers for the same counts. It knows nothing of prices.
"""

from typing import Any

import msgspec

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.usage import Usage
from tollway.metering.bound import output_limit, prompt_bound
from tollway.wire import json

Count = int | None  # null is as good as absent


class _PromptDetails(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: Count = None
    cache_write_tokens: Count = None
    cache_creation_tokens: Count = None
    cache_creation_input_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class _CompletionDetails(msgspec.Struct, frozen=True, gc=False):
    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class _Reported(msgspec.Struct, frozen=True, gc=False):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cached_tokens: Count = None  # Moonshot
    prompt_cache_hit_tokens: Count = None  # DeepSeek
    cache_read_input_tokens: Count = None  # Anthropic
    cache_creation_input_tokens: Count = None  # Anthropic


_decode = json.decoder(_Reported)
_TOTALS = 3  # the members that come first; None in all others: nothing special
_NOTHING_MORE = (None,) * (len(_Reported.__struct_fields__) - _TOTALS)
_NONE_SPECIAL = msgspec.structs.astuple(Usage(prompt=0, completion=0))[2:]
_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


def parse_usage(raw: bytes) -> Usage | None:
    """The tokens that `raw` reports; None when it is no usage object or a count in it is not a whole number."""
    try:
        found = _reported(raw)
        if msgspec.structs.astuple(found)[_TOTALS:] == _NOTHING_MORE:
            return Usage(prompt=found.prompt_tokens, completion=found.completion_tokens)
        prompt = found.prompt_tokens_details or _NO_PROMPT_DETAILS
        completion = found.completion_tokens_details or _NO_COMPLETION_DETAILS
        reasoning = completion.reasoning_tokens or 0
        generated = found.completion_tokens
        if reasoning > 0 and found.total_tokens == found.prompt_tokens + generated + reasoning:
            generated += reasoning  # xAI: reasoning stands beside the completion, and only the total says so
        return Usage(
            prompt=found.prompt_tokens,
            completion=generated,
            cached=_first(
                prompt.cached_tokens,
                found.cached_tokens,
                found.prompt_cache_hit_tokens,
                found.cache_read_input_tokens,
            ),
            cache_write=_first(
                prompt.cache_write_tokens,
                prompt.cache_creation_tokens,
                prompt.cache_creation_input_tokens,
                found.cache_creation_input_tokens,
            ),
            reasoning=reasoning,
            audio_input=prompt.audio_tokens or 0,
            audio_output=completion.audio_tokens or 0,
            image_input=prompt.image_tokens or 0,
            image_output=completion.image_tokens or 0,
        )
    except ValueError:
        return None


def check(usage: Usage, call: Call, candidate: Candidate, max_tokens: int | None = None) -> str | None:
    """Why `usage` is impossible, as a stable word; None when it isn't. `max_tokens`: the output limit that the router
    lowered the call to, where it did."""
    counts = msgspec.structs.astuple(usage)
    prompt, completion = usage.prompt, usage.completion
    special = counts[2:] != _NONE_SPECIAL
    parts = call.prompt.parts  # only with others than text may its tokens be audio, or more than its bytes
    if prompt < 0 or completion < 0 or (special and min(counts) < 0):
        return "negative"
    if prompt > (candidate.context_length if parts else prompt_bound(call, candidate)):
        return "prompt_over_bound"
    if completion > call.n * output_limit(call, candidate, max_tokens):
        return "completion_over_limit"
    if not special:
        return None
    if usage.cached + usage.cache_write > prompt:
        return "cached_over_prompt"
    if usage.reasoning > completion:
        return "reasoning_over_completion"
    if usage.image_output > completion:
        return "image_output_over_completion"
    if usage.audio_input > (prompt if parts else 0):
        return "audio_input_over_prompt"
    if usage.image_input > (prompt if parts else 0):
        return "image_input_over_prompt"
    if usage.audio_output > (completion if "audio_output" in call.features else 0):
        return "audio_output_over_completion"
    return None


def _reported(raw: bytes) -> _Reported:
    try:
        found: _Reported = _decode(raw)
    except json.ValidationError:  # some providers write 12.0
        found = msgspec.convert(_in_whole_numbers(json.decode(raw)), _Reported)
    return found


def _in_whole_numbers(value: Any, levels: int = 2) -> Any:
    """A usage object, or one in it: deeper ones are not read. What is no whole number stays, and is no count."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if levels and isinstance(value, dict):
        return {name: _in_whole_numbers(member, levels - 1) for name, member in value.items()}
    return value


def _first(*counts: Count) -> int:
    """The first count that is there; 0 when none is."""
    for count in counts:
        if count is not None:
            return count
    return 0
