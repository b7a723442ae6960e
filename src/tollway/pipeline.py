"""THE PATH of a call: identify -> parse -> plan -> hold -> attempt -> meter -> post | void -> reply.

The only file that knows the order of the stages. They exchange immutable domain values; none imports another.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from tollway.auth.signin import SignIn
from tollway.domain.answer import Reading
from tollway.domain.call import Call, Caller
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable, Overloaded, ShuttingDown, TollwayError
from tollway.domain.observer import Observer
from tollway.domain.plan import Plan
from tollway.domain.waiting import Interrupted
from tollway.egress import endings, stream
from tollway.egress.reply import Reply
from tollway.intake.body import Receive, read_body
from tollway.intake.parse import parse
from tollway.ledger.booking import Booking, Bookings
from tollway.metering import meter, terms
from tollway.routing.health import Health
from tollway.routing.plan import narrow, plan
from tollway.snapshot import Snapshot
from tollway.upstream.attempts import OpenStream, Trail
from tollway.upstream.watch import CallWatch, watch_client


class ChatHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """What the path reads of a request's headers."""

    all: list[tuple[bytes, bytes]]
    sign_in: bytes | None = None
    authorization: bytes | None = None
    request_id: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One call under way."""

    call: Call
    plan: Plan
    booking: Booking
    snapshot: Snapshot
    watch: CallWatch
    reply: Reply
    trail: Trail


class Pipeline:
    """One instance a process. `snapshot` may be swapped between calls; `draining` refuses new ones."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        sign_in: SignIn,
        bookings: Bookings,
        health: Health,
        observer: Observer,
        seed: Callable[[], int],
    ) -> None:
        self.snapshot = snapshot
        self.draining = False
        self.running: set[CallWatch] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sign_in = sign_in
        self._bookings = bookings
        self._health = health
        self._observer = observer
        self._seed = seed

    async def chat(self, id: str, headers: ChatHeaders, receive: Receive, reply: Reply) -> None:
        """One chat completion. Raises TollwayError for whatever ends before the answer has begun."""
        snapshot = self.snapshot
        if self.draining:
            raise ShuttingDown("This router is shutting down: try again.", retry_after_ms=1_000)
        if len(self.running) >= snapshot.calls_max:
            raise Overloaded("This router has as many calls in flight as it may: try again.", retry_after_ms=1_000)
        caller = await self._sign_in.identify(headers.sign_in, headers.authorization)
        body = await read_body(receive, headers.all, snapshot.body_bytes_max)
        call = parse(body, id=id, limits=snapshot.limits, client_request_id=headers.request_id)
        chosen = plan(call, snapshot.catalog, self._health.view(), seed=self._seed())
        booking, chosen = await self._hold(caller, call, chosen, snapshot)
        watch = CallWatch(chosen.candidates[0].timeouts.total)
        self.running.add(watch)
        self._idle.clear()
        run = Run(call=call, plan=chosen, booking=booking, snapshot=snapshot, watch=watch, reply=reply, trail=Trail())
        try:
            await (self._stream(run, receive) if call.stream else self._batch(run))
        except LedgerOutcomeUnknown:
            # Neither an ending nor an error would be true: the connection closes.
            self._observer.alarm("ledger_outcome_unknown", call.id)
            await reply.break_off()
        finally:
            watch.close()
            self.running.discard(watch)
            if not self.running:
                self._idle.set()
            await booking.close()  # a call that came here without an end gives its hold back
            self._observer.call_ended(booking.record)

    async def idle(self, seconds: float) -> bool:
        """Wait until no call is in flight, `seconds` at the most; whether it came to that."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
        return not self.running

    async def welcome(self, caller: Caller) -> bool:
        """Give a new account its welcome credit, if there is one. Idempotent: True when there was something to give."""
        gift = self.snapshot.welcome
        return gift is not None and await self._bookings.welcome(caller.account, gift.amount, gift.total_max)

    async def _hold(self, caller: Caller, call: Call, chosen: Plan, snapshot: Snapshot) -> tuple[Booking, Plan]:
        offer = terms.terms(call, chosen)
        booking = self._bookings.open(caller, call, chosen)
        short = await booking.hold(offer.amounts, unlimited=snapshot.unlimited)
        if short is not None and await self.welcome(caller):
            short = await booking.hold(offer.amounts, unlimited=snapshot.unlimited)
        if short is not None:
            raise terms.insufficient(call, offer, short.available)
        for dropped, reason in ((offer.too_dear, "beyond_max_cost"), (offer.beyond(booking.held), "beyond_the_hold")):
            chosen = narrow(chosen, dropped, reason) if dropped else chosen
        if offer.caps:
            chosen = msgspec.structs.replace(chosen, caps=offer.caps)
        booking.note(verdicts=chosen.verdicts)
        return booking, chosen

    async def _batch(self, run: Run) -> None:
        booking, trail = run.booking, run.trail
        try:
            answer = await run.snapshot.attempts.answer(run.call, run.plan, trail, run.watch)
        except (TollwayError, Interrupted) as problem:
            error = problem if isinstance(problem, TollwayError) else endings.cut_error(problem.reason)
            booking.note(ended=endings.ended_by(problem), error_code=error.code, attempts=tuple(trail.attempts))
            raise error from None
        candidate = trail.asking
        assert candidate is not None, "an answer has a provider"
        charge = meter.meter(
            run.call,
            candidate,
            ended="complete",
            held=booking.held,
            max_tokens=run.plan.caps.get(candidate.key),
            usage_raw=answer.usage,
            generated=answer.generated,
            finish_reasons=answer.finish_reasons,
        )
        booking.note(
            ended="complete",
            delivery="complete",
            response_id=answer.response_id,
            attempts=tuple(trail.attempts),
            estimate=meter.estimate(run.call, candidate, answer.generated),
        )
        posted = await booking.post(candidate, charge, cost_max=run.call.max_cost)
        await run.reply.json(200, *endings.batch(answer, booking.record, posted, run.plan))

    async def _stream(self, run: Run, receive: Receive) -> None:
        leaving = asyncio.ensure_future(watch_client(receive, run.watch))
        run.reply.keep_alive(run.snapshot.keep_alive_s)
        try:
            try:
                source = await run.snapshot.attempts.open(run.call, run.plan, run.trail, run.watch)
            except (TollwayError, Interrupted) as problem:
                await self._no_token(run, problem)
                return
            try:
                await self._relay(run, source)
            finally:
                source.close()
        finally:
            leaving.cancel()
            await run.reply.quiet()

    async def _no_token(self, run: Run, problem: TollwayError | Interrupted) -> None:
        """The call ended before its first token: free, unless the client walked away from a provider at work."""
        booking, candidate, error = run.booking, run.trail.asking, endings.error_of(problem)
        booking.note(
            ended=endings.ended_by(problem), error_code=error and error.code, attempts=tuple(run.trail.attempts)
        )
        if error is not None:
            await self._say(run, error)
        elif candidate is not None:
            charge = meter.meter(run.call, candidate, ended="client_left_before_token", held=booking.held)
            await booking.post(candidate, charge, cost_max=run.call.max_cost)

    async def _relay(self, run: Run, source: OpenStream) -> None:
        call, booking, candidate, reading = run.call, run.booking, source.candidate, Reading(run.call.n)
        limits = stream.RelayLimits(idle=candidate.timeouts.idle, slow_reader=run.snapshot.slow_reader_s)
        relayed = await stream.relay(source, source.opening, reading, run.reply, run.watch, limits)
        if relayed.nobody_reads and (reading.finished or reading.reasoning or candidate.reasoning):
            await stream.read_on(source, reading, run.watch)
        attempt = run.snapshot.attempts.ended(source, relayed.fault, reading, whole=relayed.ended == "complete")
        charge = meter.meter(
            call,
            candidate,
            ended="complete" if reading.settled else relayed.ended,
            held=booking.held,
            max_tokens=run.plan.caps.get(candidate.key),
            usage_raw=reading.usage,
            generated=reading.generated,
            finish_reasons=reading.finish_reasons,
        )
        booking.note(
            ended=relayed.ended,
            delivery="complete" if relayed.ended == "complete" else "partial",
            response_id=reading.response_id,
            attempts=(*run.trail.attempts, attempt),
            estimate=meter.estimate(call, candidate, reading.generated),
        )
        try:
            posted = await booking.post(candidate, charge, cost_max=call.max_cost)
        except LedgerUnavailable as unbooked:
            await self._say(run, unbooked)
            return
        if relayed.ended != "complete":
            if not relayed.nobody_reads:
                await self._say(run, endings.relay_error(relayed))
            return
        try:
            last = endings.stream(call, relayed.withheld, reading, booking.record, posted, run.plan)
            await run.reply.finish(last, run.watch, run.snapshot.slow_reader_s)
        except Interrupted:
            booking.note(delivery="unknown")
        await stream.linger(source, run.watch)

    async def _say(self, run: Run, error: TollwayError) -> None:
        """An error with its true status where nothing was sent yet, else as the last frame of the stream."""
        await run.reply.quiet()
        if not run.reply.started:
            raise error
        with contextlib.suppress(Interrupted):
            frame = stream.error_frame(error, run.call.id)
            await run.reply.finish(frame, run.watch, run.snapshot.slow_reader_s)
