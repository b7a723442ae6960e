"""A call's tokens counted a second time, by our own tokenizer: what stands beside the provider's count."""

from typing import Literal

import msgspec

from tollway.domain.usage import Usage

# What became of a call that was to be recounted.
RecountOutcome = Literal[
    "counted",
    "queue_full",  # too many were waiting
    "too_large",  # its text is over the limits of recount/recounts.py
    "not_kept",  # a stream whose text was not kept: nobody knew that its usage would be missing
    "no_vocabulary",  # whose tokens the model's are is not known
    "no_tokenizer",  # the extra `tokens` is not installed
    "failed",
]


class Text(msgspec.Struct, frozen=True, gc=False):
    """The text of a prompt or an answer, in pieces that no token spans."""

    pieces: tuple[str, ...]
    reasoning: tuple[str, ...] = ()  # pieces that were given as reasoning; not among the others
    plain: bool = True  # there is nothing else: no tools, no pictures, no schema


class Compared(msgspec.Struct, frozen=True, gc=False):
    """The same tokens in both counts. What a template or an ending may add is taken off the provider's, but no more
    than it is over ours."""

    reported: int
    own: int


class Recount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`prompt` and `completion` are None where the counts can't be compared: no usage that can be true, or text that
    isn't all there is."""

    vocabulary: str
    own: Usage
    prompt: Compared | None = None
    completion: Compared | None = None


class RecountSums(msgspec.Struct, frozen=True, kw_only=True):
    """Recounted calls of one provider and model; tokens only of what could be compared."""

    provider: str
    model: str
    calls: int
    prompts: int  # calls whose prompts were compared
    prompt: Compared
    completions: int
    completion: Compared


def deviation_bps(compared: Compared) -> int | None:
    """How far the provider's count is over ours (under it: negative), in hundredths of a percent of ours. None where
    ours is 0."""
    if not compared.own:
        return None
    return (compared.reported - compared.own) * 10_000 // compared.own
