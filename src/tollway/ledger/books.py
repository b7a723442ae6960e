"""The part of the books that is in memory: accounts, recent chains, nonces, revocations ... What a store decides from.

Knows nothing of disks: a store with one loads what is `missing` before it carries commands out, or when a rule finds it
`NotLoaded`.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from tollway.domain.commands import (
    BurnNonce,
    Command,
    CreateKey,
    Credit,
    Disabled,
    EndKey,
    Frozen,
    Hold,
    NoteDelivery,
    NoteRecount,
    Pay,
    Post,
    Reverse,
    Revoke,
    SetProvider,
    Void,
)
from tollway.domain.ids import id_moment, moment_of
from tollway.domain.keys import Key as Terms
from tollway.domain.keys import key_of
from tollway.ledger.book import RULES
from tollway.ledger.claims import Claims, place_of, shelf_of
from tollway.ledger.decision import Decision, DeliveryNote, Expire, KnownClaim, KnownKey, Note, RecountNote
from tollway.ledger.transfer import (
    LOSS,
    REVENUE,
    Account,
    Transfer,
    enter,
    provider_account,
    source_account,
)

Key = tuple[Literal["account", "chain", "key", "claim", "shelf"], str]

# A revocation is kept for a day beyond its message's expiry, so that a clock set back can't bring the message to life.
REVOCATION_GRACE_MS = 24 * 3600 * 1000


class NotLoaded(AssertionError):
    """A rule asked for what only the store can tell. Nothing has been entered: load it (`missing`) and decide again."""


class Accounts(dict[str, Account]):
    """By id. `complete`: one that isn't in it doesn't exist, so it is begun when it is asked for."""

    def __init__(self, *, complete: bool) -> None:
        super().__init__()
        self._complete = complete

    def __missing__(self, id: str) -> Account:
        if not self._complete:
            raise NotLoaded(f"account {id} was not loaded")
        account = self[id] = Account(id=id)
        return account


class Books:
    """Carries commands out in memory. Chains that ended are kept in two generations, the older dropped on `rotate`."""

    def __init__(self, *, complete: bool, watermark_ms: int = 0, forgotten_ms: int = 0) -> None:
        """`complete`: an account that isn't in memory doesn't exist. Else it has to be loaded before it is used."""
        self._complete = complete
        self.accounts = Accounts(complete=complete)
        self.account: Callable[[str], Account] = self.accounts.__getitem__
        self.pending: dict[str, tuple[Transfer, ...]] = {}  # holds without an end, oldest first
        self._ended: dict[str, tuple[Transfer, ...]] = {}
        self._ended_before: dict[str, tuple[Transfer, ...]] = {}
        self.revocations: dict[str, int] = {}  # message hash -> expires_ms
        self.keys: dict[str, KnownKey | None] = {}  # by id; None: there is none
        self.disabled: dict[str, Disabled] = {}  # by provider
        self.frozen: dict[str, Frozen] = {}  # by wallet
        self.owed_elsewhere: dict[str, int] = {}  # by provider's account, of which these books have a part
        self.claims = Claims()
        self._nonces: set[bytes] = set()
        self._nonces_by_age: deque[tuple[int, bytes]] = deque()
        self.forgotten_ms = forgotten_ms
        self.next_seq = 1
        self.next_account_no = 1
        # An id made later than the watermark that isn't in memory isn't in the store either.
        self._watermark = moment_of(watermark_ms)
        self._newest = self._watermark  # latest moment of any id seen
        self._newest_before = self._watermark

    # --- the view that the book decides from

    def chain(self, id: str) -> tuple[Transfer, ...]:
        chain = self._chain(id)
        if chain is None:
            if not self._complete and self._may_be_stored(id):
                raise NotLoaded(f"chain {id} was not loaded")
            return ()
        return chain

    def key(self, id: str) -> KnownKey | None:
        known = self.keys.get(id)
        if known is None and id not in self.keys and not self._complete:
            raise NotLoaded(f"key {id} was not loaded")
        return known

    def claim(self, place: str) -> KnownClaim | None:
        if place not in self.claims and not self._complete:
            raise NotLoaded(f"claim {place} was not loaded")
        return self.claims.get(place)

    def kept_bytes(self, shelf: str) -> int:
        if shelf not in self.claims.shelves and not self._complete:
            raise NotLoaded(f"shelf {shelf} was not loaded")
        return self.claims.shelves.bytes(shelf)

    def owed(self, provider: str) -> int:
        return self.account(provider).available + self.owed_elsewhere.get(provider, 0)

    def nonce_used(self, account: str, nonce: str) -> bool:
        return _digest(account, nonce) in self._nonces

    # --- what a store does with it

    def must_look_up(self, id: str) -> bool:
        """Whether only the store can tell what the books say of `id`."""
        return self._chain(id) is None and self._may_be_stored(id)

    def _may_be_stored(self, id: str) -> bool:
        """Whether the store may have a chain of that id, of which memory has none."""
        moment = id_moment(id)
        if moment is None or moment <= self._watermark:
            return True
        if moment > self._newest:
            self._newest = moment
        return False

    def _chain(self, id: str) -> tuple[Transfer, ...] | None:
        """None: there is none in memory. An empty one says that the store has none either."""
        chain = self.pending.get(id)
        if chain is None:
            chain = self._ended.get(id)
            if chain is None:
                return self._ended_before.get(id)
        return chain

    def missing(self, commands: Sequence[Command], at_ms: int) -> list[Key]:
        """What the book needs for these, if it decides them at `at_ms`, and isn't in memory."""
        missing: list[Key] = []
        for command in commands:
            if type(command) is Hold:
                self._for_hold(command, commands, at_ms, missing)
            elif type(command) is Post:
                self._for_post(command, missing)
            elif type(command) is NoteDelivery or type(command) is NoteRecount:
                if self.must_look_up(command.id):
                    missing.append(("chain", command.id))
            elif isinstance(command, (CreateKey, EndKey)):
                if command.id not in self.keys:
                    missing.append(("key", command.id))
            elif isinstance(command, (Void, Credit, Reverse, Pay)):
                self._for_chain(command.id, missing)
                for account in self._accounts_of(command):
                    self._for_account(account, missing)
        return missing

    def _for_hold(self, hold: Hold, commands: Sequence[Command], at_ms: int, missing: list[Key]) -> None:
        if self.must_look_up(hold.id):
            missing.append(("chain", hold.id))
        if hold.account not in self.accounts:
            missing.append(("account", hold.account))
        if hold.claim is not None:
            self._for_claim(place_of(hold.account, hold.claim.key), missing)
            self._for_shelf(shelf_of(hold.account, at_ms), missing)  # for its post, which may be among `commands`
        if not hold.key:
            return
        if hold.key not in self.keys:
            missing.append(("key", hold.key))
            return
        known = self.keys[hold.key]
        terms = _made_by(commands, hold.key) if known is None else known.key
        if terms is not None:
            self._for_account(terms.spending(at_ms), missing)

    def _for_post(self, post: Post, missing: list[Key]) -> None:
        provider = provider_account(post.provider)
        if provider not in self.accounts:
            missing.append(("account", provider))
        chain = self._chain(post.id)
        if not chain:
            self._for_chain(post.id, missing)
            return
        hold = chain[0]
        if hold.account not in self.accounts:
            missing.append(("account", hold.account))
        if post.kept is not None:
            place = place_of(hold.account, post.kept.key)
            self._for_claim(place, missing)
            claim = self.claims.get(place)
            if claim is not None and post.kept.answer is not None:
                self._for_shelf(shelf_of(hold.account, claim.at_ms), missing)
        if hold.key:
            self._for_account(hold.key, missing)
            if key_of(hold.key) not in self.keys:
                missing.append(("key", key_of(hold.key)))

    def _for_chain(self, id: str, missing: list[Key]) -> None:
        if self.must_look_up(id):
            missing.append(("chain", id))

    def _for_account(self, account: str, missing: list[Key]) -> None:
        if account not in self.accounts:
            missing.append(("account", account))

    def _for_claim(self, place: str, missing: list[Key]) -> None:
        if place not in self.claims:
            missing.append(("claim", place))

    def _for_shelf(self, shelf: str, missing: list[Key]) -> None:
        if shelf not in self.claims.shelves:
            missing.append(("shelf", shelf))

    def _accounts_of(self, command: Void | Credit | Reverse | Pay) -> list[str]:
        """Those that a command moves, as far as it and the chain of its id tell."""
        if isinstance(command, Credit):
            return [command.account, source_account(command.source)]
        if isinstance(command, Pay):
            return [provider_account(command.provider), source_account(command.source)]
        chain = self._chain(command.id) or ()
        found = [chain[0].account] if chain else []
        if isinstance(command, Reverse) and chain and chain[-1].counterparty:
            found.append(chain[-1].counterparty)
        if chain and chain[0].key:
            found.append(chain[0].key)
        return found

    def drop_older_keys(self, needed: Iterable[str]) -> None:
        """Keep the younger half, and those in `needed`. Only for a store that has committed the others."""
        kept = {own: self.keys[own] for own in needed if own in self.keys}
        kept.update(list(self.keys.items())[len(self.keys) // 2 :])
        self.keys = kept

    def drop_older_accounts(self, needed: Iterable[Account]) -> None:
        """Keep the younger half, and those in `needed`. Only for a store that has committed the others."""
        newest = list(self.accounts.items())[len(self.accounts) // 2 :]
        kept = {own: self.accounts[own] for own in (REVENUE, LOSS)}
        kept.update((account.id, account) for account in needed)
        kept.update(newest)
        self.accounts.clear()
        self.accounts.update(kept)

    def remember(self, id: str, chain: tuple[Transfer, ...]) -> None:
        """Note what the store says of `id`; an empty chain says that it has never been used."""
        if chain and chain[-1].kind == "hold":
            self.pending[id] = chain
        else:
            self._ended[id] = chain

    def decide(self, command: Command | Expire, at_ms: int) -> Decision:
        """What `command` does to the books, if it is entered next."""
        return RULES[type(command)](command, self, self.next_seq, at_ms)

    def enter(self, decision: Decision) -> None:
        """Make the latest decision so. Nothing may have been entered since it was made."""
        transfer = decision.transfer
        if transfer is not None:
            self.next_seq += 1
            enter(transfer, decision.legs)
            for debit, credit, _, _ in decision.legs:
                if not debit.no:
                    self._number(debit)
                if not credit.no:
                    self._number(credit)
            if transfer.kind == "hold":
                self.pending[transfer.id] = (transfer,)
            else:
                before = self.pending.pop(transfer.id, None)
                # It was decided, so it is loaded: nothing may be found missing once the counters have moved.
                self._ended[transfer.id] = (*(before or self._chain(transfer.id) or ()), transfer)
            if decision.claim is not None:
                self.claims.enter(decision.claim)
                if decision.answer is not None:
                    shelf = shelf_of(transfer.account, decision.claim.at_ms)
                    self.claims.shelves.add(shelf, len(decision.answer))
        elif decision.note is not None:
            self.note(decision.note)

    def note(self, note: Note) -> None:
        if isinstance(note, (DeliveryNote, RecountNote)):
            return  # nothing is decided from them
        if isinstance(note, BurnNonce):
            self.burn(note.account, note.nonce, note.expires_ms)
        elif isinstance(note, Revoke):
            known_ms = self.revocations.get(note.message_hash, 0)
            self.revocations[note.message_hash] = max(known_ms, note.expires_ms)
        elif isinstance(note, KnownKey):
            self.keys[note.key.id] = note
        elif isinstance(note, SetProvider):
            # A new dict: who was given the old one goes on with what was so when it was asked for.
            others = {provider: known for provider, known in self.disabled.items() if provider != note.provider}
            self.disabled = others if note.disabled is None else {**others, note.provider: note.disabled}
        else:
            self.frozen.pop(note.account, None)
            if note.frozen is not None:
                self.frozen[note.account] = note.frozen

    def burn(self, account: str, nonce: str, expires_ms: int) -> None:
        digest = _digest(account, nonce)
        self._nonces.add(digest)
        self._nonces_by_age.append((expires_ms, digest))

    def forget(self, now_ms: int) -> None:
        """Drop nonces that expired and revocations that did long ago. A nonce as old as what was dropped is refused
        from here on, burned or not: a clock set back can't make it usable twice."""
        self.forgotten_ms = max(self.forgotten_ms, now_ms)
        by_age = self._nonces_by_age
        while by_age and by_age[0][0] <= self.forgotten_ms:
            self._nonces.discard(by_age.popleft()[1])
        kept_from_ms = now_ms - REVOCATION_GRACE_MS
        for message_hash in [key for key, expires_ms in self.revocations.items() if expires_ms <= kept_from_ms]:
            del self.revocations[message_hash]

    @property
    def newest_ms(self) -> int:
        """Greatest time of any id seen."""
        return int(self._newest.replace("-", ""), 16)

    @property
    def ended_count(self) -> int:
        """Chains in the younger generation."""
        return len(self._ended)

    def rotate(self) -> None:
        """Drop the older generation. Only for a store that has committed all of it."""
        self._watermark = max(self._watermark, self._newest_before)
        self._ended_before = self._ended
        self._newest_before = self._newest
        self._ended = {}
        self.claims.rotate()

    def _number(self, account: Account) -> None:
        account.no = self.next_account_no
        self.next_account_no += 1


def _made_by(commands: Sequence[Command], key: str) -> Terms | None:
    """The delegated key of that id which `commands` make."""
    return next((command.key for command in commands if isinstance(command, CreateKey) and command.id == key), None)


def _digest(account: str, nonce: str) -> bytes:
    """16 bytes instead of two strings: at a thousand burns a second there are hundreds of thousands of them."""
    return hashlib.blake2b(f"{account}\n{nonce}".encode(), digest_size=16).digest()
