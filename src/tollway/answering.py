"""The second half of the path: attempt -> meter -> post | void -> reply, for a call that holds what it may cost.

From here on a call ends in the books, however it ends. What comes before, and what follows a booking that can't be
known, is pipeline.py's affair; the two are the only files that know the order of the stages.
"""

import contextlib
from collections.abc import Awaitable
from functools import partial

import msgspec

from tollway.domain.answer import Answer, Reading, Served
from tollway.domain.call import Call
from tollway.domain.commands import Posted
from tollway.domain.errors import TollwayError
from tollway.domain.observer import Observer
from tollway.domain.plan import Candidate, Plan
from tollway.domain.waiting import Client, Interrupted
from tollway.egress import endings, stream
from tollway.egress.replay import Keeper
from tollway.egress.reply import Reply
from tollway.ledger.booking import Booking
from tollway.metering import meter
from tollway.snapshot import Snapshot
from tollway.upstream.attempts import OpenStream, Trail
from tollway.upstream.watch import CallWatch


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One call under way."""

    call: Call
    plan: Plan
    booking: Booking
    snapshot: Snapshot
    watch: CallWatch
    client: Client
    reply: Reply
    observer: Observer
    trail: Trail
    keeper: Keeper | None = None  # for a call with an Idempotency-Key

    @property
    def unread(self) -> bool:
        """The call goes on although its client is gone."""
        return self.keeper is not None and self.keeper.left

    async def say(self, error: TollwayError) -> None:
        await stream.say(self.reply, self.watch, self.snapshot.slow_reader_s, error)


def answer(run: Run) -> Awaitable[None]:
    """Carry the call out and answer its client. Raises TollwayError for what ends before the answer has begun, and
    LedgerOutcomeUnknown."""
    run.watch.extend(run.plan.candidates[0].timeouts.total)
    run.client.listen()
    return _stream(run) if run.call.stream else _batch(run)


async def _batch(run: Run) -> None:
    booking, trail = run.booking, run.trail
    try:
        answer = await run.snapshot.attempts.answer(run.call, run.plan, trail, run.watch)
    except (TollwayError, Interrupted) as problem:
        error = problem if isinstance(problem, TollwayError) else endings.cut_error(problem.reason)
        booking.note(ended=endings.ended_by(problem), error_code=error.code, attempts=trail.tried)
        raise error from None
    else:
        assert trail.asking is not None, "an answer has a provider"
        booking.note(ended="complete", delivery="unknown", attempts=trail.tried)
        posted = await _post(run, trail.asking, answer, "complete")
        somebody_reads = not run.client.left  # the call runs to completion, whoever leaves
        await run.reply.json(200, *endings.batch(answer, booking.record, posted, run.plan))
        if somebody_reads:
            await booking.delivered()
    finally:
        run.client.close()


async def _stream(run: Run) -> None:
    try:
        run.client.when_left(partial((run.keeper or run.watch).stop, "client_left"))
        run.reply.keep_alive(run.snapshot.keep_alive_s)
        try:
            source = await run.snapshot.attempts.open(run.call, run.plan, run.trail, run.watch)
        except (TollwayError, Interrupted) as problem:
            return await _no_token(run, problem)
        try:
            await _relay(run, source)
        finally:
            source.close()
    finally:
        run.client.close()
        await run.reply.quiet()


async def _no_token(run: Run, problem: TollwayError | Interrupted) -> None:
    """The call ended before its first token: free, unless the client walked away from a provider at work."""
    booking, candidate, error = run.booking, run.trail.asking, endings.error_of(problem)
    booking.note(ended=endings.ended_by(problem), error_code=error and error.code, attempts=run.trail.tried)
    if error is not None:
        await run.say(error)
    elif candidate is not None:
        asked = Served(run.call, candidate, Reading(run.call.n))
        charge = meter.meter(asked, ended="client_left_before_token", held=booking.held)
        await booking.post(candidate, charge, cost_max=run.call.max_cost)


async def _relay(run: Run, source: OpenStream) -> None:
    booking, candidate = run.booking, source.candidate
    reading = Reading(run.call.n, run.snapshot.recounts.keep(run.call, candidate))
    limits = stream.RelayLimits(idle=candidate.timeouts.idle, slow_reader=run.snapshot.slow_reader_s)
    relayed = await stream.relay(source, source.opening, reading, run.keeper or run.reply, run.watch, limits)
    if relayed.nobody_reads and (reading.finished or reading.reasoning or candidate.reasoning):
        run.client.close()  # a slow reader that leaves now is no news
        await stream.read_on(source, reading, run.watch)
    whole = relayed.ended == "complete"
    if not whole:
        source.close()  # nobody wants the rest: it must not be generated while the ledger is waited for
    run.trail.attempts.append(run.snapshot.attempts.ended(source, relayed.fault, reading, whole=whole))
    if relayed.stop in ("total", "drain"):
        await run.reply.quiet()
        paying = run.unread and relayed.stop == "total"  # whoever leaves first must not have the tokens for nothing
        if not run.reply.started and not paying:  # the error has its own status, and costs nothing
            return await _no_token(run, Interrupted(relayed.stop))
    if whole and run.keeper is not None:
        run.keeper.whole(relayed.withheld)
    delivery = "unknown" if whole and not run.unread else "partial" if run.reply.started else "none"
    error = None if whole or relayed.nobody_reads else endings.relay_error(relayed)
    booking.note(ended=relayed.ended, delivery=delivery, error_code=error and error.code, attempts=run.trail.tried)
    try:
        posted = await _post(run, candidate, reading, "complete" if reading.settled else relayed.ended)
    except TollwayError as unbooked:
        return await run.say(unbooked)
    if not whole or run.unread:
        return None if error is None else await run.say(error)
    last = endings.stream(run.call, relayed.withheld, reading, booking.record, posted, run.plan)
    with contextlib.suppress(Interrupted):
        await run.reply.finish(last, run.watch, run.snapshot.slow_reader_s)
        await booking.delivered()
    run.client.close()  # servers report the end of an answer as the client's leaving
    return await stream.linger(source, run.watch)


async def _post(run: Run, candidate: Candidate, read: Answer | Reading, ended: meter.Ending) -> Posted:
    call, booking, recounts = run.call, run.booking, run.snapshot.recounts
    served = Served(call, candidate, read, run.plan.caps.get(candidate.key))
    charge, counted = meter.meter(served, ended=ended, held=booking.held), None
    if charge.estimated and charge.price:
        counted = await recounts.in_time(served)
        if counted is not None:
            charge = meter.meter(served, ended=ended, held=booking.held, counted=counted)
    if charge.refused is not None:
        run.observer.alarm("usage_refused", f"{candidate.key}, call {call.id}: {charge.flags} {charge.refused}")
    booking.note(
        response_id=read.response_id,
        estimate=charge.own,
        estimate_origin="bytes" if counted is None else "tokenizer",
    )
    kept = None if run.keeper is None else await run.keeper.kept(read, served.max_tokens)
    posted = await booking.post(candidate, charge, cost_max=call.max_cost, kept=kept)
    recounts.take(served, charge, counted)
    return posted
