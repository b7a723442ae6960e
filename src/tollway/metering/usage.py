"""A provider's usage object: read, and held against what the call could possibly have used.

After OpenAI's `usage`, with the spellings of other providers for the same counts. It knows nothing of prices.
"""

from collections.abc import Iterator

import msgspec

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.usage import Usage
from tollway.metering.bound import has_other_parts, output_limit, prompt_bound
from tollway.wire.json import decoder

Count = int | float | None  # some providers write 12.0; null is as good as absent


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
    prompt_tokens: int | float
    completion_tokens: int | float
    total_tokens: Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cached_tokens: Count = None  # Moonshot
    prompt_cache_hit_tokens: Count = None  # DeepSeek
    cache_read_input_tokens: Count = None  # Anthropic
    cache_creation_input_tokens: Count = None  # Anthropic


_reported = decoder(_Reported)
_NO_PROMPT_DETAILS = _PromptDetails()
_NO_COMPLETION_DETAILS = _CompletionDetails()


def parse_usage(raw: bytes) -> Usage | None:
    """The tokens that `raw` reports; None when it is no usage object or a count in it is not a whole number."""
    try:
        found: _Reported = _reported(raw)
        prompt = found.prompt_tokens_details or _NO_PROMPT_DETAILS
        completion = found.completion_tokens_details or _NO_COMPLETION_DETAILS
        reasoning = _first(completion.reasoning_tokens)
        generated = _first(found.completion_tokens)
        prompt_tokens = _first(found.prompt_tokens)
        if reasoning > 0 and _first(found.total_tokens) == prompt_tokens + generated + reasoning:
            generated += reasoning  # xAI: reasoning stands beside the completion, and only the total says so
        return Usage(
            prompt=prompt_tokens,
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
            audio_input=_first(prompt.audio_tokens),
            audio_output=_first(completion.audio_tokens),
            image_input=_first(prompt.image_tokens),
            image_output=_first(completion.image_tokens),
        )
    except ValueError:
        return None


def check(usage: Usage, call: Call, candidate: Candidate, max_tokens: int | None = None) -> str | None:
    """Why `usage` is impossible, as a stable word; None when it isn't. `max_tokens`: the output limit that the router
    lowered the call to, where it did."""
    return next(_impossible(usage, call, candidate, max_tokens), None)


def _impossible(usage: Usage, call: Call, candidate: Candidate, max_tokens: int | None) -> Iterator[str]:
    if min(msgspec.structs.astuple(usage)) < 0:
        yield "negative"
    if usage.prompt > (candidate.context_length if has_other_parts(call) else prompt_bound(call, candidate)):
        yield "prompt_over_bound"
    if usage.completion > call.n * output_limit(call, candidate, max_tokens):
        yield "completion_over_limit"
    if usage.cached + usage.cache_write > usage.prompt:
        yield "cached_over_prompt"
    if usage.audio_input > (usage.prompt if has_other_parts(call) else 0):
        yield "audio_input_over_prompt"
    if usage.reasoning > usage.completion:
        yield "reasoning_over_completion"
    if usage.audio_output > (usage.completion if "audio_output" in call.features else 0):
        yield "audio_output_over_completion"
    if usage.image_input > (usage.prompt if has_other_parts(call) else 0):
        yield "image_input_over_prompt"
    if usage.image_output > usage.completion:
        yield "image_output_over_completion"


def _first(*counts: Count) -> int:
    """The first count that is there, as an integer; 0 when none is. ValueError for a fraction."""
    for count in counts:
        if count is not None:
            whole = int(count)
            if whole != count:
                raise ValueError(f"{count} tokens")
            return whole
    return 0
