"""The rules of the books, one by one: what each state allows, what a post charges, which counters move."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.ledgers import OTHER, START_MS, WALLET, burn, credit, fresh_id, hold, pay, post, record, reverse, void
from tollway.domain.claims import Claim
from tollway.domain.commands import (
    Balance,
    Burned,
    Command,
    Credited,
    Disabled,
    Held,
    Insufficient,
    Noted,
    NoteDelivery,
    NoteRecount,
    Posted,
    ProviderSet,
    Refused,
    Revoke,
    Revoked,
    SetProvider,
    Voided,
)
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.domain.recount import Recount
from tollway.domain.usage import Usage
from tollway.ledger.book import RULES
from tollway.ledger.books import Books, NotLoaded
from tollway.ledger.claims import place_of, shelf_of
from tollway.ledger.decision import (
    KINDS,
    TABLE,
    Decision,
    DeliveryNote,
    Expire,
    RecountNote,
    State,
    post_of,
    recounted,
    state_after,
    state_of,
)
from tollway.ledger.transfer import COUNTER_NANO_MAX, LOSS, REVENUE, Account, Kind, Transfer, enter, legs_of


class Ledger:
    """The book with an empty memory: carries commands out and checks that the sums stay zero."""

    def __init__(self, *commands: Command | Expire) -> None:
        self.books = Books(complete=True)
        for command in commands:
            self.tell(command)

    def tell(self, command: Command | Expire) -> object:
        self.check_sums()
        decision = self.books.decide(command, START_MS)
        self.books.enter(decision)
        self.check_sums()
        return decision.result

    def check_sums(self) -> None:
        balances = [account.balance() for account in self.books.accounts.values()]
        assert sum(balance.debits_pending - balance.credits_pending for balance in balances) == 0
        assert sum(balance.debits_posted - balance.credits_posted for balance in balances) == 0

    def balance(self, account: str) -> Balance:
        return self.books.account(account).balance()


HISTORIES: dict[State, list[Command | Expire]] = {
    "absent": [],
    "credited": [credit(70, id="x")],
    "pending": [hold(100, id="x")],
    "posted": [hold(100, id="x"), post("x", 40, 30)],
    "voided": [hold(100, id="x"), void("x")],
    "expired": [hold(100, id="x"), Expire(id="x")],
    "returned": [credit(70, id="x"), reverse("x")],
    "reversed": [hold(100, id="x"), post("x", 40, 30), reverse("x")],
    "paid": [pay(30, id="x", advance=True)],
}
ACTS: dict[Kind, Command | Expire] = {
    "credit": credit(70, id="x"),
    "hold": hold(100, id="x"),
    "post": post("x", 40, 30),
    "void": void("x"),
    "expire": Expire(id="x"),
    "reverse": reverse("x"),
    "pay": pay(30, id="x", advance=True),
}


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("kind", KINDS)
def test_every_state_answers_every_act_as_the_table_says(state: State, kind: Kind) -> None:
    ledger = Ledger(credit(1000), *HISTORIES[state])
    assert state_of(ledger.books.chain("x")) == state
    before = ledger.books.chain("x")
    result = ledger.tell(ACTS[kind])
    cell = TABLE[state][kind]
    if isinstance(cell, Refused):
        assert result == cell
    if isinstance(cell, Refused) or cell == "=":
        assert ledger.books.chain("x") == before
    else:
        assert state_of(ledger.books.chain("x")) == cell
        assert state_after(kind) == (cell if cell != "returned" else "reversed")


def test_a_hold_moves_pending_counters_of_the_wallet_and_of_revenue() -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"))
    assert ledger.balance(WALLET).debits_pending == ledger.balance(REVENUE).credits_pending == 100


def test_a_post_pays_the_provider_and_keeps_the_remainder() -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"))
    assert ledger.tell(post("x", 40, 30)) == Posted(charged=40, loss=0, available=960)
    assert ledger.balance("provider:openai").credits_posted == 30
    assert ledger.balance(REVENUE).credits_posted == 10
    assert ledger.balance(WALLET).debits_posted == 40
    assert ledger.balance(WALLET).debits_pending == ledger.balance(REVENUE).credits_pending == 0


def test_a_post_below_cost_books_the_difference_as_loss() -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"))
    assert ledger.tell(post("x", 40, 55)) == Posted(charged=40, loss=15, available=960)
    assert ledger.balance(LOSS).debits_posted == 15
    assert ledger.balance("provider:openai").credits_posted == 55
    assert ledger.balance(REVENUE).credits_posted == 0


@pytest.mark.parametrize(
    ("free", "price", "over_max", "charged"),
    [
        (0, 100, None, 100),  # the hold, no more
        (0, 150, None, 100),  # nothing is free
        (30, 150, None, 130),  # what is free
        (80, 150, None, 150),  # all of it
        (80, 150, 20, 120),  # what is allowed
        (10, 150, 20, 110),  # the smaller of both
        (80, 150, 0, 100),
        (80, 60, 0, 60),
    ],
)
def test_a_post_charges_the_hold_then_what_is_free_and_allowed(
    free: int, price: int, over_max: int | None, charged: int
) -> None:
    ledger = Ledger(credit(100 + free), hold(100, id="x"))
    assert ledger.tell(post("x", price, over_max=over_max)) == Posted(
        charged=charged, loss=0, available=100 + free - charged
    )


def test_a_late_post_takes_what_is_free_and_leaves_the_rest_to_the_operator() -> None:
    ledger = Ledger(credit(100), hold(100, id="x"), Expire(id="x"), hold(70, id="y"))
    assert ledger.tell(post("x", 90, 80)) == Posted(charged=30, loss=50, available=0, late=True)


def test_a_late_post_is_allowed_no_more_than_its_hold_was() -> None:
    ledger = Ledger(credit(500), hold(100, id="x"), Expire(id="x"))
    assert ledger.tell(post("x", 200, over_max=5)) == Posted(charged=105, loss=0, available=395, late=True)


def test_only_an_unlimited_hold_takes_a_wallet_below_zero() -> None:
    ledger = Ledger(hold(100, id="x", unlimited=True))
    assert ledger.tell(hold(1)) == Insufficient(available=-100)
    assert ledger.tell(post("x", 150)) == Posted(charged=150, loss=0, available=-150)
    limited = Ledger(hold(100, id="x", unlimited=True))
    assert limited.tell(post("x", 150, over_max=20)) == Posted(charged=120, loss=0, available=-120)


def test_a_prepaid_post_takes_nothing_over_its_hold_from_a_wallet_below_zero() -> None:
    ledger = Ledger(credit(100), hold(100, id="x"), hold(50, id="y", unlimited=True))
    assert ledger.tell(post("x", 150)) == Posted(charged=100, loss=0, available=-50)


def test_a_hold_of_nothing_is_granted_for_a_price_of_nothing() -> None:
    ledger = Ledger()
    assert ledger.tell(hold(0, id="x")) == Held(amount=0, available=0)
    assert ledger.tell(post("x", 0)) == Posted(charged=0, loss=0, available=0)


def test_bounds_are_granted_by_size_whatever_their_order() -> None:
    assert Ledger(credit(50)).tell(hold(10, 40, 99, 20)) == Held(amount=40, available=10)
    assert Ledger().tell(hold(10, 40, unlimited=True)) == Held(amount=40, available=-40)


@pytest.mark.parametrize("bounds", [(), (-1,), (5, -1), (AMOUNT_NANO_MAX + 1, 1)])
def test_bounds_out_of_range_are_refused(bounds: tuple[int, ...]) -> None:
    assert Ledger(credit(50)).tell(hold(*bounds)) == Refused(reason="invalid_amount")


@pytest.mark.parametrize(("price", "cost", "over_max"), [(-1, 0, None), (0, -1, None), (1, 1, -1), (2**70, 0, None)])
def test_a_post_out_of_range_is_refused_and_the_hold_stays(price: int, cost: int, over_max: int | None) -> None:
    ledger = Ledger(credit(50), hold(50, id="x"))
    assert ledger.tell(post("x", price, cost, over_max=over_max)) == Refused(reason="invalid_amount")
    assert ledger.tell(void("x")) == Voided(available=50)


@pytest.mark.parametrize("side", ["debits_posted", "credits_posted", "debits_pending", "credits_pending"])
def test_a_counter_that_would_leave_64_bits_refuses_the_command(side: str) -> None:
    ledger = Ledger(credit(500))
    full = ledger.books.account(REVENUE if side == "credits_pending" else WALLET)
    if side == "debits_posted":
        full = ledger.books.account("source:operator")
    setattr(full, side, COUNTER_NANO_MAX)
    command = hold(1, unlimited=True) if side.endswith("pending") else credit(1)
    decision = ledger.books.decide(command, START_MS)
    assert decision == Decision(Refused(reason="invalid_amount"))
    assert COUNTER_NANO_MAX + 2 * AMOUNT_NANO_MAX < 2**63


@pytest.mark.parametrize("account", ["", "router:revenue", "router:loss", "provider:openai", "source:operator"])
def test_the_routers_own_accounts_are_no_wallets(account: str) -> None:
    assert Ledger().tell(credit(1, account)) == Refused(reason="unknown_account")
    assert Ledger().tell(hold(1, account=account, unlimited=True)) == Refused(reason="unknown_account")


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_NANO_MAX + 1])
def test_a_credit_out_of_range_is_refused(amount: int) -> None:
    assert Ledger().tell(credit(amount)) == Refused(reason="invalid_amount")


def test_a_credit_has_its_source_on_the_debit_side() -> None:
    ledger = Ledger(credit(70, source="welcome"))
    assert ledger.balance("source:welcome").debits_posted == ledger.balance(WALLET).credits_posted == 70


@pytest.mark.parametrize("changed", [{"amount": 71}, {"account": OTHER}, {"source": "welcome"}, {"ref": "invoice 2"}])
def test_a_credit_repeated_with_other_content_is_refused(changed: dict[str, object]) -> None:
    ledger = Ledger(credit(70, id="x"))
    again = credit(**{"amount": 70, "id": "x", **changed})  # type: ignore[arg-type]  # fields by name
    assert ledger.tell(again) == Refused(reason="id_reused")


def test_a_repeated_credit_answers_as_before_even_when_its_source_is_exhausted() -> None:
    gift = credit(70, id="x", source_max=70)
    ledger = Ledger(gift)
    assert ledger.tell(credit(1, source_max=70)) == Refused(reason="source_exhausted")
    assert ledger.tell(gift) == Credited(available=70)


@pytest.mark.parametrize("changed", [{"bounds": (99,)}, {"account": OTHER}, {"unlimited": True}])
def test_a_hold_repeated_with_other_content_is_refused(changed: dict[str, object]) -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"))
    fields = {"bounds": (100,), "account": WALLET, "unlimited": False, **changed}
    bounds = fields.pop("bounds")
    assert isinstance(bounds, tuple)
    assert ledger.tell(hold(*bounds, id="x", **fields)) == Refused(reason="id_reused")  # type: ignore[arg-type]


@pytest.mark.parametrize("changed", [{"price": 41}, {"cost": 31}, {"provider": "other"}, {"over_max": 1}])
def test_a_post_repeated_with_other_content_is_refused(changed: dict[str, object]) -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"), post("x", 40, 30))
    again = post("x", **{"price": 40, "cost": 30, **changed})  # type: ignore[arg-type]  # fields by name
    assert ledger.tell(again) == Refused(reason="id_reused")


def test_a_repeated_posts_record_is_not_its_content() -> None:
    ledger = Ledger(credit(1000), hold(100, id="x"), post("x", 40, 30))
    assert ledger.tell(post("x", 40, 30, record=record("x", delivery="unknown"))) == Posted(
        charged=40, loss=0, available=960
    )


def test_the_record_that_is_kept_carries_the_books_figures() -> None:
    ledger = Ledger(credit(120), hold(100, id="x"))
    right = record("x", price=120, cost=30, held=100)
    decision = ledger.books.decide(post("x", 120, 30, record=right), START_MS)
    assert decision.record is right
    wrong = ledger.books.decide(post("x", 300, 30, record=record("y", OTHER, price=300)), START_MS)
    assert wrong.record == record("x", price=120, cost=30, held=100)
    voided = ledger.books.decide(void("x", price=5, held=100), START_MS)
    assert voided.record == record("x", price=0, held=100)


def test_a_nonce_as_old_as_those_forgotten_is_refused_unseen() -> None:
    ledger = Ledger()
    ledger.books.forget(START_MS)
    assert ledger.tell(burn("n", expires_ms=START_MS)) == Refused(reason="nonce_used")
    assert ledger.tell(burn("n", expires_ms=START_MS + 1)) == Burned()
    assert ledger.tell(burn("n", expires_ms=START_MS + 1)) == Refused(reason="nonce_used")


def test_a_clock_set_back_does_not_bring_a_forgotten_nonce_to_life() -> None:
    ledger = Ledger(burn("n", expires_ms=START_MS + 5))
    ledger.books.forget(START_MS + 10)
    ledger.books.forget(START_MS - 10)
    assert ledger.tell(burn("n", expires_ms=START_MS + 5)) == Refused(reason="nonce_used")


def test_a_revocation_lasts_as_long_as_the_latest_expiry_said() -> None:
    ledger = Ledger()
    for expires_ms in (START_MS + 9, START_MS + 5):
        revoke = Revoke(account=WALLET, message_hash="h", expires_ms=expires_ms)
        assert ledger.tell(revoke) == Revoked()
    assert ledger.books.revocations == {"h": START_MS + 9}


def test_revocations_are_forgotten_a_day_after_their_message_expired() -> None:
    ledger = Ledger(Revoke(account=WALLET, message_hash="h", expires_ms=START_MS))
    ledger.books.forget(START_MS + 86_399_999)
    assert ledger.books.revocations
    ledger.books.forget(START_MS + 86_400_000)
    assert not ledger.books.revocations


def test_the_last_word_on_a_provider_holds_and_who_asked_before_keeps_what_was_so() -> None:
    ledger, off = Ledger(), Disabled(since_ms=START_MS, why="errors")
    assert ledger.tell(SetProvider(provider="a", disabled=off)) == ProviderSet()
    before = ledger.books.disabled
    assert ledger.tell(SetProvider(provider="b", disabled=off)) == ProviderSet()
    assert ledger.tell(SetProvider(provider="a", disabled=None)) == ProviderSet()
    assert (before, ledger.books.disabled) == ({"a": off}, {"b": off})


@pytest.mark.parametrize("state", TABLE)
def test_what_became_of_an_answer_is_noted_of_a_posted_call_and_moves_no_money(state: State) -> None:
    ledger = Ledger(credit(1000), *HISTORIES[state])
    before = {own: account.balance() for own, account in ledger.books.accounts.items()}
    note = NoteDelivery(id="x", delivery="complete")
    if state in ("posted", "reversed"):
        posted = post_of(ledger.books.chain("x"))
        assert ledger.books.decide(note, START_MS).note == DeliveryNote(posted.seq, WALLET, "x", "complete")
        assert ledger.tell(note) == Noted()
    else:
        assert ledger.tell(note) == Refused(reason="unknown_hold")
    assert {own: account.balance() for own, account in ledger.books.accounts.items()} == before


def test_a_recount_is_noted_with_the_provider_and_the_model_of_the_post() -> None:
    ledger = Ledger(credit(1000), *HISTORIES["posted"])
    posted = ledger.books.chain("x")[-1]
    recount = Recount(vocabulary="o200k_base", own=Usage(prompt=3, completion=4))
    note = ledger.books.decide(NoteRecount(id="x", recount=recount), START_MS).note
    assert note == RecountNote(posted.seq, WALLET, "x", "openai", posted.model, recount)
    assert ledger.tell(NoteRecount(id="y", recount=recount)) == Refused(reason="unknown_hold")


def test_a_note_needs_the_chain_of_its_call_and_nothing_else() -> None:
    books = Books(complete=False)
    recount = Recount(vocabulary="o200k_base", own=Usage(prompt=3, completion=4))
    for note in (NoteDelivery(id="x", delivery="complete"), NoteRecount(id="x", recount=recount)):
        assert books.missing([note], START_MS) == [("chain", "x")]
    books.remember("x", ())
    assert books.missing([NoteDelivery(id="x", delivery="complete")], START_MS) == []


def test_what_an_account_is_asked_from_stays_the_same_when_old_accounts_are_dropped() -> None:
    ledger = Ledger(credit(5, OTHER), credit(500), hold(100, id="x"), post("x", 1))
    books, asked = ledger.books, ledger.books.account
    kept = books.account(WALLET)
    books.drop_older_accounts([kept])
    assert asked(WALLET) is books.accounts[WALLET] is kept
    assert OTHER not in books.accounts


def test_every_command_has_its_rule() -> None:
    assert {*get_args(Command), Expire} == RULES.keys()


def test_transfers_of_an_account_form_a_chain() -> None:
    ledger = Ledger(credit(500), credit(5, OTHER), hold(100, id="x"), post("x", 1), hold(3, id="y"), void("y"))
    seq, walked = ledger.books.account(WALLET).last_seq, []
    lines = {line.seq: line for own in ("x", "y") for line in ledger.books.chain(own)}
    while seq in lines:
        walked.append(lines[seq].kind)
        seq = lines[seq].previous
    assert walked == ["void", "hold", "post", "hold"]


def test_counters_that_contradict_a_transfer_are_noticed() -> None:
    line = Transfer(seq=1, id="x", kind="void", at_ms=0, account=WALLET, previous=0, amount=5, available=5, held=5)
    accounts = {own: Account(id=own) for own in (WALLET, REVENUE)}
    with pytest.raises(AssertionError, match="given back"):
        enter(line, legs_of(line, accounts.__getitem__))
    accounts[WALLET].debits_pending = accounts[REVENUE].credits_pending = 6
    with pytest.raises(AssertionError, match="otherwise"):
        enter(line, legs_of(line, accounts.__getitem__))


def test_what_a_rule_reads_and_was_not_loaded_is_asked_for_before_anything_is_entered() -> None:
    books, claim = Books(complete=False), Claim(key="k", request="r")
    asked = hold(1, claim=claim)
    shelf = shelf_of(WALLET, START_MS)
    for lacking in ("claim", "account"):
        with pytest.raises(NotLoaded, match=rf"{lacking} .* not loaded"):
            books.decide(asked, START_MS)
        books.claims.remember(place_of(WALLET, claim.key), None)
    for old in (void("of another process"), post("of another process", 1)):
        with pytest.raises(NotLoaded, match=r"chain .* not loaded"):
            books.decide(old, START_MS)
    with pytest.raises(NotLoaded, match=r"shelf .* not loaded"):
        books.kept_bytes(shelf)
    assert books.next_seq == 1 and not books.pending


def test_the_end_of_a_hold_needs_the_account_that_counts_what_its_key_spends() -> None:
    books, own = Books(complete=False), fresh_id()
    books.remember(own, (Transfer(1, own, "hold", START_MS, WALLET, 0, 5, 0, key="key:k"),))
    assert books.missing([void(own)], START_MS) == [("account", WALLET), ("account", "key:k")]


@given(
    held=st.integers(0, 1000),
    free=st.integers(0, 1000),
    price=st.integers(0, 3000),
    cost=st.integers(0, 3000),
    over_max=st.none() | st.integers(0, 1000),
    late=st.booleans(),
)
def test_no_prepaid_post_overdraws_overcharges_or_unbalances(
    held: int, free: int, price: int, cost: int, over_max: int | None, late: bool
) -> None:
    ledger = Ledger(credit(held + free + 1), hold(held, id="x"))
    if late:
        ledger.tell(Expire(id="x"))
    result = ledger.tell(post("x", price, cost, over_max=over_max))
    assert isinstance(result, Posted)
    assert 0 <= result.charged <= price
    assert result.charged <= held + (price if over_max is None else over_max)
    assert result.available == held + free + 1 - result.charged >= 0
    assert result.loss == max(0, cost - result.charged)
    assert result.late is late


@given(st.lists(st.integers(0, 500), min_size=1, max_size=6), st.integers(0, 500))
def test_a_hold_grants_the_largest_bound_that_fits_or_nothing(bounds: list[int], balance: int) -> None:
    result = Ledger(credit(balance + 1)).tell(hold(*bounds))
    fitting = [bound for bound in bounds if bound <= balance + 1]
    expected = Held(amount=max(fitting), available=balance + 1 - max(fitting)) if fitting else None
    assert result == (expected or Insufficient(available=balance + 1))


def test_ids_are_looked_up_only_when_the_store_may_know_more() -> None:
    books = Books(complete=True, watermark_ms=START_MS)
    assert books.must_look_up("00000000-0000-7000-8000-000000000000")
    assert not books.must_look_up("019fffff-ffff-7000-8000-000000000000")
    assert not books.must_look_up("019ffff0-ffff-7000-8000-000000000000")
    assert books.must_look_up("not-a-uuid")
    books.remember("not-a-uuid", ())
    assert not books.must_look_up("not-a-uuid")


def test_dropping_ended_chains_raises_the_watermark_over_their_ids() -> None:
    ids = [f"019fffff-{number:04x}-7000-8000-000000000000" for number in range(4)]
    books = Books(complete=True)
    books.enter(books.decide(credit(1000), START_MS))
    for own in ids:
        assert not books.must_look_up(own)
        books.enter(books.decide(hold(1, id=own), START_MS))
        books.enter(books.decide(post(own, 1), START_MS))
        books.rotate()
    assert [books.must_look_up(own) for own in ids] == [True, True, True, False]
    assert all(earlier < later for earlier, later in pairwise(ids))


def test_our_own_count_takes_the_place_of_the_estimate_and_says_so() -> None:
    own = Usage(prompt=3, completion=2)
    kept = recounted(record("x", estimate=Usage(prompt=9, completion=9)), own)
    assert (kept.estimate, kept.estimate_origin) == (own, "tokenizer")
