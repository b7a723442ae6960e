"""The rules of Idempotency-Keys: which call holds one, and when it is free again. Pure; knows no store and no answer.

A claim is made with a hold and stands for a day. It is live while its call is in flight, and once that was a success:
then its answer is kept with it, unless it is too large or its wallet keeps as much already. A call that came to another
end (void, expiry, a post with nothing to keep) has let its key go.
"""

import hashlib

import msgspec

from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Claimed
from tollway.ledger.decision import Decision, KnownClaim, View
from tollway.ledger.usage import DAY_MS

CLAIM_MS = 24 * 3600 * 1000  # from the hold
READ_MAX = 4096  # claims kept in memory that were read from a store: callers decide how many are asked for
FORGET_EACH = 2  # expired claims that a new one clears away: more than come, so that their number falls
FORGET_MAX = 100  # and once a minute. Each may have a megabyte: a batch must not wait for a long clean-up


def place_of(account: str, key: str) -> str:
    """What a claim is found by: one word for an account and a hashed key, since a key is its account's alone."""
    return hashlib.blake2b(f"{account}\n{key}".encode(), digest_size=16).hexdigest()


def shelf_of(account: str, at_ms: int) -> str:
    """Where the answers of a wallet's calls of one UTC day are counted: the day, which is that of the claims, and the
    wallet."""
    return f"{at_ms // DAY_MS} {account}"


def taken(account: str, claim: Claim, view: View, at_ms: int) -> Claimed | None:
    """The live claim of another call that stands in the way of a hold with `claim`."""
    known = view.claim(place_of(account, claim.key))
    if known is None or at_ms - known.at_ms >= CLAIM_MS:
        return None
    if not known.answered and known.id not in view.pending:
        return None
    return Claimed(id=known.id, answered=known.answered, same=known.request == claim.request)


def made(decision: Decision, claim: Claim) -> Decision:
    """`decision`, with the claim that a granted hold makes."""
    transfer = decision.transfer
    if transfer is None:
        return decision
    known = KnownClaim(place_of(transfer.account, claim.key), transfer.id, claim.request, transfer.at_ms)
    return msgspec.structs.replace(decision, claim=known)


def answered(decision: Decision, kept: Kept, view: View) -> Decision:
    """`decision`, with the answer that a post keeps: if no later call has claimed the key since, and without the answer
    where there is no room for it."""
    transfer = decision.transfer
    if transfer is None:
        return decision
    known = view.claim(place_of(transfer.account, kept.key))
    if known is None or known.id != transfer.id:
        return decision
    answer = kept.answer
    if answer is not None:
        beside = view.kept_bytes(shelf_of(transfer.account, known.at_ms))
        if kept.room is not None and beside + len(answer) > kept.room:
            answer = None
    return msgspec.structs.replace(decision, claim=msgspec.structs.replace(known, answered=True), answer=answer)


class Claims:
    """Claims in memory: those made lately in two generations, as books.py keeps chains, and those that were read."""

    def __init__(self) -> None:
        self._made: dict[str, KnownClaim] = {}
        self._made_before: dict[str, KnownClaim] = {}
        self._read: dict[str, KnownClaim | None] = {}  # None: the store has none
        self.shelves = Shelves()

    def __contains__(self, place: str) -> bool:
        return place in self._made or place in self._made_before or place in self._read

    def get(self, place: str) -> KnownClaim | None:
        return self._made.get(place) or self._made_before.get(place) or self._read.get(place)

    def enter(self, claim: KnownClaim) -> None:
        self._made[claim.place] = claim
        self._read.pop(claim.place, None)

    def remember(self, place: str, claim: KnownClaim | None) -> None:
        """Note what a store says, unless a claim was made since: it says more, now and once it is on disk."""
        if place in self:
            return
        if len(self._read) >= READ_MAX:
            self._read.clear()
        self._read[place] = claim

    def rotate(self) -> None:
        """Drop the older generation. Only for a store that has committed all of it."""
        self._made_before = self._made
        self._made = {}
        self.shelves.rotate()


class Shelves:
    """How many bytes are kept, by shelf: of those that were added to lately, in two generations as well, and of those
    that were read."""

    def __init__(self) -> None:
        self._added: dict[str, int] = {}
        self._added_before: dict[str, int] = {}
        self._read: dict[str, int] = {}

    def __contains__(self, shelf: str) -> bool:
        return shelf in self._added or shelf in self._added_before or shelf in self._read

    def bytes(self, shelf: str) -> int:
        for known in (self._added, self._added_before, self._read):
            if shelf in known:
                return known[shelf]
        return 0

    def add(self, shelf: str, size: int) -> None:
        self._added[shelf] = self.bytes(shelf) + size

    def remember(self, shelf: str, size: int) -> None:
        """Note what a store says, unless something was added since: that says more."""
        if shelf in self:
            return
        if len(self._read) >= READ_MAX:
            self._read.clear()
        self._read[shelf] = size

    def rotate(self) -> None:
        """Drop the older generation. Only for a store that has committed all of it."""
        self._added_before = self._added
        self._added = {}
