"""Which calls are counted a second time, how the two counts compare, and when a provider's deviates. Pure integers.

Must not know how tokens are counted, or who is told. A provider's count has more in it than text: the template around
messages, the token that ends an answer, reasoning that isn't shown. So like is compared with like: reasoning is left
out of both, prompts and answers that aren't text alone are not compared, and what a template may have added is taken
off the provider's side.
"""

from collections import deque
from zlib import crc32

from tollway.domain.answer import Served
from tollway.domain.money import BASIS_POINTS
from tollway.domain.plan import Candidate
from tollway.domain.recount import Compared, Recount, deviation_bps
from tollway.domain.usage import Counted, Usage
from tollway.metering.count import estimate

ENDING_TOKENS = 4  # that a choice may have beyond its text: its end, a channel's name
WINDOW = 100  # a provider's newest recounts: old ones must neither hide nor prolong a deviation
JUDGED_FROM = 10  # recounts: one odd answer is no deviation


def chosen(id: str, share_bps: int) -> bool:
    """Whether the call is in the sample: drawn from its id, so that every replica says the same, and nobody can tell
    before the call is made."""
    return crc32(id.encode()) % BASIS_POINTS < share_bps


def recount(served: Served, counted: Counted, reported: Usage | None) -> Recount:
    """Both counts of a call. `reported` is the provider's, None when it gave none that can be true."""
    call, candidate = served.call, served.candidate
    own = estimate(call, candidate, served.read.generated, served.max_tokens, counted)
    prompt = completion = None
    if reported is not None and counted.plain_prompt:
        template = candidate.template_tokens + candidate.message_tokens * call.prompt.messages
        prompt = _compared(reported.prompt, own.prompt, template)
    if reported is not None and _tells(candidate, counted, reported):
        text = counted.completion - counted.reasoning if reported.reasoning else counted.completion
        completion = _compared(reported.completion - reported.reasoning, text, ENDING_TOKENS * call.n)
    return Recount(vocabulary=counted.vocabulary, own=own, prompt=prompt, completion=completion)


class Deviations:
    """Providers whose count has been off lately. `add` answers the deviations that were not there before."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], deque[Compared]] = {}
        self._over: set[tuple[str, str]] = set()

    def add(self, provider: str, recount: Recount, threshold_bps: int) -> dict[str, int]:
        """By kind, `prompt` or `completion`: hundredths of a percent."""
        found: dict[str, int] = {}
        for kind, compared in (("prompt", recount.prompt), ("completion", recount.completion)):
            if compared is None:
                continue
            key = (provider, kind)
            newest = self._newest.setdefault(key, deque(maxlen=WINDOW))
            newest.append(compared)
            whole = Compared(sum(one.reported for one in newest), sum(one.own for one in newest))
            deviation = deviation_bps(whole)
            if deviation is None or len(newest) < JUDGED_FROM:
                continue
            if abs(deviation) <= threshold_bps:
                self._over.discard(key)
            elif key not in self._over:
                self._over.add(key)
                found[kind] = deviation
        return found


def _tells(candidate: Candidate, counted: Counted, reported: Usage) -> bool:
    """Whether the answer's text is all that the provider counted, but for reasoning that it itemises."""
    hidden = candidate.reasoning and not reported.reasoning and not counted.reasoning
    return counted.plain_completion and not hidden


def _compared(reported: int, own: int, added: int) -> Compared:
    return Compared(max(own, reported - added) if reported > own else reported, own)
