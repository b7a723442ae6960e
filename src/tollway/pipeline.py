"""THE PATH of a call: identify -> parse -> plan -> hold -> attempt -> meter -> post | void -> reply.

The only file that knows the order of the stages. They exchange immutable domain values; none imports another.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import msgspec

from tollway.domain.answer import Answer, Reading
from tollway.domain.call import Call, Caller
from tollway.domain.commands import Claimed, Posted
from tollway.domain.errors import LedgerOutcomeUnknown, Overloaded, ShuttingDown, TollwayError
from tollway.domain.observer import Observer
from tollway.domain.plan import Candidate, Plan
from tollway.domain.usage import Charge, Generated
from tollway.domain.waiting import Client, Interrupted
from tollway.egress import endings, replay, stream
from tollway.egress.replay import Keeper
from tollway.egress.reply import Reply
from tollway.intake import idempotency
from tollway.intake.body import Arrivals, Receive, read_body
from tollway.intake.parse import parse
from tollway.ledger.booking import AlreadyClaimed, Booking, Bookings
from tollway.metering import meter, terms
from tollway.recount.recounts import Counting
from tollway.routing.health import Health
from tollway.routing.plan import narrow, plan
from tollway.snapshot import Snapshot
from tollway.upstream.attempts import OpenStream, Trail
from tollway.upstream.pseudonym import Pseudonym
from tollway.upstream.watch import CallsInFlight, CallWatch


class ChatHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """What the path reads of a request's headers."""

    all: dict[bytes, bytes]
    sign_in: bytes | None = None
    authorization: bytes | None = None
    address: str = ""  # limits.addresses.address_of
    request_id: str | None = None
    idempotency_key: bytes | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One call under way."""

    call: Call
    plan: Plan
    booking: Booking
    snapshot: Snapshot
    watch: CallWatch
    client: Client
    reply: Reply
    keeper: Keeper | None = None  # for a call with an Idempotency-Key
    trail: Trail = msgspec.field(default_factory=Trail)

    @property
    def unread(self) -> bool:
        """The call goes on although its client is gone."""
        return self.keeper is not None and self.keeper.left

    async def say(self, error: TollwayError) -> None:
        await stream.say(self.reply, self.watch, self.snapshot.slow_reader_s, error)


class Pipeline:
    """One instance a process. `snapshot` may be swapped at any time, for calls to come; `draining` refuses them."""

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        bookings: Bookings,
        health: Health,
        observer: Observer,
        seed: Callable[[], int],
        pseudonym: Pseudonym,
        disabled: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self.snapshot = snapshot
        self.draining = False
        self.running = CallsInFlight()
        self._arrivals = Arrivals()
        self._bookings = bookings
        self._health = health
        self._observer = observer
        self._seed = seed
        self._pseudonym = pseudonym
        self._disabled = disabled

    async def chat(self, id: str, headers: ChatHeaders, receive: Receive, client: Client, reply: Reply) -> None:
        """One chat completion. Raises TollwayError for whatever ends before the answer has begun; ClientGone."""
        snapshot = self.snapshot
        if self.draining:
            raise ShuttingDown("This router is shutting down: try again.", retry_after_ms=1_000)
        if len(self.running) >= snapshot.calls_max:
            raise Overloaded("This router has as many calls in flight as it may: try again.", retry_after_ms=1_000)
        door, wallets, address = snapshot.door, snapshot.wallets, headers.address
        with self.running.enter(snapshot.slow_sender_s) as watch, door.arriving(address) as arriving:
            caller = await self.identify(address, headers.sign_in, headers.authorization)
            with wallets.share(caller.account, reply) as share:
                await share.enter()
                try:
                    limits = (self._arrivals, snapshot.body_bytes_max, watch, snapshot.slow_sender_s)
                    body = await watch.wait(read_body(receive, headers.all, *limits))
                except Interrupted as late:
                    raise endings.arrival_error(late.reason) from None
                arriving.over()
                call = parse(body, id=id, limits=snapshot.limits, client_request_id=headers.request_id)
                claim = idempotency.claim(headers.idempotency_key, call.request_hash, caller.key)
                call = msgspec.structs.replace(call, pseudonym=self._pseudonym(caller.account, call.user), claim=claim)
                if claim is not None and await self._replayed(caller, call, watch, reply):
                    return
                chosen = await self._plan(call, snapshot)
                await share.spend(call, chosen.candidates[0])
                booking = self._bookings.open(caller, call, chosen)
                run = Run(
                    call=call,
                    plan=chosen,
                    booking=booking,
                    snapshot=snapshot,
                    watch=watch,
                    client=client,
                    reply=reply,
                    keeper=None if claim is None else Keeper(claim, reply, watch),
                )
                try:
                    await self._carry_out(run, caller)
                except AlreadyClaimed as other:
                    await self._replayed(caller, call, watch, reply, other.claimed)
                except LedgerOutcomeUnknown:
                    # Neither an ending nor an error would be true: the connection closes.
                    self._observer.alarm("ledger_outcome_unknown", id)
                    await reply.break_off()
                finally:
                    share.ended(booking.record)
                    run.trail.used(booking.record.usage)
                    await booking.close()  # a call that came here without an end gives its hold back
                    if booking.granted:
                        self._observer.call_ended(booking.record)

    async def identify(self, address: str, sign_in: bytes | None, authorization: bytes | None) -> Caller:
        """Who asks, and whether that address is listened to. Raises SignInError, RateLimited."""
        return await self.snapshot.door.identify(address, self.snapshot.sign_in.identify, sign_in, authorization)

    async def idle(self, seconds: float) -> bool:
        """Wait until no call is in flight, `seconds` at the most; whether it came to that."""
        return await self.running.idle(seconds)

    async def welcome(self, caller: Caller) -> bool:
        """Give a new account its welcome credit, if there is one. Idempotent: True when there was something to give."""
        gift = self.snapshot.welcome
        return gift is not None and await self._bookings.welcome(caller.account, gift.amount, gift.total_max)

    async def _replayed(
        self, caller: Caller, call: Call, watch: CallWatch, reply: Reply, claimed: Claimed | None = None
    ) -> bool:
        """Give the answer again that is kept under the call's Idempotency-Key, if there is one. Raises what stands
        against it, and against carrying the call out."""
        assert call.claim is not None, "without an Idempotency-Key nothing is claimed"
        if caller.key is not None:
            await self.snapshot.sign_in.keys.check(caller)  # no hold decides on what is given here
        stored = replay.found(call.claim, await self._bookings.answer(caller.account, call.claim), claimed)
        if stored is None:
            return False
        await replay.play(stored, call, reply, watch, self.snapshot.slow_reader_s)
        return True

    async def _plan(self, call: Call, snapshot: Snapshot) -> Plan:
        """Who may serve the call, but for those that are disabled, or at a limit of the operator's."""
        health, seed, out = self._health, self._seed(), await self._disabled()
        measured, served = health.performance, snapshot.catalog
        chosen = health.planned(lambda who: plan(call, served, who, seed=seed, measured=measured, disabled=out))
        full = await snapshot.gates.full(call, chosen.candidates) if snapshot.gates else ()
        return narrow(chosen, full, "at_limit") if full else chosen

    async def _carry_out(self, run: Run, caller: Caller) -> None:
        run = msgspec.structs.replace(run, plan=await self._hold(run, caller))
        run.watch.extend(run.plan.candidates[0].timeouts.total)
        run.client.listen()
        try:
            await (self._stream(run) if run.call.stream else self._batch(run))
        finally:
            run.client.close()

    async def _hold(self, run: Run, caller: Caller) -> Plan:
        """What the hold that was granted leaves of the plan."""
        chosen, booking, unlimited = run.plan, run.booking, run.snapshot.unlimited
        offer = terms.terms(run.call, chosen)
        short = await booking.hold(offer.amounts, unlimited=unlimited)
        if short is not None and await self.welcome(caller):
            short = await booking.hold(offer.amounts, unlimited=unlimited)
        if short is not None:
            raise terms.insufficient(run.call, offer, short)
        for dropped, reason in ((offer.too_dear, "beyond_max_cost"), (offer.beyond(booking.held), "beyond_the_hold")):
            chosen = narrow(chosen, dropped, reason) if dropped else chosen
        booking.note(verdicts=chosen.verdicts)
        return msgspec.structs.replace(chosen, caps=offer.caps) if offer.caps else chosen

    async def _batch(self, run: Run) -> None:
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
            posted = await self._post(run, trail.asking, answer, "complete")
            somebody_reads = not run.client.left  # the call runs to completion, whoever leaves
            await run.reply.json(200, *endings.batch(answer, booking.record, posted, run.plan))
            if somebody_reads:
                await booking.delivered()

    async def _stream(self, run: Run) -> None:
        run.client.when_left(partial((run.keeper or run.watch).stop, "client_left"))
        run.reply.keep_alive(run.snapshot.keep_alive_s)
        try:
            try:
                source = await run.snapshot.attempts.open(run.call, run.plan, run.trail, run.watch)
            except (TollwayError, Interrupted) as problem:
                return await self._no_token(run, problem)
            try:
                await self._relay(run, source)
            finally:
                source.close()
        finally:
            await run.reply.quiet()

    async def _no_token(self, run: Run, problem: TollwayError | Interrupted) -> None:
        """The call ended before its first token: free, unless the client walked away from a provider at work."""
        booking, candidate, error = run.booking, run.trail.asking, endings.error_of(problem)
        booking.note(ended=endings.ended_by(problem), error_code=error and error.code, attempts=run.trail.tried)
        if error is not None:
            await run.say(error)
        elif candidate is not None:
            charge = meter.meter(run.call, candidate, ended="client_left_before_token", held=booking.held)
            await booking.post(candidate, charge, cost_max=run.call.max_cost)

    async def _relay(self, run: Run, source: OpenStream) -> None:
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
                return await self._no_token(run, Interrupted(relayed.stop))
        if whole and run.keeper is not None:
            run.keeper.whole(relayed.withheld)
        delivery = "unknown" if whole and not run.unread else "partial" if run.reply.started else "none"
        error = None if whole or relayed.nobody_reads else endings.relay_error(relayed)
        booking.note(ended=relayed.ended, delivery=delivery, error_code=error and error.code, attempts=run.trail.tried)
        try:
            posted = await self._post(run, candidate, reading, "complete" if reading.settled else relayed.ended)
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

    async def _post(self, run: Run, candidate: Candidate, read: Answer | Reading, ended: meter.Ending) -> Posted:
        call, booking, cap = run.call, run.booking, run.plan.caps.get(candidate.key)
        recounts, whole = run.snapshot.recounts, Counting(call=call, candidate=candidate, read=read, max_tokens=cap)

        def measured(generated: Generated) -> Charge:
            return meter.meter(
                call,
                candidate,
                ended=ended,
                held=booking.held,
                max_tokens=cap,
                usage_raw=read.usage,
                generated=generated,
                finish_reasons=read.finish_reasons,
            )

        generated = read.generated
        charge = measured(generated)
        counted = await recounts.in_time(whole) if charge.estimated and charge.price else None
        if counted is not None:
            generated = msgspec.structs.replace(generated, counted=counted)
            charge = measured(generated)
        if charge.refused is not None:
            self._observer.alarm("usage_refused", f"{candidate.key}, call {call.id}: {charge.flags} {charge.refused}")
        booking.note(
            response_id=read.response_id,
            estimate=meter.estimate(call, candidate, generated, cap),
            estimate_origin="bytes" if counted is None else "tokenizer",
        )
        kept = None if run.keeper is None else await run.keeper.kept(read, cap)
        posted = await booking.post(candidate, charge, cost_max=call.max_cost, kept=kept)
        recounts.take(whole, charge, counted)
        return posted
