"""Counting calls again by our own tokenizer: which, in what time, and who is told. Never on the event loop.

One call in so many is counted when it has been booked, and each whose provider's usage is missing or impossible; of
those the text is also what is charged by, where it can be counted in time. Text is kept in memory alone, bounded in
every direction, and for no longer than that takes. Must not know how tokens are counted, or what they cost.

Wart: the text of a stream is only kept when the call is in the sample, or when its provider gave no usage for the call
before. So of a provider that never gives any, the first stream after a start is counted by bytes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from weakref import WeakSet

from tollway.domain.answer import Answer, Reading, Served, Transcript
from tollway.domain.call import Call
from tollway.domain.commands import NoteRecount
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable
from tollway.domain.observer import Observer
from tollway.domain.plan import Candidate
from tollway.domain.recount import RecountOutcome, Text
from tollway.domain.seams import Ledger
from tollway.domain.usage import Charge, Counted
from tollway.intake.texts import prompt_text
from tollway.metering.recount import Deviations, chosen, recount
from tollway.metering.vocabularies import vocabulary_of
from tollway.recount.tokenizer import NoTokenizer, Tokenizers
from tollway.recount.worker import Worker
from tollway.upstream.texts import answer_text, stream_text

log = logging.getLogger("tollway.recount")

JOBS_MAX = 64  # waiting to be counted; of each at most the bytes below
CALL_BYTES_MAX = 1 << 20  # of a request, and of a whole answer: 0.3 s of counting at the worst
STREAM_BYTES_MAX = 2 << 20  # of the events of a stream, of which most is not text: about 8,000 tokens
STREAMS_MAX = 32  # kept at once, those that wait to be counted included
IN_TIME_S = 0.5  # that the end of an answer may wait for our own count, where it is charged by; then bytes have to do


class Recounter:
    """One a process: the thread, the tokenizer, and what is known of providers."""

    def __init__(self, ledger: Ledger, observer: Observer, tokenizers: Tokenizers | None = None) -> None:
        self.tokenizers = tokenizers or Tokenizers()
        self.worker = Worker("tollway-recount", JOBS_MAX)
        self.kept: WeakSet[Transcript] = WeakSet()
        self.silent: set[str] = set()  # providers whose last whole answer came without usage that can be true
        self.observer = observer
        self._ledger = ledger
        self._deviations = Deviations()
        self._tasks: set[asyncio.Task[None]] = set()

    def soon(self, served: Served, charge: Charge, threshold_bps: int, counted: "Future[Counted] | Counted") -> None:
        """Compare and keep, when it is counted."""
        task = asyncio.get_running_loop().create_task(self._finish(served, charge, threshold_bps, counted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Give up on what isn't counted yet: nothing depends on it."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.worker.close)

    async def _finish(
        self, served: Served, charge: Charge, threshold_bps: int, counting: "Future[Counted] | Counted"
    ) -> None:
        provider = served.candidate.provider
        try:
            counted = counting if isinstance(counting, Counted) else await asyncio.wrap_future(counting)
        except Exception as error:  # whatever it is, it is no reason to lose more than this count
            log.warning("call %s could not be recounted: %s", served.call.id, type(error).__name__)
            self.observer.recounted(provider, "failed", None)
            return
        reported = None if charge.estimated else charge.usage
        found = recount(served, counted, reported)
        self.observer.recounted(provider, "counted", found)
        for kind, deviation in self._deviations.add(provider, found, threshold_bps).items():
            said = f"{provider}: its newest calls have {deviation / 100:+.1f} % {kind} tokens against our own count"
            self.observer.alarm("usage_deviates", said)
        with contextlib.suppress(LedgerUnavailable, LedgerOutcomeUnknown):
            await self._ledger.apply([NoteRecount(id=served.call.id, recount=found)])


class Recounts:
    """What a configuration says of it. Shares in basis points; a share of 0 turns it off."""

    def __init__(self, recounter: Recounter, share_bps: int, threshold_bps: int, served: Iterable[Candidate]) -> None:
        """Loads what counts the tokens of `served`, as far as that is known and installed: of no others is anything
        kept or counted."""
        self._recounter = recounter
        self._vocabularies: dict[str, str] = {}  # by Candidate.key
        self._share_bps = share_bps
        self._threshold_bps = threshold_bps
        self._installed = True
        if not share_bps:
            return
        self._vocabularies = {one.key: name for one in served if (name := vocabulary_of(one)) is not None}
        try:
            recounter.tokenizers.prepare(self._vocabularies.values())
        except NoTokenizer as missing:
            self._installed = False
            log.info('calls are not recounted: %s; or write billing.recount = "0%%"', missing)

    def keep(self, call: Call, candidate: Candidate) -> Transcript | None:
        """Where the events of a stream are to be kept, if they are."""
        recounter = self._recounter
        if not self._share_bps or self._vocabularies.get(candidate.key, "") not in recounter.tokenizers:
            return None
        wanted = chosen(call.id, self._share_bps) or candidate.provider in recounter.silent
        if not wanted or len(recounter.kept) >= STREAMS_MAX:
            return None
        kept = Transcript(STREAM_BYTES_MAX)
        recounter.kept.add(kept)
        return kept

    async def in_time(self, served: Served) -> Counted | None:
        """Our own count of a call that is about to be charged by it; None when there is none within IN_TIME_S."""
        if not self._share_bps:
            return None
        future = self._submit(served, urgent=True)
        if not isinstance(future, Future):
            return None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), IN_TIME_S)
        except Exception:  # too late, or it failed: bytes have to do
            return None

    def take(self, served: Served, charge: Charge, counted: Counted | None) -> None:
        """A call was booked: count it again if it is to be. `counted` is what `in_time` gave."""
        recounter, provider = self._recounter, served.candidate.provider
        if not self._share_bps:
            return
        silent = charge.estimated and (charge.refused is not None or "usage_missing" in charge.flags)
        if not charge.estimated:
            recounter.silent.discard(provider)
        elif silent:
            recounter.silent.add(provider)
        if counted is not None:
            recounter.soon(served, charge, self._threshold_bps, counted)
            return
        if not (silent or chosen(served.call.id, self._share_bps)):
            return
        submitted = self._submit(served)
        if isinstance(submitted, Future):
            recounter.soon(served, charge, self._threshold_bps, submitted)
        else:
            recounter.observer.recounted(provider, submitted, None)

    async def aclose(self) -> None:
        """Once a process, at its end."""
        await self._recounter.aclose()

    def _submit(self, served: Served, *, urgent: bool = False) -> "Future[Counted] | RecountOutcome":
        """What is being counted, or why nothing is."""
        vocabulary, tokenizers = self._vocabularies.get(served.candidate.key), self._recounter.tokenizers
        if not self._installed:
            return "no_tokenizer"
        if vocabulary is None or vocabulary not in tokenizers:
            return "no_vocabulary"
        fields = served.call.fields
        if sum(map(len, fields.values())) > CALL_BYTES_MAX:
            return "too_large"
        answer = _answer(served.read)
        if isinstance(answer, str):
            return answer

        def count() -> Counted:
            return _count(tokenizers, vocabulary, prompt_text(fields), answer())

        return self._recounter.worker.submit(count, urgent=urgent) or "queue_full"


def _answer(read: Answer | Reading) -> Callable[[], Text] | RecountOutcome:
    """What reads the text of an answer, in the worker's thread."""
    if isinstance(read, Answer):
        fields = read.fields
        return "too_large" if len(fields["choices"]) > CALL_BYTES_MAX else lambda: answer_text(fields)
    kept = read.transcript
    if kept is None:
        return "not_kept"
    if kept.events is None:
        return "too_large"
    return lambda: stream_text(kept.events or ())  # holds `kept`, so that it counts among STREAMS_MAX until then


def _count(tokenizers: Tokenizers, vocabulary: str, prompt: Text, answer: Text) -> Counted:
    reasoning = tokenizers.count(vocabulary, answer.reasoning)
    return Counted(
        vocabulary=vocabulary,
        prompt=tokenizers.count(vocabulary, prompt.pieces),
        completion=tokenizers.count(vocabulary, answer.pieces) + reasoning,
        reasoning=reasoning,
        plain_prompt=prompt.plain,
        plain_completion=answer.plain,
    )
