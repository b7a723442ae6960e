"""The rules of the books: what a command may do, and which counters it moves. Pure: values in, values out.

Knows nothing of files, tasks or time: a store hands in what is known (a `View`) and enters what comes back.

Theory of operation
-------------------
Double entry. A transfer moves an amount from one account's debit side to another's credit side, so the sum over all
accounts is zero at any time, for what is pending and for what is posted. An account is four counters; a wallet's
free balance is `credits_posted - debits_posted - debits_pending`. The accounts:

    <wallet>          what a caller may spend (stored id, such as eip155:0xab...)
    provider:<id>     what we owe a provider
    router:revenue    what we keep; pending holds stand here too, on the credit side
    router:loss       what the operator bore: cost that no wallet paid
    source:<name>     where money came from ("operator", "welcome")

Every transfer carries the id of the command that made it. The transfers that share an id are its chain, oldest first,
and the last of them is its state. Down: the state; across: what is asked of it. `=` repeats the answer given before,
when the content is the same as before, and is refused with id_reused when it is not:

                credit      hold        post             void            expire
    absent      credited    pending     unknown_hold     unknown_hold    unknown_hold
    credited    =           id_reused   unknown_hold     unknown_hold    unknown_hold
    pending     id_reused   =           posted           voided          expired
    posted      id_reused   =           =                already_posted  already_posted
    voided      id_reused   =           already_voided   =               already_voided
    expired     id_reused   =           posted (late)    hold_expired    =

What counts as content is the money: account, bounds and `unlimited` of a hold; price, provider, cost and `over_max` of
a post; account, amount, source and ref of a credit. Labels and the call's record ride along; the first ones stay.

Warts: a hold of 0 is allowed, for a model whose written price is 0. A late post finds its hold given back, so all of it
comes from the free balance; what isn't there any more is the operator's loss. Only holds granted `unlimited` may take
a wallet below zero.
"""

from typing import Literal, Protocol, get_args

import msgspec

from tollway.domain.commands import (
    Burned,
    BurnNonce,
    Command,
    Credit,
    Credited,
    Held,
    Hold,
    Insufficient,
    Noted,
    NoteDelivery,
    Post,
    Posted,
    Refused,
    Result,
    Revoke,
    Revoked,
    Void,
    Voided,
)
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.domain.record import CallRecord, Delivery
from tollway.ledger.transfer import (
    Account,
    Kind,
    Leg,
    Transfer,
    fits,
    is_wallet,
    legs_of,
    provider_account,
    source_account,
)

State = Literal["absent", "credited", "pending", "posted", "voided", "expired"]

_UNKNOWN = Refused(reason="unknown_hold")
_REUSED = Refused(reason="id_reused")
_POSTED = Refused(reason="already_posted")
_VOIDED = Refused(reason="already_voided")
_EXPIRED = Refused(reason="hold_expired")
_INVALID = Refused(reason="invalid_amount")
_SAME: Literal["="] = "="

Cell = State | Literal["="] | Refused
_ROWS: dict[State, tuple[Cell, Cell, Cell, Cell, Cell]] = {
    "absent": ("credited", "pending", _UNKNOWN, _UNKNOWN, _UNKNOWN),
    "credited": (_SAME, _REUSED, _UNKNOWN, _UNKNOWN, _UNKNOWN),
    "pending": (_REUSED, _SAME, "posted", "voided", "expired"),
    "posted": (_REUSED, _SAME, _SAME, _POSTED, _POSTED),
    "voided": (_REUSED, _SAME, _VOIDED, _SAME, _VOIDED),
    "expired": (_REUSED, _SAME, "posted", _EXPIRED, _SAME),
}
KINDS: tuple[Kind, ...] = get_args(Kind)
TABLE: dict[State, dict[Kind, Cell]] = {state: dict(zip(KINDS, cells, strict=True)) for state, cells in _ROWS.items()}
_STATE_AFTER: dict[Kind, State] = {
    "credit": "credited",
    "hold": "pending",
    "post": "posted",
    "void": "voided",
    "expire": "expired",
}


class Expire(msgspec.Struct, frozen=True, kw_only=True):
    """Give a hold back whose owner is gone. Said by a store, never by a caller."""

    id: str


class DeliveryNote(msgspec.Struct, frozen=True, gc=False):
    """What became of the answer of the call that was posted with transfer `seq`."""

    seq: int
    account: str
    id: str
    delivery: Delivery


