"""What a command may come to: the states of an id, the table of what may be asked of each, and a decision's form. Pure.

The rules that decide are in holds.py, credits.py and book.py, where the theory of operation stands.
"""

from collections.abc import Mapping
from typing import Literal, Protocol, get_args

import msgspec

from tollway.domain.commands import (
    BurnNonce,
    Credited,
    Frozen,
    Held,
    Noted,
    Paid,
    Posted,
    Refused,
    Result,
    Reversed,
    Revoke,
    SetFrozen,
    SetProvider,
    Voided,
)
from tollway.domain.keys import Key
from tollway.domain.record import CallRecord, Delivery
from tollway.domain.recount import Recount
from tollway.domain.usage import Usage
from tollway.ledger.transfer import Account, Kind, Leg, Transfer, fits, legs_of

# "returned" is a credit that was reversed, "reversed" a post.
State = Literal["absent", "credited", "pending", "posted", "voided", "expired", "returned", "reversed", "paid"]

UNKNOWN = Refused(reason="unknown_hold")
REUSED = Refused(reason="id_reused")
POSTED = Refused(reason="already_posted")
VOIDED = Refused(reason="already_voided")
EXPIRED = Refused(reason="hold_expired")
INVALID = Refused(reason="invalid_amount")
NO_TRANSFER = Refused(reason="unknown_transfer")
NOTED = Noted()
NOT_CHARGED = Refused(reason="not_reversible")
SAME: Literal["="] = "="

Cell = State | Literal["="] | Refused
_ROWS: dict[State, tuple[Cell, Cell, Cell, Cell, Cell, Cell, Cell]] = {
    "absent": ("credited", "pending", UNKNOWN, UNKNOWN, UNKNOWN, NO_TRANSFER, "paid"),
    "credited": (SAME, REUSED, UNKNOWN, UNKNOWN, UNKNOWN, "returned", REUSED),
    "pending": (REUSED, SAME, "posted", "voided", "expired", NOT_CHARGED, REUSED),
    "posted": (REUSED, SAME, SAME, POSTED, POSTED, "reversed", REUSED),
    "voided": (REUSED, SAME, VOIDED, SAME, VOIDED, NOT_CHARGED, REUSED),
    "expired": (REUSED, SAME, "posted", EXPIRED, SAME, NOT_CHARGED, REUSED),
    "returned": (SAME, REUSED, UNKNOWN, UNKNOWN, UNKNOWN, SAME, REUSED),
    "reversed": (REUSED, SAME, SAME, POSTED, POSTED, SAME, REUSED),
    "paid": (REUSED, REUSED, UNKNOWN, UNKNOWN, UNKNOWN, NO_TRANSFER, SAME),
}
KINDS: tuple[Kind, ...] = get_args(Kind)
TABLE: dict[State, dict[Kind, Cell]] = {state: dict(zip(KINDS, cells, strict=True)) for state, cells in _ROWS.items()}
_STATE_AFTER: dict[Kind, State] = {
    "credit": "credited",
    "hold": "pending",
    "post": "posted",
    "void": "voided",
    "expire": "expired",
    "reverse": "reversed",
    "pay": "paid",
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


class RecountNote(msgspec.Struct, frozen=True, gc=False):
    """Our own count of the call that was posted with transfer `seq`."""

    seq: int
    account: str
    id: str
    provider: str
    model: str
    recount: Recount


class KnownKey(msgspec.Struct, frozen=True, gc=False):
    """A delegated key as the books have it."""

    key: Key
    secret_hash: str
    ended_ms: int | None = None


class KnownClaim(msgspec.Struct, frozen=True, gc=False):
    """Which call claimed an Idempotency-Key last. `place` stands for the account and the key (claims.place_of)."""

    place: str
    id: str
    request: str
    at_ms: int  # of its hold
    answered: bool = False  # it was a success


class View(Protocol):
    """What the books say, as far as a command needs it."""

    @property
    def forgotten_ms(self) -> int:
        """Nonces that expired up to then may have been forgotten."""

    def account(self, id: str, /) -> Account:
        """The account; one that is empty when there is none yet."""

    def chain(self, id: str) -> tuple[Transfer, ...]:
        """The transfers that share this id, oldest first."""

    def key(self, id: str) -> KnownKey | None:
        """The delegated key; None when there is none of that id."""

    def kept_bytes(self, shelf: str) -> int:
        """Of the answers that are kept there (claims.shelf_of)."""

    def claim(self, place: str) -> KnownClaim | None:
        """Which call claimed an Idempotency-Key last."""

    @property
    def pending(self) -> Mapping[str, object]:
        """The holds without an end, by id."""

    @property
    def frozen(self) -> Mapping[str, Frozen]:
        """The wallets that are frozen, each with what the operator said who froze it."""

    def owed(self, provider: str) -> int:
        """What the provider with this account is owed in all, wherever its account is kept."""

    def nonce_used(self, account: str, nonce: str) -> bool: ...


# What is written that is no transfer.
Note = BurnNonce | Revoke | DeliveryNote | RecountNote | SetProvider | SetFrozen | KnownKey


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer, and what a store has to enter and write with it: all of it, or nothing."""

    result: Result | None  # None: an expiry, which answers nobody
    transfer: Transfer | None = None
    legs: tuple[Leg, ...] = ()
    record: CallRecord | None = None
    note: Note | None = None
    claim: KnownClaim | None = None  # as it is from here on
    answer: bytes | None = None  # kept with a claim that is answered; None: it is too large


def recounted(record: CallRecord, own: Usage) -> CallRecord:
    """The record of a call with our own tokenizer's count in the place of the estimate."""
    return msgspec.structs.replace(record, estimate=own, estimate_origin="tokenizer")


def state_of(chain: tuple[Transfer, ...]) -> State:
    if not chain:
        return "absent"
    last = chain[-1].kind
    return "returned" if last == "reverse" and chain[0].kind == "credit" else _STATE_AFTER[last]


def state_after(kind: Kind) -> State:
    """The state of an id whose newest transfer is a `kind`; a "reverse" is taken for a post's."""
    return _STATE_AFTER[kind]


def post_of(chain: tuple[Transfer, ...]) -> Transfer:
    """The post of a chain that has one."""
    return chain[-2] if chain[-1].kind == "reverse" else chain[-1]


def answer_of(transfer: Transfer) -> Result | None:
    """What was answered when `transfer` was made: what a repeated command is answered again."""
    if transfer.kind == "hold":
        return Held(amount=transfer.amount, available=transfer.available)
    if transfer.kind == "post":
        charged, cost = transfer.amount, transfer.cost
        loss = cost - charged if cost > charged else 0
        return Posted(charged=charged, loss=loss, available=transfer.available, late=transfer.late)
    if transfer.kind == "void":
        return Voided(available=transfer.available)
    if transfer.kind == "credit":
        return Credited(available=transfer.available)
    if transfer.kind == "pay":
        return Paid(owed=transfer.available)
    if transfer.kind == "reverse":
        return Reversed(account=transfer.account, change=change_of(transfer), available=transfer.available)
    return None


def change_of(reversal: Transfer) -> int:
    """Of the wallet's balance: what a call was charged is given back, a credit is taken back."""
    return -reversal.amount if reversal.counterparty.startswith("source:") else reversal.amount


def booked(transfer: Transfer, view: View, record: CallRecord | None = None) -> Decision:
    """Enter `transfer`, if every counter can carry it."""
    legs = legs_of(transfer, view.account)
    if not fits(legs):
        return Decision(INVALID)
    return Decision(answer_of(transfer), transfer, legs, record)
