"""An operator's entries on the book alone: reversals, payments to providers, frozen wallets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.ledgers import OTHER, START_MS, WALLET, credit, freeze, hold, pay, post, reverse, unfreeze, void
from tollway.domain.commands import (
    Balance,
    Command,
    Credited,
    FrozenSet,
    Held,
    Insufficient,
    Noted,
    NoteDelivery,
    Paid,
    Posted,
    Refused,
    Reversed,
    Voided,
)
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.ledger.books import Books
from tollway.ledger.decision import Expire
from tollway.ledger.transfer import COUNTER_NANO_MAX, LOSS, REVENUE

PROVIDER, SOURCE = "provider:openai", "source:operator"


class Ledger:
    """The book with an empty memory."""

    def __init__(self, *commands: Command | Expire) -> None:
        self.books = Books(complete=True)
        for command in commands:
            self.tell(command)

    def tell(self, command: Command | Expire) -> object:
        decision = self.books.decide(command, START_MS)
        self.books.enter(decision)
        return decision.result

    def total(self, account: str) -> int:
        return self.balance(account).total

    def balance(self, account: str) -> Balance:
        return self.books.account(account).balance()

    def totals(self) -> tuple[int, ...]:
        return tuple(self.total(account) for account in (WALLET, PROVIDER, REVENUE, LOSS, SOURCE))


def posted(price: int, cost: int) -> Ledger:
    return Ledger(credit(1000), hold(100, id="x"), post("x", price, cost))


@pytest.mark.parametrize(
    ("price", "cost", "kept", "given_up"),
    [  # wallet, provider, revenue, loss, source: the provider stays owed, or is owed no more
        (90, 80, (1000, 80, 0, -80, -1000), (1000, 0, 0, 0, -1000)),
        (60, 70, (1000, 70, 0, -70, -1000), (1000, 0, 0, 0, -1000)),
        (80, 80, (1000, 80, 0, -80, -1000), (1000, 0, 0, 0, -1000)),
        (90, 0, (1000, 0, 0, 0, -1000), (1000, 0, 0, 0, -1000)),
        (0, 70, (1000, 70, 0, -70, -1000), (1000, 0, 0, 0, -1000)),
        (0, 0, (1000, 0, 0, 0, -1000), (1000, 0, 0, 0, -1000)),
    ],
)
def test_a_reversed_call_was_never_charged_and_the_operator_bears_what_the_provider_keeps(
    price: int, cost: int, kept: tuple[int, ...], given_up: tuple[int, ...]
) -> None:
    for provider, totals in ((False, kept), (True, given_up)):
        ledger = posted(price, cost)
        told = ledger.tell(reverse("x", provider=provider))
        assert told == Reversed(account=WALLET, change=price, available=1000)
        assert ledger.totals() == totals


def test_a_reversal_is_said_once_and_answered_again() -> None:
    ledger = posted(90, 80)
    told = ledger.tell(reverse("x"))
    assert ledger.tell(reverse("x", "said otherwise")) == told
    assert ledger.tell(reverse("x", provider=True)) == Refused(reason="id_reused")
    assert ledger.totals() == (1000, 80, 0, -80, -1000)


def test_what_was_reversed_answers_as_before_and_may_be_noted_as_delivered() -> None:
    ledger = posted(90, 80)
    ledger.tell(reverse("x"))
    assert ledger.tell(hold(100, id="x")) == Held(amount=100, available=900)
    assert ledger.tell(post("x", 90, 80)) == Posted(charged=90, loss=0, available=910)
    assert ledger.tell(post("x", 91, 80)) == Refused(reason="id_reused")
    assert ledger.tell(NoteDelivery(id="x", delivery="complete")) == Noted()


def test_a_late_post_is_reversed_as_any_other() -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"), Expire(id="x"), post("x", 90, 80))
    assert ledger.tell(reverse("x")) == Reversed(account=WALLET, change=90, available=1000)


def test_a_reversed_credit_goes_back_to_its_source_as_far_as_it_is_free() -> None:
    ledger = Ledger(credit(70, id="x"), credit(30), hold(50, id="y"))
    assert ledger.tell(reverse("x")) == Refused(reason="over_free")
    assert ledger.total(WALLET) == 100
    ledger.tell(void("y"))
    assert ledger.tell(reverse("x")) == Reversed(account=WALLET, change=-70, available=30)
    assert ledger.tell(credit(70, id="x")) == Credited(available=70), "it is not credited again"
    assert ledger.totals() == (30, 0, 0, 0, -30)


def test_a_forced_reversal_may_take_a_wallet_below_zero_and_what_is_held_is_charged_all_the_same() -> None:
    ledger = Ledger(credit(70, id="x"), hold(50, id="y"))
    assert ledger.tell(reverse("x", force=True)) == Reversed(account=WALLET, change=-70, available=-50)
    assert ledger.tell(hold(0, id="z")) == Insufficient(available=-50)
    assert ledger.tell(post("y", 60, 40)) == Posted(charged=50, loss=0, available=-50)
    assert ledger.tell(credit(60)) == Credited(available=10)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ([], "unknown_transfer"),
        ([hold(100, id="x")], "not_reversible"),
        ([hold(100, id="x"), void("x")], "not_reversible"),
        ([hold(100, id="x"), Expire(id="x")], "not_reversible"),
        ([pay(10, id="x", advance=True)], "unknown_transfer"),
    ],
)
def test_only_what_was_credited_or_charged_is_reversed(before: list[Command | Expire], reason: str) -> None:
    ledger = Ledger(credit(1000), *before)
    totals = ledger.totals()
    result = ledger.tell(reverse("x"))
    assert isinstance(result, Refused) and result.reason == reason
    assert ledger.totals() == totals


def test_a_reversal_that_no_counter_can_carry_is_refused() -> None:
    ledger = posted(90, 80)
    ledger.books.account(WALLET).credits_posted = COUNTER_NANO_MAX
    assert ledger.tell(reverse("x")) == Refused(reason="invalid_amount")


def test_a_payment_lowers_what_is_owed_and_comes_from_its_source() -> None:
    ledger = posted(90, 80)
    assert ledger.tell(pay(30, id="p")) == Paid(owed=50)
    assert ledger.totals() == (910, 50, 10, 0, -970)
    assert ledger.tell(pay(30, id="p")) == Paid(owed=50), "the same payment is booked once"
    assert ledger.tell(pay(50, id="q", source="bank")) == Paid(owed=0)
    assert (ledger.total(PROVIDER), ledger.total("source:bank")) == (0, 50)


@pytest.mark.parametrize(
    "again",
    [
        pay(31, id="p"),
        pay(30, "other", id="p"),
        pay(30, id="p", source="bank"),
        pay(30, id="p", ref="transfer 2"),
        credit(30, id="p"),
        hold(30, id="p"),
    ],
)
def test_a_payments_id_is_its_own(again: Command) -> None:
    ledger = posted(90, 80)
    ledger.tell(pay(30, id="p"))
    totals = ledger.totals()
    assert ledger.tell(again) == Refused(reason="id_reused")
    assert ledger.totals() == totals


def test_more_than_is_owed_is_paid_only_in_advance() -> None:
    ledger = posted(90, 80)
    assert ledger.tell(pay(81, id="p")) == Refused(reason="over_owed")
    assert ledger.tell(pay(81, id="p", advance=True)) == Paid(owed=-1)
    assert ledger.tell(pay(1, id="q")) == Refused(reason="over_owed")


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_NANO_MAX + 1])
def test_an_amount_that_is_none_is_not_paid(amount: int) -> None:
    assert posted(90, 80).tell(pay(amount, advance=True)) == Refused(reason="invalid_amount")


def test_a_frozen_wallet_holds_nothing_new_and_what_runs_is_charged() -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"), hold(100, id="y"), credit(5, OTHER))
    assert ledger.tell(freeze()) == FrozenSet()
    assert ledger.tell(hold(1, id="z")) == Refused(reason="account_frozen")
    assert ledger.tell(hold(100, id="x")) == Held(amount=100, available=900), "it was granted before"
    assert ledger.tell(post("x", 40, 30)) == Posted(charged=40, loss=0, available=860)
    assert ledger.tell(void("y")) == Voided(available=960)
    assert ledger.tell(credit(10, id="c")) == Credited(available=970)
    assert ledger.tell(hold(1, account=OTHER)) == Held(amount=1, available=4)
    assert ledger.tell(unfreeze()) == FrozenSet()
    assert ledger.tell(hold(1, id="z")) == Held(amount=1, available=969)


def test_the_last_word_on_a_frozen_wallet_holds() -> None:
    ledger = Ledger(freeze(), freeze(why="said again"))
    found = ledger.books.frozen.get(WALLET)
    assert found is not None and found.why == "said again"
    ledger.tell(unfreeze())
    ledger.tell(unfreeze())
    assert WALLET not in ledger.books.frozen


@pytest.mark.parametrize("account", [REVENUE, PROVIDER, SOURCE, ""])
def test_only_wallets_are_frozen(account: str) -> None:
    assert Ledger().tell(freeze(account)) == Refused(reason="unknown_account")


@given(price=st.integers(0, 300), cost=st.integers(0, 300), provider=st.booleans(), free=st.integers(0, 300))
def test_whatever_is_reversed_every_sum_stays_zero(price: int, cost: int, provider: bool, free: int) -> None:
    ledger = Ledger(credit(100 + free), hold(100, id="x"), post("x", price, cost), reverse("x", provider=provider))
    assert sum(ledger.totals()) == 0
    assert ledger.total(WALLET) == 100 + free
    assert ledger.total(PROVIDER) == (0 if provider else cost)
