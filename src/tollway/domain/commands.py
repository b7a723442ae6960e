"""What the ledger can be told, and what it answers. Amounts are nano-USD, times Unix milliseconds.

Every command carries an id chosen by its sender and is idempotent: repeating it answers what it answered before.
Two phases, as in TigerBeetle: a hold is pending until it is posted (at most once), voided or expired.
"""

from typing import Literal

import msgspec

from tollway.domain.claims import Claim, Kept
from tollway.domain.keys import Key
from tollway.domain.record import CallRecord, Delivery
from tollway.domain.recount import Recount

# --- commands


class Hold(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Reserve the largest of `bounds` that fits the free balance. `id` is the call's id."""

    id: str
    account: str
    bounds: tuple[int, ...]  # distinct, largest first, not empty
    unlimited: bool = False  # metered mode: grant the largest whatever the balance
    model: str = ""  # for the statement
    key: str = ""  # the delegated key that the caller came with
    models: tuple[str, ...] = ()  # that may serve it: what the key must allow
    claim: Claim | None = None  # the Idempotency-Key that it comes with


class Post(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Finish a hold: the wallet pays `price`, the provider is owed `cost`, the remainder is revenue or, when negative,
    operator loss. What `price` is over the hold comes from the free balance up to `over_max`, else is operator loss."""

    id: str  # the hold's
    price: int
    provider: str
    cost: int
    over_max: int | None = None  # None: whatever is free
    record: CallRecord
    kept: Kept | None = None  # the answer, for a call that claimed an Idempotency-Key and was a success


class Void(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Give a hold back whole."""

    id: str
    record: CallRecord


class Credit(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Money that came in from `source` ("operator", "welcome"). `source_max`: the most the source may ever give."""

    id: str
    account: str
    amount: int  # over 0
    source: str
    ref: str
    source_max: int | None = None


class BurnNonce(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Use a nonce up: the first burn of (account, nonce) is granted, every later one refused."""

    account: str
    nonce: str
    expires_ms: int  # after it the row may be forgotten


class Revoke(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Refuse a signed message until it expires by itself."""

    account: str
    message_hash: str
    expires_ms: int


class NoteDelivery(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """What became of a posted call's answer, once its end was handed over. Not money: nobody waits for the disk, and a
    crash leaves the record's own word, which is `unknown`. The first note stays."""

    id: str  # the call's
    delivery: Delivery


class NoteRecount(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Our own tokenizer's count of a posted call, which came after the post. Not money. The first note stays."""

    id: str  # the call's
    recount: Recount


class Disabled(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that an operator took out of service: since when, and what they said of it."""

    since_ms: int
    why: str | None = None


class SetProvider(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Take a provider out of service for calls to come, or with None back into it. The last word holds."""

    provider: str
    disabled: Disabled | None


class CreateKey(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Give out a delegated key. Of its secret only the hash is ever known here."""

    key: Key
    secret_hash: str  # sha256, hex

    @property
    def id(self) -> str:
        return self.key.id


class EndKey(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Take a key's powers away, for calls to come, for good. The key stays known."""

    id: str
    account: str  # whose key it must be


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """A wallet that an operator froze: since when, who did, and what they said of it."""

    since_ms: int
    by: str
    why: str


class SetFrozen(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Refuse a wallet's holds from now on, or with None grant them again. What is held already runs its course. The
    last word holds."""

    account: str
    frozen: Frozen | None


class Reverse(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Take back a credit, or what a posted call was charged; at most once. The entry that is reversed stays."""

    id: str  # of the credit or the call
    why: str
    force: bool = False  # credit: also what is spent or held, so that the balance may fall below zero
    provider: bool = False  # call: the provider is no longer owed its cost


class Pay(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Money that went to a provider, out of `source`."""

    id: str
    provider: str
    amount: int  # over 0
    source: str
    ref: str
    advance: bool = False  # also more than is owed


Command = (
    Hold
    | Post
    | Void
    | Credit
    | BurnNonce
    | Revoke
    | NoteDelivery
    | NoteRecount
    | SetProvider
    | CreateKey
    | EndKey
    | SetFrozen
    | Reverse
    | Pay
)

# --- results


class Held(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    amount: int  # the bound that was granted
    available: int  # what is free after it


class Insufficient(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    available: int  # to this caller: the lesser of the two
    short: Literal["balance", "key"] = "balance"  # which has less


class Claimed(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """No hold was made: another call has claimed the Idempotency-Key."""

    id: str  # of that call
    answered: bool  # it was a success, and its answer is kept; else it is still in flight
    same: bool  # both calls make the same request


class Posted(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    charged: int  # what the wallet paid in the end
    loss: int  # what the operator bore
    available: int
    late: bool = False  # the hold had expired: booked as an overrun


class Voided(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    available: int


class Credited(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    available: int


class Burned(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    pass


class Revoked(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    pass


class Noted(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    pass


class ProviderSet(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    pass


class KeyCreated(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    pass


class KeyEnded(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    at_ms: int  # the first time that it was said


class FrozenSet(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    pass


class Reversed(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    account: str  # the wallet
    change: int  # of its balance: over 0 for a call, below 0 for a credit
    available: int


class Paid(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    owed: int  # to the provider after it; below 0 when it was paid in advance


RefusalReason = Literal[
    "unknown_account",
    "unknown_hold",
    "already_posted",
    "already_voided",
    "hold_expired",
    "id_reused",  # same id, other content
    "invalid_amount",
    "source_exhausted",
    "nonce_used",
    "unknown_key",
    "key_ended",
    "key_expired",
    "model_not_allowed",
    "account_frozen",
    "unknown_transfer",
    "not_reversible",  # nothing was charged: in flight, voided or expired
    "over_free",  # a credit that is partly spent or held
    "over_owed",
]


class Refused(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """A command that breaks a rule. Nothing was booked."""

    reason: RefusalReason


Result = (
    Held
    | Insufficient
    | Claimed
    | Posted
    | Voided
    | Credited
    | Burned
    | Revoked
    | Noted
    | ProviderSet
    | KeyCreated
    | KeyEnded
    | FrozenSet
    | Reversed
    | Paid
    | Refused
)

# --- views


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One account's four counters, from which everything about it follows."""

    account: str
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int

    @property
    def available(self) -> int:
        """Free to spend: in-flight holds count against it."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    @property
    def total(self) -> int:
        return self.credits_posted - self.debits_posted


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a statement, newest first."""

    id: str  # of the transfer; a hold and its post, void or expiry share the call's id
    at_ms: int
    kind: Literal["credit", "hold", "post", "void", "expire", "reverse", "pay"]
    amount: int  # nano-USD: credited, held, charged, or given back; below 0: a credit that was taken back
    returned: int = 0  # post: what came back of the hold
    ref: str | None = None  # credit: the source's reference; reverse: why
    model: str | None = None
    cursor: str = ""


UsageBy = Literal["day", "model", "provider", "user", "key"]


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """What posted calls came to: tokens, and nano-USD that the wallet was charged."""

    key: (
        str | None
    )  # a day as YYYY-MM-DD (UTC), a model, a provider, a `user`, a delegated key's id; None: calls without one
    calls: int
    prompt: int
    completion: int
    cached: int
    reasoning: int
    charged: int


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    lines: tuple[UsageLine, ...]
    total: UsageLine  # of all calls, those of lines that were left out too
    more: bool = False  # there are lines beyond the dearest ones


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    entries: tuple[Entry, ...]
    next_cursor: str | None = None


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the call that claimed a key was answered."""

    id: str  # the call's
    request: str
    answer: bytes | None  # None: it was too large
    record: CallRecord
    available: int  # the account's free balance after the call's post, nano-USD
