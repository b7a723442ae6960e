"""The books in a few lines, without double entry, files or rows: what every store is held against.

A wallet is three numbers; an id is what opened it, and what ended it. Shares no code with the ledger's own rules.
"""

import copy
from collections import Counter
from dataclasses import dataclass, field

from tollway.domain.commands import (
    Burned,
    BurnNonce,
    Command,
    Credit,
    Credited,
    FrozenSet,
    Held,
    Hold,
    Insufficient,
    Post,
    Posted,
    Refused,
    Result,
    Reverse,
    Reversed,
    SetFrozen,
    Void,
    Voided,
)
from tollway.domain.money import AMOUNT_NANO_MAX

REUSED = Refused(reason="id_reused")
INVALID = Refused(reason="invalid_amount")
UNKNOWN = Refused(reason="unknown_hold")


@dataclass
class Wallet:
    credited: int = 0
    spent: int = 0
    held: int = 0

    @property
    def free(self) -> int:
        return self.credited - self.spent - self.held


@dataclass
class Chain:
    """One id: the command that opened it and its answer, then the one that ended it."""

    opening: Credit | Hold
    opened: Result
    granted: int = 0
    expired: bool = False
    ending: Post | Void | None = None
    ended: Result | None = None
    reversal: Reverse | None = None
    reversed: Result | None = None


@dataclass
class Model:
    wallets: dict[str, Wallet] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)
    given: Counter[str] = field(default_factory=Counter)  # by source
    nonces: set[tuple[str, str]] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)

    def copy(self) -> "Model":
        chains = {own: copy.copy(chain) for own, chain in self.chains.items()}
        wallets = copy.deepcopy(self.wallets)
        return Model(wallets, chains, Counter(self.given), set(self.nonces), set(self.frozen))

    def wallet(self, account: str) -> Wallet:
        return self.wallets.setdefault(account, Wallet())

    def say(self, command: Command) -> Result:
        match command:
            case Credit():
                return self._credit(command)
            case Hold():
                return self._hold(command)
            case Post():
                return self._post(command)
            case Void():
                return self._void(command)
            case Reverse():
                return self._reverse(command)
            case SetFrozen():
                (self.frozen.discard if command.frozen is None else self.frozen.add)(command.account)
                return FrozenSet()
            case BurnNonce():
                used = (command.account, command.nonce) in self.nonces
                self.nonces.add((command.account, command.nonce))
                return Refused(reason="nonce_used") if used else Burned()
            case _:
                raise AssertionError(f"the model knows no {command}")

    def expire(self) -> None:
        """Every hold that is pending: who made them is gone."""
        for chain in self.chains.values():
            if isinstance(chain.opening, Hold) and chain.ending is None and not chain.expired:
                chain.expired = True
                self.wallet(chain.opening.account).held -= chain.granted

    def _credit(self, command: Credit) -> Result:
        known = self.chains.get(command.id)
        if known is not None:
            return known.opened if _content(known.opening) == _content(command) else REUSED
        if not 0 < command.amount <= AMOUNT_NANO_MAX:
            return INVALID
        if command.source_max is not None and self.given[command.source] + command.amount > command.source_max:
            return Refused(reason="source_exhausted")
        self.given[command.source] += command.amount
        wallet = self.wallet(command.account)
        wallet.credited += command.amount
        self.chains[command.id] = Chain(command, Credited(available=wallet.free))
        return self.chains[command.id].opened

    def _hold(self, command: Hold) -> Result:
        known = self.chains.get(command.id)
        if known is not None:
            return known.opened if _content(known.opening) == _content(command) else REUSED
        if command.account in self.frozen:
            return Refused(reason="account_frozen")
        if not all(0 <= bound <= AMOUNT_NANO_MAX for bound in command.bounds):
            return INVALID
        wallet = self.wallet(command.account)
        granted = max((bound for bound in command.bounds if bound <= wallet.free or command.unlimited), default=None)
        if granted is None:
            return Insufficient(available=wallet.free)
        wallet.held += granted
        self.chains[command.id] = Chain(command, Held(amount=granted, available=wallet.free), granted)
        return self.chains[command.id].opened

    def _post(self, command: Post) -> Result:
        chain = self.chains.get(command.id)
        if chain is None or isinstance(chain.opening, Credit):
            return UNKNOWN
        if isinstance(chain.ending, Void):
            return Refused(reason="already_voided")
        if chain.ending is not None:
            assert chain.ended is not None, "what has an ending was answered"
            return chain.ended if _content(chain.ending) == _content(command) else REUSED
        if not (0 <= command.price <= AMOUNT_NANO_MAX and 0 <= command.cost <= AMOUNT_NANO_MAX):
            return INVALID
        if command.over_max is not None and command.over_max < 0:
            return INVALID
        wallet = self.wallet(chain.opening.account)
        most = command.price
        if command.over_max is not None:
            most = min(most, chain.granted + command.over_max)
        # What was held is there, also where an unlimited hold has taken the wallet below zero since.
        secured = 0 if chain.expired else min(most, chain.granted)
        charged = most if chain.opening.unlimited else secured + min(most - secured, max(0, wallet.free))
        if not chain.expired:
            wallet.held -= chain.granted
        wallet.spent += charged
        loss = max(0, command.cost - charged)
        chain.ending = command
        chain.ended = Posted(charged=charged, loss=loss, available=wallet.free, late=chain.expired)
        return chain.ended

    def _void(self, command: Void) -> Result:
        chain = self.chains.get(command.id)
        if chain is None or isinstance(chain.opening, Credit):
            return UNKNOWN
        if isinstance(chain.ending, Post):
            return Refused(reason="already_posted")
        if chain.ended is not None:
            return chain.ended
        if chain.expired:
            return Refused(reason="hold_expired")
        wallet = self.wallet(chain.opening.account)
        wallet.held -= chain.granted
        chain.ending, chain.ended = command, Voided(available=wallet.free)
        return chain.ended

    def _reverse(self, command: Reverse) -> Result:
        chain = self.chains.get(command.id)
        if chain is None:
            return Refused(reason="unknown_transfer")
        wallet = self.wallet(chain.opening.account)
        if chain.reversal is not None:
            assert chain.reversed is not None, "what was reversed was answered"
            cost = chain.ending.cost if isinstance(chain.ending, Post) else 0
            same = cost == 0 or chain.reversal.provider == command.provider
            return chain.reversed if same else REUSED
        if isinstance(chain.opening, Credit):
            if chain.opening.amount > wallet.free and not command.force:
                return Refused(reason="over_free")
            change = -chain.opening.amount
            wallet.spent += chain.opening.amount
        elif isinstance(chain.ended, Posted):
            change = chain.ended.charged
            wallet.credited += change
        else:
            return Refused(reason="not_reversible")
        chain.reversal = command
        chain.reversed = Reversed(account=chain.opening.account, change=change, available=wallet.free)
        return chain.reversed


def _content(command: Credit | Hold | Post | Void) -> tuple[object, ...]:
    """What of a command has to be the same for a repeat: the money of it."""
    match command:
        case Credit():
            return (Credit, command.account, command.amount, command.source, command.ref)
        case Hold():
            return (Hold, command.account, command.bounds, command.unlimited)
        case Post():
            return (Post, command.price, command.cost, command.over_max, command.provider)
        case _:
            return (Void,)