class View(Protocol):
    """What the books say, as far as a command needs it."""

    @property
    def forgotten_ms(self) -> int:
        """Nonces that expired up to then may have been forgotten."""

    def account(self, id: str) -> Account:
        """The account; one that is empty when there is none yet."""

    def chain(self, id: str) -> tuple[Transfer, ...]:
        """The transfers that share this id, oldest first."""

    def nonce_used(self, account: str, nonce: str) -> bool: ...


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer, and what a store has to enter and write with it: all of it, or nothing."""

    result: Result | None  # None: an expiry, which answers nobody
    transfer: Transfer | None = None
    legs: tuple[Leg, ...] = ()
    record: CallRecord | None = None
    note: BurnNonce | Revoke | DeliveryNote | None = None


def decide(command: Command | Expire, view: View, seq: int, at_ms: int) -> Decision:
    """What `command` does to the books. `seq` and `at_ms` are what its transfer will carry if it makes one."""
    if isinstance(command, Hold):
        return _hold(command, view, seq, at_ms)
    if isinstance(command, Post):
        return _post(command, view, seq, at_ms)
    if isinstance(command, (Void, Expire)):
        return _give_back(command, view, seq, at_ms)
    if isinstance(command, Credit):
        return _credit(command, view, seq, at_ms)
    if isinstance(command, NoteDelivery):
        return _note_delivery(command, view)
    if isinstance(command, BurnNonce):
        if command.expires_ms <= view.forgotten_ms or view.nonce_used(command.account, command.nonce):
            return Decision(Refused(reason="nonce_used"))
        return Decision(Burned(), note=command)
    return Decision(Revoked(), note=command)


def state_of(chain: tuple[Transfer, ...]) -> State:
    return _STATE_AFTER[chain[-1].kind] if chain else "absent"


def state_after(kind: Kind) -> State:
    """The state of an id whose newest transfer is a `kind`."""
    return _STATE_AFTER[kind]


def answer_of(transfer: Transfer) -> Result | None:
    """What was answered when `transfer` was made: what a repeated command is answered again."""
    if transfer.kind == "hold":
        return Held(amount=transfer.amount, available=transfer.available)
    if transfer.kind == "post":
        loss = max(0, transfer.cost - transfer.amount)
        return Posted(charged=transfer.amount, loss=loss, available=transfer.available, late=transfer.late)
    if transfer.kind == "void":
        return Voided(available=transfer.available)
    if transfer.kind == "credit":
        return Credited(available=transfer.available)
    return None


# --- the rules, a command each


def _hold(command: Hold, view: View, seq: int, at_ms: int) -> Decision:
    chain = view.chain(command.id)
    if chain:
        first = chain[0]
        same = (
            first.kind == "hold"
            and first.account == command.account
            and first.bounds == command.bounds
            and first.unlimited == command.unlimited
        )
        return Decision(answer_of(first) if same else _REUSED)
    if not is_wallet(command.account):
        return Decision(Refused(reason="unknown_account"))
    wallet = view.account(command.account)
    available = wallet.available
    bounds = command.bounds
    granted = -1
    for bound in bounds:
        if not 0 <= bound <= AMOUNT_NANO_MAX:
            return Decision(_INVALID)
        if bound > granted and (bound <= available or command.unlimited):
            granted = bound
    if not bounds:
        return Decision(_INVALID)
    if granted < 0:
        return Decision(Insufficient(available=available))
    transfer = Transfer(
        seq=seq,
        id=command.id,
        kind="hold",
        at_ms=at_ms,
        account=command.account,
        previous=wallet.last_seq,
        amount=granted,
        available=available - granted,
        bounds=bounds,
        unlimited=command.unlimited,
        model=command.model,
    )
    return _booked(transfer, view)


def _post(command: Post, view: View, seq: int, at_ms: int) -> Decision:
    chain = view.chain(command.id)
    cell = TABLE[state_of(chain)]["post"]
    if isinstance(cell, Refused):
        return Decision(cell)
    if cell == _SAME:
        return Decision(answer_of(chain[-1]) if _same_post(command, chain[-1]) else _REUSED)
    price, cost, over_max = command.price, command.cost, command.over_max
    if not (0 <= price <= AMOUNT_NANO_MAX and 0 <= cost <= AMOUNT_NANO_MAX) or (over_max is not None and over_max < 0):
        return Decision(_INVALID)
    hold = chain[0]
    late = len(chain) > 1
    held = 0 if late else hold.amount
    wallet = view.account(hold.account)
    charged = _charged(command, hold, held, wallet.available)
    transfer = Transfer(
        seq=seq,
        id=command.id,
        kind="post",
        at_ms=at_ms,
        account=hold.account,
        previous=wallet.last_seq,
        amount=charged,
        available=wallet.available + held - charged,
        counterparty=provider_account(command.provider),
        model=command.record.model or hold.model,
        held=held,
        price=price,
        cost=cost,
        over_max=over_max,
        late=late,
    )
    return _booked(transfer, view, _settled(command.record, hold, charged, cost))


def _charged(command: Post, hold: Transfer, held: int, available: int) -> int:
    """What the wallet pays: the price within the hold, then what is over it as far as that is allowed and free."""
    within = min(command.price, hold.amount)
    over = command.price - within
    if command.over_max is not None:
        over = min(over, command.over_max)
    if hold.unlimited:
        return within + over
    secured = min(within, held)
    return secured + min(within + over - secured, max(available, 0))


def _give_back(command: Void | Expire, view: View, seq: int, at_ms: int) -> Decision:
    kind: Kind = "void" if isinstance(command, Void) else "expire"
    chain = view.chain(command.id)
    cell = TABLE[state_of(chain)][kind]
    if isinstance(cell, Refused):
        return Decision(cell)
    if cell == _SAME:
        return Decision(answer_of(chain[-1]))
    hold = chain[0]
    wallet = view.account(hold.account)
    transfer = Transfer(
        seq=seq,
        id=command.id,
        kind=kind,
        at_ms=at_ms,
        account=hold.account,
        previous=wallet.last_seq,
        amount=hold.amount,
        available=wallet.available + hold.amount,
        model=hold.model,
        held=hold.amount,
    )
    return _booked(transfer, view, _settled(command.record, hold, 0, 0) if isinstance(command, Void) else None)


def _credit(command: Credit, view: View, seq: int, at_ms: int) -> Decision:
    source = source_account(command.source)
    cell = TABLE[state_of(chain := view.chain(command.id))]["credit"]
    if isinstance(cell, Refused):
        return Decision(cell)
    if cell == _SAME:
        first = chain[0]
        same = (command.account, command.amount, source, command.ref) == (
            first.account,
            first.amount,
            first.counterparty,
            first.ref,
        )
        return Decision(answer_of(first) if same else _REUSED)
    if not 0 < command.amount <= AMOUNT_NANO_MAX:
        return Decision(_INVALID)
    if not is_wallet(command.account):
        return Decision(Refused(reason="unknown_account"))
    if command.source_max is not None and view.account(source).debits_posted + command.amount > command.source_max:
        return Decision(Refused(reason="source_exhausted"))
    wallet = view.account(command.account)
    transfer = Transfer(
        seq=seq,
        id=command.id,
        kind="credit",
        at_ms=at_ms,
        account=command.account,
        previous=wallet.last_seq,
        amount=command.amount,
        available=wallet.available + command.amount,
        counterparty=source,
        ref=command.ref,
    )
    return _booked(transfer, view)


def _note_delivery(command: NoteDelivery, view: View) -> Decision:
    chain = view.chain(command.id)
    if state_of(chain) != "posted":
        return Decision(_UNKNOWN)
    posted = chain[-1]
    return Decision(Noted(), note=DeliveryNote(posted.seq, posted.account, command.id, command.delivery))


def _booked(transfer: Transfer, view: View, record: CallRecord | None = None) -> Decision:
    legs = legs_of(transfer, view.account)
    if not fits(legs):
        return Decision(_INVALID)
    return Decision(answer_of(transfer), transfer, legs, record)


def _same_post(command: Post, before: Transfer) -> bool:
    return (command.price, command.cost, command.over_max, provider_account(command.provider)) == (
        before.price,
        before.cost,
        before.over_max,
        before.counterparty,
    )


def _settled(record: CallRecord, hold: Transfer, charged: int, cost: int) -> CallRecord:
    """The record as it is kept: whose call it is and what it came to are the books' word, not the sender's."""
    if (
        record.price == charged
        and record.cost == cost
        and record.held == hold.amount
        and record.id == hold.id
        and record.account == hold.account
    ):
        return record
    return msgspec.structs.replace(record, id=hold.id, account=hold.account, price=charged, cost=cost, held=hold.amount)
