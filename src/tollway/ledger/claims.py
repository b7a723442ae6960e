"""The rules of Idempotency-Keys: which call holds one, and when it is free again. Pure; knows no store and no answer.

A claim is made with a hold and stands for a day. It is live while its call is in flight, and once that was a success:
then its answer is kept with it. A call that came to another end (void, expiry, a post with nothing to keep) has let
its key go.
"""

import hashlib

import msgspec

from tollway.domain.commands import Claimed, Hold, Post
from tollway.ledger.decision import Decision, KnownClaim, View, state_of

CLAIM_MS = 24 * 3600 * 1000  # from the hold
READ_MAX = 4096  # claims kept in memory that were read from a store: callers decide how many are asked for
FORGET_EACH = 2  # expired claims that a new one clears away: more than come, so that their number falls
FORGET_MAX = 100  # and once a minute. Each may have a megabyte: a batch must not wait for a long clean-up


def place_of(account: str, key: str) -> str:
    """What a claim is found by: one word for an account and a hashed key, since a key is its account's alone."""
    return hashlib.blake2b(f"{account}\n{key}".encode(), digest_size=16).hexdigest()


def taken(command: Hold, view: View, at_ms: int) -> Claimed | None:
    """The live claim of another call that stands in a hold's way."""
    if command.claim is None:
        return None
    known = view.claim(place_of(command.account, command.claim.key))
    if known is None or at_ms - known.at_ms >= CLAIM_MS:
        return None
    if not known.answered and state_of(view.chain(known.id)) != "pending":
        return None
    return Claimed(id=known.id, answered=known.answered, same=known.request == command.claim.request)


def made(decision: Decision, command: Hold) -> Decision:
    """`decision`, with the claim that a granted hold makes."""
    claim, transfer = command.claim, decision.transfer
    if claim is None or transfer is None:
        return decision
    known = KnownClaim(place_of(command.account, claim.key), transfer.id, claim.request, transfer.at_ms)
    return msgspec.structs.replace(decision, claim=known)


def answered(decision: Decision, command: Post, view: View) -> Decision:
    """`decision`, with the answer that a post keeps: if no later call has claimed the key since."""
    kept, transfer = command.kept, decision.transfer
    if kept is None or transfer is None:
        return decision
    known = view.claim(place_of(transfer.account, kept.key))
    if known is None or known.id != transfer.id:
        return decision
    return msgspec.structs.replace(decision, claim=msgspec.structs.replace(known, answered=True), answer=kept.answer)


class Claims:
    """Claims in memory: those made lately in two generations, as books.py keeps chains, and those that were read."""

    def __init__(self) -> None:
        self._made: dict[str, KnownClaim] = {}
        self._made_before: dict[str, KnownClaim] = {}
        self._read: dict[str, KnownClaim | None] = {}  # None: the store has none

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
