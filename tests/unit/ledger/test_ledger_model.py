"""Any commands in any order, one by one, in one apply and at once, on every store and on two replicas of one, against a
model of a few lines: what is answered and what is owned is what some order of them comes to."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from helpers.ledger_homes import HOMES, Home, OnPostgres
from helpers.ledger_model import Model
from helpers.ledgers import OTHER, START_MS, WALLET, burn, credit, freeze, hold, post, reverse, unfreeze, void
from helpers.postgres import Server
from tollway.domain.commands import Balance, Command, Credit, Hold, Post, Result, Reverse, SetFrozen, Void
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.domain.observer import NullObserver
from tollway.domain.seams import Ledger
from tollway.ledger import operator
from tollway.ledger.postgres.store import PostgresLedger


def call_id(number: int) -> str:
    time = f"{START_MS + 400 * number:012x}"
    return f"{time[:8]}-{time[8:]}-7000-8000-{number:012x}"


# Few, so that they meet: the same one for a credit, for holds, for posts with other amounts. One is no UUID.
IDS = (*(call_id(number) for number in range(11)), "invoice-7")
ABSURD = (-1, AMOUNT_NANO_MAX + 1, 10**39)  # the last one is 1e30 USD
START = 500  # nano-USD that each wallet begins with

ids = st.sampled_from(IDS)
accounts = st.sampled_from([WALLET, OTHER])
amounts = st.integers(0, 300)
bounds = st.lists(amounts, min_size=1, max_size=3, unique=True).map(lambda found: sorted(found, reverse=True))


def holds(own: str, account: str, found: list[int], unlimited: bool) -> Hold:
    return hold(*found, account=account, id=own, unlimited=unlimited)


def posts(own: str, price: int, cost: int, over: int | None) -> Post:
    return post(own, price, cost, over_max=over)


def absurd(own: str, amount: int, which: int) -> Command:
    return (credit(amount, id=own), hold(300, amount, id=own), post(own, amount, 1), post(own, 1, amount))[which]


def reversals(own: str, provider: bool, force: bool) -> Reverse:
    return reverse(own, provider=provider, force=force)


def freezes(account: str, frozen: bool) -> SetFrozen:
    return freeze(account) if frozen else unfreeze(account)


def gifts(own: str, account: str, amount: int) -> Credit:
    return credit(amount, account, id=own, source="welcome", source_max=400)


commands = st.one_of(
    st.builds(holds, ids, accounts, bounds, st.sampled_from([False, False, False, True])),
    st.builds(holds, ids, accounts, bounds, st.just(False)),
    st.builds(posts, ids, st.integers(0, 600), amounts, st.none() | amounts),
    st.builds(posts, ids, st.integers(0, 600), amounts, st.none() | amounts),
    st.builds(void, ids),
    st.builds(reversals, ids, st.booleans(), st.booleans()),
    st.builds(freezes, accounts, st.sampled_from([False, False, True])),
    st.builds(gifts, ids, accounts, amounts),
    st.builds(burn, st.sampled_from(["a", "b", "c"]), accounts),
    st.builds(absurd, ids, st.sampled_from(ABSURD), st.integers(0, 3)),
)


class TwoReplicas(OnPostgres):
    """Both end at once."""

    async def open(self) -> None:
        await super().open()
        self.other = await PostgresLedger.open(self.url, self.clock, NullObserver())

    async def restart(self) -> None:
        await self.other.aclose()
        await super().restart()

    async def close(self) -> None:
        await self.other.aclose()
        await super().close()


def ledgers(home: Home) -> list[Ledger]:
    return [home.ledger, home.other] if isinstance(home, TwoReplicas) else [home.ledger]


def balance_of(model: Model, account: str) -> Balance | None:
    wallet = model.wallets.get(account)
    known = any(chain.opening.account == account for chain in model.chains.values())
    if wallet is None or not known:
        return None
    return Balance(
        account=account,
        debits_pending=wallet.held,
        debits_posted=wallet.spent,
        credits_pending=0,
        credits_posted=wallet.credited,
    )


class StoreAgainstModel(RuleBasedStateMachine):
    def __init__(self, make: Callable[[Path], Home]) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.home = make(Path(self.folder.name))
        self.wait(self.home.open())
        self.model = Model()
        self.turn = self.calls = 0
        self.in_one_apply([credit(START, account, id=f"start-{account}") for account in (WALLET, OTHER)])

    def teardown(self) -> None:
        books = self.home.url if isinstance(self.home, OnPostgres) else self.home.folder / "books.db"
        if isinstance(books, Path) and not books.exists():  # in memory
            self.wait(self.home.close())
        else:
            report = operator.audit(books)
            self.wait(self.home.close())
            assert report.clean, report.differences
        self.runner.close()
        self.folder.cleanup()

    def wait(self, awaitable: Any) -> Any:
        return self.runner.run(awaitable)

    def next_ledger(self) -> Ledger:
        """The replicas in turn."""
        self.turn += 1
        found = ledgers(self.home)
        return found[self.turn % len(found)]

    @rule(command=commands)
    def one(self, command: Command) -> None:
        assert self.wait(self.next_ledger().apply([command])) == [self.model.say(command)]

    @rule(
        account=accounts,
        bounds=bounds,
        end=st.builds(posts, st.just(""), st.integers(0, 600), amounts, st.none() | amounts)
        | st.builds(void, st.just("")),
        in_between=st.sampled_from(["nothing", "nothing", "restart", "spend"]),
    )
    def call_to_its_end(self, account: str, bounds: list[int], end: Post | Void, in_between: str) -> None:
        """What calls do, with an id of their own."""
        self.calls += 1
        own = call_id(100 + self.calls)
        self.one(hold(*bounds, account=account, id=own))
        if in_between == "restart":
            self.restarted()
        if in_between == "spend":
            self.one(hold(250, account=account, id=call_id(500 + self.calls)))
        self.one(msgspec.structs.replace(end, id=own))

    @rule(several=st.lists(commands, min_size=2, max_size=5))
    def in_one_apply(self, several: list[Command]) -> None:
        assert self.wait(self.next_ledger().apply(several)) == [self.model.say(command) for command in several]

    @rule(several=st.lists(commands, min_size=2, max_size=4))
    def at_once(self, several: list[Command]) -> None:
        async def all_of_them() -> list[Result]:
            return [
                result
                for (result,) in await asyncio.gather(*(self.next_ledger().apply([command]) for command in several))
            ]

        results = self.wait(all_of_them())
        owned = {account: self.wait(self.home.ledger.balance(account)) for account in (WALLET, OTHER)}
        self.model = self._some_order(several, results, owned)

    def _some_order(
        self, several: Sequence[Command], results: Sequence[Result], owned: dict[str, Balance | None]
    ) -> Model:
        """The model after an order of the commands that gives these answers and these balances."""
        for order in permutations(range(len(several))):
            model = self.model.copy()
            if all(model.say(several[place]) == results[place] for place in order) and all(
                balance_of(model, account) == balance for account, balance in owned.items()
            ):
                return model
        raise AssertionError(f"no order of {several} gives {results} and {owned}")

    @rule(ms=st.integers(-1000, 1000))
    def clock_moved(self, ms: int) -> None:
        self.home.clock.ms += ms

    @rule()
    def restarted(self) -> None:
        self.wait(self.home.restart())
        self.model.expire()

    @invariant()
    def balances_are_the_models(self) -> None:
        for account in (WALLET, OTHER):
            for ledger in ledgers(self.home):
                assert self.wait(ledger.balance(account)) == balance_of(self.model, account)


EXAMPLES = {"memory": 40, "sqlite": 15, "postgres": 6, "replicas": 6}


@pytest.mark.parametrize("store", EXAMPLES)
def test_a_store_answers_as_the_model_does(store: str, postgres: Callable[[], Server]) -> None:
    homes: dict[str, type[Home]] = {**HOMES, "replicas": TwoReplicas}
    run_state_machine_as_test(
        lambda: StoreAgainstModel(lambda folder: homes[store](folder, postgres)),
        settings=settings(
            max_examples=EXAMPLES[store],
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        ),
    )


def test_every_store_is_held_against_the_model() -> None:
    assert HOMES.keys() <= EXAMPLES.keys()
