"""A call's tokens as limits count them: a guess before, what it came to after. Never for money.

The guess is OpenAI's: the prompt by its length, and the answer that was asked for. It is put right at the call's end,
so a wrong one costs room for as long as the call takes. An answer without a limit of its own is not guessed at: one as
long as the model's longest would keep a wallet from most of what it may use.
"""

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.record import CallRecord

BYTES_PER_TOKEN = 4  # of English in UTF-8
PART_TOKENS = 1_000  # of an image, a sound, a file: where the configuration has no ceiling for its kind

# Of a call that is in the books with a price of nothing: nobody was charged for these tokens.
UNCHARGED = frozenset({"provider_failed", "refused", "ledger_failed", "zero_completion", "finish_error"})


def prompt_guess(call: Call, candidate: Candidate) -> int:
    prompt = call.prompt
    tokens = -(-prompt.text_bytes // BYTES_PER_TOKEN)
    for kind, count in prompt.parts:
        tokens += count * candidate.part_tokens.get(kind, PART_TOKENS)
    return tokens


def guess(call: Call, candidate: Candidate) -> int:
    """Prompt and answer together, at least 1."""
    asked = 0 if call.max_tokens is None else call.n * min(call.max_tokens, candidate.max_output_tokens)
    return max(1, prompt_guess(call, candidate) + asked)


def counted(record: CallRecord) -> int:
    """What a call that has ended counts of its wallet's tokens: what was charged for, also where the price is nothing;
    cached and reasoning tokens as any other."""
    usage = record.usage
    if usage is None or record.ended in UNCHARGED or not UNCHARGED.isdisjoint(record.flags):
        return 0
    return usage.prompt + usage.completion
