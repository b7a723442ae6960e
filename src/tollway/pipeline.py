"""THE PATH of a call: identify -> parse -> plan -> hold, and from there on in answering.py: attempt -> meter -> post |
void -> reply.

The only files that know the order of the stages. They exchange immutable domain values; none imports another.
"""

from collections.abc import Awaitable, Callable, Collection

import msgspec

from tollway.answering import Run, answer
from tollway.domain.call import Call, Caller
from tollway.domain.commands import Claimed
from tollway.domain.errors import LedgerOutcomeUnknown, Overloaded, ShuttingDown
from tollway.domain.observer import Observer
from tollway.domain.plan import Plan
from tollway.domain.waiting import Client, Interrupted
from tollway.egress import endings, replay
from tollway.egress.replay import Keeper
from tollway.egress.reply import Reply
from tollway.intake import idempotency
from tollway.intake.body import Bodies, Receive, read_body
from tollway.intake.parse import parse
from tollway.ledger.booking import AlreadyClaimed, Booking, Bookings
from tollway.metering import terms
from tollway.routing.health import Health
from tollway.routing.plan import narrow
from tollway.snapshot import Snapshot
from tollway.upstream.attempts import Trail
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
        self._bodies = Bodies()
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
        door, address = snapshot.door, headers.address
        with self.running.enter(snapshot.slow_sender_s) as watch:
            room, share = self._bodies.room(snapshot.bodies_bytes_max), None
            door.arriving(address)
            try:
                try:
                    identify, sign_in, bearer = snapshot.sign_in.identify, headers.sign_in, headers.authorization
                    caller = await door.identify(address, identify, sign_in, bearer)
                    share = snapshot.wallets.share(caller.account, reply)
                    await share.enter()
                    most, slow = snapshot.body_bytes_max, snapshot.slow_sender_s
                    body = await watch.wait(read_body(receive, headers.all, room, most, watch, slow))
                except Interrupted as late:
                    raise endings.arrival_error(late.reason) from None
                finally:
                    door.arrived(address)
                call = parse(body, id=id, limits=snapshot.limits, client_request_id=headers.request_id)
                claim = idempotency.claim(headers.idempotency_key, call.request_hash, caller.key)
                call = msgspec.structs.replace(call, pseudonym=self._pseudonym(caller.account, call.user), claim=claim)
                if claim is not None and await self._replayed(caller, call, watch, reply):
                    return
                chosen = await self._plan(call, snapshot)
                await share.spend(call, chosen.candidates[0])
                booking, trail = self._bookings.open(caller, call, chosen), Trail()
                try:
                    run = Run(
                        call=call,
                        plan=await self._hold(caller, call, chosen, booking, unlimited=snapshot.unlimited),
                        booking=booking,
                        snapshot=snapshot,
                        watch=watch,
                        client=client,
                        reply=reply,
                        observer=self._observer,
                        keeper=None if claim is None else Keeper(claim, reply, watch, snapshot.kept_bytes_max),
                        trail=trail,
                    )
                    await answer(run)
                except AlreadyClaimed as other:
                    await self._replayed(caller, call, watch, reply, other.claimed)
                except LedgerOutcomeUnknown:
                    # Neither an ending nor an error would be true: the connection closes.
                    self._observer.alarm("ledger_outcome_unknown", id)
                    await reply.break_off()
                finally:
                    record = booking.record
                    share.ended(record)
                    trail.used(record.usage)
                    if booking.pending:
                        await booking.close()  # a call that came here without an end gives its hold back
                        record = booking.record
                    if booking.granted:
                        self._observer.call_ended(record)
            finally:
                room.close()
                if share is not None:
                    share.close()

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
        out = await self._disabled()
        chosen = self._health.planned(call, snapshot.catalog, seed=self._seed(), disabled=out)
        if not snapshot.gates:
            return chosen
        full = await snapshot.gates.full(call, chosen.candidates)
        return narrow(chosen, full, "at_limit") if full else chosen

    async def _hold(self, caller: Caller, call: Call, chosen: Plan, booking: Booking, *, unlimited: bool) -> Plan:
        """What the hold that was granted leaves of the plan."""
        offer = terms.terms(call, chosen)
        short = await booking.hold(offer.amounts, unlimited=unlimited)
        if short is not None:
            if await self.welcome(caller):
                short = await booking.hold(offer.amounts, unlimited=unlimited)
            if short is not None:
                raise terms.insufficient(call, offer, short)
        beyond = offer.beyond(booking.held)
        if offer.too_dear:
            chosen = narrow(chosen, offer.too_dear, "beyond_max_cost")
        if beyond:
            chosen = narrow(chosen, beyond, "beyond_the_hold")
        booking.note(verdicts=chosen.verdicts)
        return msgspec.structs.replace(chosen, caps=offer.caps) if offer.caps else chosen
