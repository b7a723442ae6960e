"""Any sequence of commands, on both stores at once, against a model of a few lines: same answers, same money."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from helpers.ledgers import (
    OTHER,
    WALLET,
    HandClock,
    burn,
    credit,
    freeze,
    fresh_id,
    hold,
    post,
    reverse,
    unfreeze,
    void,
)
from tollway.domain.commands import (
    Burned,
    Command,
    Credit,
    Credited,
    FrozenSet,
    Held,
    Insufficient,
    Post,
    Posted,
    Refused,
    Result,
    Reversed,
    Voided,
)
from tollway.domain.observer import NullObserver
from tollway.ledger.memory import MemoryLedger
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.store import SqliteLedger

ACCOUNTS = st.sampled_from([WALLET, OTHER])
AMOUNTS = st.integers(0, 300)


def cost_of(command: Credit | Post) -> int:
    return command.cost if isinstance(command, Post) else 0


class LedgersAgainstModel(RuleBasedStateMachine):
    """The model: a wallet is what is free, a hold is what it took and whose it is."""

    held: Bundle[str] = Bundle("held")
    ended: Bundle[Command] = Bundle("ended")

    @initialize()
    def open(self) -> None:
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "books.db"
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.memory = MemoryLedger(self.clock)
        self.sqlite = self.wait(SqliteLedger.open(self.path, self.clock, NullObserver()))
        self.free = {WALLET: 0, OTHER: 0}
        self.holds: dict[str, tuple[str, int]] = {}
        self.expired: set[str] = set()
        self.nonces: set[tuple[str, str]] = set()
        self.answers: dict[Command, Result] = {}
        self.changes: dict[str, tuple[str, int]] = {}  # by id: whose balance a reversal changes, and by how much
        self.reversals: dict[str, tuple[bool, Result]] = {}  # by id: how it was reversed, and the answer

    def teardown(self) -> None:
        self.wait(self.sqlite.aclose())
        self.runner.close()
        report = audit(self.path)
        assert report.clean, report.differences
        self.folder.cleanup()

    def wait(self, awaitable: Any) -> Any:
        return self.runner.run(awaitable)

    def tell(self, command: Command, expected: Result) -> Command:
        (first,) = self.wait(self.memory.apply([command]))
        (second,) = self.wait(self.sqlite.apply([command]))
        assert first == second == expected
        self.answers[command] = expected
        return command

    @rule(account=ACCOUNTS, amount=AMOUNTS.filter(bool), target=ended)
    def credited(self, account: str, amount: int) -> Command:
        self.free[account] += amount
        command = credit(amount, account)
        self.changes[command.id] = (account, -amount)
        return self.tell(command, Credited(available=self.free[account]))

    @rule(account=ACCOUNTS, bounds=st.lists(AMOUNTS, min_size=1, max_size=3, unique=True), target=held)
    def held_if_it_fits(self, account: str, bounds: list[int]) -> str:
        bounds.sort(reverse=True)
        command = hold(*bounds, account=account, id=fresh_id(self.clock.ms))
        granted = next((bound for bound in bounds if bound <= self.free[account]), None)
        if granted is None:
            self.tell(command, Insufficient(available=self.free[account]))
            return ""
        self.free[account] -= granted
        self.holds[command.id] = (account, granted)
        self.tell(command, Held(amount=granted, available=self.free[account]))
        return command.id

    @rule(call=consumes(held), price=st.integers(0, 500), cost=AMOUNTS, over_max=st.none() | AMOUNTS, target=ended)
    def posted(self, call: str, price: int, cost: int, over_max: int | None) -> Command:
        command = post(call, price, cost, over_max=over_max)
        if call not in self.holds:
            return self.tell(command, Refused(reason="unknown_hold"))
        account, granted = self.holds.pop(call)
        late = call in self.expired
        within = min(price, granted)
        over = price - within if over_max is None else min(price - within, over_max)
        if late:
            charged = min(within + over, self.free[account])
            self.free[account] -= charged
        else:
            charged = within + min(over, self.free[account])
            self.free[account] += granted - charged
        loss = max(0, cost - charged)
        self.changes[call] = (account, charged)
        return self.tell(command, Posted(charged=charged, loss=loss, available=self.free[account], late=late))

    @rule(call=consumes(held), target=ended)
    def voided(self, call: str) -> Command:
        command = void(call)
        if call not in self.holds:
            return self.tell(command, Refused(reason="unknown_hold"))
        if call in self.expired:
            return self.tell(command, Refused(reason="hold_expired"))
        account, granted = self.holds.pop(call)
        self.free[account] += granted
        return self.tell(command, Voided(available=self.free[account]))

    @rule(command=ended, provider=st.booleans())
    def reversed(self, command: Command, provider: bool) -> None:
        """What was credited, as far as it is free, and what was charged; once."""
        answer = self.answers[command]
        if not isinstance(command, Credit | Post) or not isinstance(answer, Credited | Posted):
            return
        back = reverse(command.id, provider=provider)
        if (before := self.reversals.get(command.id)) is not None:
            was_provider, told = before
            same = was_provider == provider or cost_of(command) == 0
            self.tell(back, told if same else Refused(reason="id_reused"))
            return
        account, change = self.changes[command.id]
        if change < 0 and -change > self.free[account]:
            self.tell(back, Refused(reason="over_free"))
            return
        self.free[account] += change
        told = Reversed(account=account, change=change, available=self.free[account])
        self.reversals[command.id] = (provider, told)
        self.tell(back, told)

    @rule(account=ACCOUNTS)
    def frozen(self, account: str) -> None:
        """Nothing new is held, and the rest is as ever."""
        self.tell(freeze(account), FrozenSet())
        self.tell(hold(0, account=account, id=fresh_id(self.clock.ms)), Refused(reason="account_frozen"))
        self.tell(unfreeze(account), FrozenSet())

    @rule(command=ended)
    def repeated(self, command: Command) -> None:
        self.tell(command, self.answers[command])

    @rule(account=ACCOUNTS, nonce=st.sampled_from(["a", "b", "c"]))
    def burned(self, account: str, nonce: str) -> None:
        used = (account, nonce) in self.nonces
        self.nonces.add((account, nonce))
        self.tell(burn(nonce, account), Refused(reason="nonce_used") if used else Burned())

    @rule(ms=st.integers(-1000, 1000))
    def clock_moved(self, ms: int) -> None:
        self.clock.ms += ms

    @rule()
    def restarted(self) -> None:
        self.memory.new_epoch()
        self.wait(self.sqlite.aclose())
        self.sqlite = self.wait(SqliteLedger.open(self.path, self.clock, NullObserver()))
        for call, (account, granted) in self.holds.items():
            if call not in self.expired:
                self.free[account] += granted
                self.expired.add(call)

    @invariant()
    def both_agree_with_the_model(self) -> None:
        for account, free in self.free.items():
            first = self.wait(self.memory.balance(account))
            assert first == self.wait(self.sqlite.balance(account))
            assert (first.available if first is not None else 0) == free >= 0


TestLedgersAgainstModel = LedgersAgainstModel.TestCase
TestLedgersAgainstModel.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
