"""One call's way through the ledger: a hold, then exactly one end, whatever happens in between.

A command whose outcome is unknown is asked again with the same id until the answer is known. Whatever keeps a call
from its end (the ledger is down, the task is cancelled), a void is booked later: a hold must not outlive its call.
Where the call's post was booked after all the books refuse that void, so it is always safe to say.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tollway.domain.asked import Asked
from tollway.domain.call import Call, Caller
from tollway.domain.claims import Claim, Kept
from tollway.domain.clock import Clock
from tollway.domain.commands import (
    Claimed,
    Command,
    Credit,
    Credited,
    Held,
    Hold,
    Insufficient,
    NoteDelivery,
    Post,
    Posted,
    RefusalReason,
    Refused,
    Result,
    StoredAnswer,
    Void,
)
from tollway.domain.errors import (
    AccountFrozen,
    InternalError,
    InvalidKey,
    KeyEnded,
    KeyExpired,
    LedgerOutcomeUnknown,
    LedgerUnavailable,
    ModelNotAllowed,
    TollwayError,
)
from tollway.domain.keys import Key
from tollway.domain.plan import Candidate, Plan
from tollway.domain.record import CallRecord, Delivery
from tollway.domain.seams import Ledger
from tollway.domain.usage import Charge

UNKNOWN_S_MAX = 30.0  # how long an unknown outcome is asked about, with the ending withheld
ASK_AGAIN_S = 0.25
VOID_AGAIN_S = 1.0
VOID_TRIES = 600  # ten minutes; after that a restart, which expires the hold, is what helps
HOLD_LOST = Refused(reason="unknown_hold")  # its commit failed after it had been granted


class AlreadyClaimed(Exception):
    """Another call holds the Idempotency-Key. Not for callers: they are given that call's answer, if there is one."""

    def __init__(self, claimed: Claimed) -> None:
        super().__init__(claimed.id)
        self.claimed = claimed


