"""Our own count of a call's tokens, for when the provider's is missing or impossible, and to stand beside it.

Text is what our tokenizer made of it, where it was asked; else four bytes of UTF-8 are taken for a token, as is usual
for English. Nothing is added for the model's template. Parts that are no text count at their ceiling. No count is over
what the call could have used.
"""

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.usage import Counted, Generated, Usage
from tollway.metering.bound import output_limit, parts_ceiling, prompt_bound

BYTES_PER_TOKEN = 4
GENERATED_PART = "audio_output"  # the kind whose ceiling a generated part counts at


def estimate(
    call: Call,
    candidate: Candidate,
    generated: Generated,
    max_tokens: int | None = None,
    counted: Counted | None = None,
) -> Usage:
    """The tokens of the prompt, and of what was read of the answer. `max_tokens`: the limit the router lowered to;
    `counted`: the same text in tokens, where our tokenizer was asked."""
    asked, limit = call.prompt, call.n * output_limit(call, candidate, max_tokens)
    if counted is None:
        prompt = -(-asked.text_bytes // BYTES_PER_TOKEN)
        completion = -(-generated.text_bytes // BYTES_PER_TOKEN)
        most = candidate.context_length  # a quarter of the bytes is within the rest of `prompt_bound`
    else:
        prompt, completion, most = counted.prompt, counted.completion, prompt_bound(call, candidate)
    if asked.parts:
        prompt += parts_ceiling(asked.parts, candidate)
    spoken = 0
    if generated.other_parts:
        parts = generated.other_parts * candidate.part_tokens.get(GENERATED_PART, limit)
        completion += parts
        if GENERATED_PART in call.features:
            spoken = min(parts, limit)
    return Usage(
        prompt=prompt if prompt < most else most,
        completion=completion if completion < limit else limit,
        audio_output=spoken,
    )
