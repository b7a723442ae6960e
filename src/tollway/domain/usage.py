"""How many tokens a call used, and what they come to."""

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens as OpenAI's `usage` counts them: details are parts of their total, not additions to it."""

    prompt: int
    completion: int
    cached: int = 0  # prompt_tokens_details.cached_tokens
    cache_write: int = 0  # prompt_tokens_details.cache_write_tokens (or cache_creation_tokens)
    reasoning: int = 0  # completion_tokens_details.reasoning_tokens
    audio_input: int = 0  # prompt_tokens_details.audio_tokens
    audio_output: int = 0  # completion_tokens_details.audio_tokens
    image_input: int = 0  # prompt_tokens_details.image_tokens
    image_output: int = 0  # completion_tokens_details.image_tokens


class Counted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call's text in tokens, by our own tokenizer. No template, and nothing that isn't text."""

    vocabulary: str
    prompt: int
    completion: int
    reasoning: int = 0  # of the completion: what was given as reasoning
    plain_prompt: bool = False  # the prompt is messages of text alone
    plain_completion: bool = False  # the answer is text alone


class Generated(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was read of an answer: the basis of our own count when the provider's usage is missing or impossible."""

    text_bytes: int = 0  # UTF-8 bytes of content, reasoning, refusals and tool-call arguments
    other_parts: int = 0  # generated parts that are no text (audio), each counted at its ceiling


class Charge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A finished call in money. `price` is asked of the wallet, `cost` is owed to the provider; nano-USD."""

    usage: Usage
    price: int
    cost: int
    own: Usage | None = None  # our own count, which is kept beside the provider's
    estimated: bool = False  # our own count stands in for the provider's
    flags: tuple[str, ...] = ()  # why it is remarkable: usage_missing, usage_refused, zero_completion, cut ...
    refused: str | None = None  # the start of a usage object that can't be true, for the operator