class Bookings:
    """Opens bookings, and keeps the voids that are still to be booked. One instance a process."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._late: set[asyncio.Task[None]] = set()
        self.now_ms = clock.now_ms

    def open(self, caller: Caller, call: Call, plan: Plan) -> "Booking":
        record = CallRecord(
            id=call.id,
            account=caller.account,
            created_ms=self.now_ms(),
            ended_ms=0,
            model_asked=call.model,
            stream=call.stream,
            ended="refused",
            delivery="none",
            seed=plan.seed,
            asked=Asked.of(call),
            request_hash=call.request_hash,
            user=call.user,
            client_request_id=call.client_request_id,
            key=None if caller.key is None else caller.key.id,
        )
        if caller.key is None:
            return Booking(self, record, claim=call.claim)
        models = tuple({candidate.model: None for candidate in plan.candidates})
        return Booking(self, record, claim=call.claim, key=caller.key, models=models)

    async def answer(self, account: str, claim: Claim) -> StoredAnswer | None:
        """What is kept under an Idempotency-Key. Raises LedgerUnavailable."""
        return await self._ledger.answer(account, claim.key)

    async def welcome(self, account: str, amount: int, total_max: int) -> bool:
        """Credit a gift once an account, as long as `total_max` in all isn't reached. True when the account has it.

        Raises LedgerUnavailable."""
        gift = Credit(
            id=f"welcome:{account}",
            account=account,
            amount=amount,
            source="welcome",
            ref="welcome",
            source_max=total_max,
        )
        try:
            return isinstance(await self.apply(gift), Credited)
        except LedgerOutcomeUnknown:
            raise _try_again() from None  # the id is the account's: it is never given twice

    async def apply(self, command: Command) -> Result:
        return (await self._ledger.apply([command]))[0]

    async def apply_until_known(self, command: Command) -> Result:
        """Raises LedgerUnavailable, or LedgerOutcomeUnknown after 30 s of asking."""
        try:
            return (await self._ledger.apply([command]))[0]
        except LedgerOutcomeUnknown:
            give_up_at = self._clock.monotonic() + UNKNOWN_S_MAX
        while self._clock.monotonic() < give_up_at:
            await asyncio.sleep(ASK_AGAIN_S)
            # A ledger that can't book now has not said what came of the first time.
            with contextlib.suppress(LedgerOutcomeUnknown, LedgerUnavailable):
                return await self.apply(command)
        raise LedgerOutcomeUnknown("the ledger did not say whether it booked")

    def apply_later(self, command: Command) -> None:
        """Book it in the background, as soon as the ledger can."""
        task = asyncio.get_running_loop().create_task(self._apply_until_booked(command))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def aclose(self) -> None:
        """Give up on what could not be booked: the next start expires those holds."""
        late: Sequence[asyncio.Task[None]] = tuple(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _apply_until_booked(self, command: Command) -> None:
        for _ in range(VOID_TRIES):
            try:
                await self.apply(command)
            except (LedgerUnavailable, LedgerOutcomeUnknown):
                await asyncio.sleep(VOID_AGAIN_S)
            else:
                return


class Booking:
    """`record` starts with what is known of the call and is completed on the way; it is kept with the post or void."""

    def __init__(
        self,
        bookings: Bookings,
        record: CallRecord,
        *,
        claim: Claim | None = None,
        key: Key | None = None,
        models: tuple[str, ...] = (),
    ) -> None:
        """`models`: those that may serve the call, which `key` has to allow."""
        self._bookings = bookings
        self._claim = claim
        self._key = key
        self._models = models
        self.pending = False  # there may be a hold without an end, which `close` gives back
        self._record = record
        self._changes: dict[str, Any] = {}  # not yet in it: a record has many fields, and is noted on many times
        self.note: Callable[..., None] = self._changes.update  # complete the record, by its fields' names
        self.granted = False  # a hold was: the call has to come to an end in the books
        self.held = 0  # nano-USD

    @property
    def record(self) -> CallRecord:
        if self._changes:
            self._record = msgspec.structs.replace(self._record, **self._changes)
            self._changes.clear()
        return self._record

    async def hold(self, bounds: tuple[int, ...], *, unlimited: bool) -> Insufficient | None:
        """Reserve the largest of `bounds` (nano-USD, largest first) that fits; `held` is then what was granted.

        Raises LedgerUnavailable: then nothing is held, or soon isn't any more; AlreadyClaimed; AccountFrozen; and what
        stands against the key that the call came by."""
        record = self.record
        command = Hold(
            id=record.id,
            account=record.account,
            bounds=bounds,
            unlimited=unlimited,
            model=record.model_asked,
            claim=self._claim,
            key=record.key or "",
            models=self._models,
        )
        self.pending = True  # until the ledger says that it isn't: `close` gives back what may be held
        try:
            result = await self._bookings.apply(command)
        except LedgerUnavailable:
            self.pending = False
            raise
        except LedgerOutcomeUnknown:
            self._void_later("unknown")
            raise _try_again() from None
        if isinstance(result, Held):
            self.held = result.amount
            self.granted = True
            self.note(held=result.amount)
            return None
        self.pending = False
        match result:
            case Insufficient():
                return result
            case Claimed():
                raise AlreadyClaimed(result)
            case Refused(reason="unknown_account"):
                return Insufficient(available=0)
            case Refused(reason="account_frozen"):
                raise AccountFrozen("This account is frozen: it can't make calls. Ask the router's operator.")
            case Refused(reason=reason) if self._key is not None and (refused := _refused(reason, self._key)):
                raise refused
            case _:
                raise InternalError(f"The ledger refused a hold ({result}).")

    async def post(
        self, candidate: Candidate, charge: Charge, *, cost_max: int | None, kept: Kept | None = None
    ) -> Posted:
        """Book what the call came to: at most the hold, and what is over it from the free balance as far as the
        caller's `max_cost` goes. Raises LedgerUnavailable or InternalError (not booked, and the hold is given back), or
        LedgerOutcomeUnknown (after 30 s of asking)."""
        self.note(
            provider=candidate.provider,
            model=candidate.model,
            upstream=candidate.upstream,
            usage=charge.usage,
            usage_origin="estimated" if charge.estimated else "provider",
            usage_reported=charge.refused,
            price=charge.price,
            cost=charge.cost,
            tariff=candidate.tariff,
            flags=charge.flags,
            ended_ms=self._bookings.now_ms(),
        )
        command = Post(
            id=self._record.id,
            price=charge.price,
            provider=candidate.provider,
            cost=charge.cost,
            over_max=None if cost_max is None else max(0, cost_max - self.held),
            record=self.record,
            kept=kept,
        )
        self.pending = False
        try:
            result = await self._bookings.apply_until_known(command)
        except LedgerUnavailable as error:
            self.note(error_code=error.code)
            self._void_later("none")
            raise
        except BaseException:  # unknown after all, or cancelled while asking: the post may be booked or not
            self._void_later("unknown")
            raise
        if isinstance(result, Posted):
            if result.charged != charge.price:
                self.note(price=result.charged)
            return result
        refused: TollwayError = InternalError(f"The ledger refused a post ({result}).")
        if result == HOLD_LOST:
            refused = LedgerUnavailable("The ledger lost this call's hold: nothing was charged.", retry_after_ms=1_000)
        self.note(error_code=refused.code)
        self._void_later("none")
        raise refused

    async def delivered(self) -> None:
        """The end of the answer was handed over. Without this word a posted call is `delivery: unknown`."""
        self.note(delivery="complete")
        try:
            await self._bookings.apply(NoteDelivery(id=self._record.id, delivery="complete"))
        except (LedgerUnavailable, LedgerOutcomeUnknown):
            return  # it stays unknown

    async def close(self) -> None:
        """Give the hold back whole, if the call has come to no other end. Books later what can't be booked now."""
        if not self.pending:
            return
        self.pending = False
        self.note(ended_ms=self._bookings.now_ms())
        command = Void(id=self.record.id, record=self.record)
        try:
            await self._bookings.apply(command)
        except (LedgerUnavailable, LedgerOutcomeUnknown):
            self._bookings.apply_later(command)
        except BaseException:
            self._bookings.apply_later(command)
            raise

    def _void_later(self, delivery: Delivery) -> None:
        """The ledger failed the call, which costs nothing unless its post was booked after all."""
        self.pending = False
        self.note(ended="ledger_failed", delivery=delivery, price=0, cost=0, ended_ms=self._bookings.now_ms())
        self._bookings.apply_later(Void(id=self.record.id, record=self.record))


def _try_again() -> LedgerUnavailable:
    return LedgerUnavailable("The ledger did not answer: try again.", retry_after_ms=1_000)


def _refused(reason: RefusalReason, key: Key) -> TollwayError | None:
    """What a refused hold says of the key that the call came by; None where it says something else."""
    match reason:
        case "unknown_key":
            return InvalidKey("This key is none of this router: check that it was copied whole.")
        case "key_ended":
            return KeyEnded("This key has been ended by its owner: ask for a new one.")
        case "key_expired":
            return KeyExpired("This key has expired: ask its owner for a new one.")
        case "model_not_allowed":
            return ModelNotAllowed(
                "This key does not allow every model that may serve this call: ask for one of allowed_models.",
                param="model",
                details={"allowed_models": key.models},
            )
        case _:
            return None
