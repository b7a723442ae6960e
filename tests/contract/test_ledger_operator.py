"""An operator's entries on every store of the books: reversals, payments, frozen wallets; also after a restart."""

from helpers.ledger_homes import Home
from helpers.ledgers import OTHER, WALLET, credit, freeze, fresh_id, hold, pay, post, reverse, unfreeze
from tollway.domain.commands import Credited, FrozenSet, Held, NoteDelivery, Paid, Posted, Refused, Reversed


async def called(home: Home, price: int = 90, cost: int = 80) -> str:
    call = fresh_id()
    await home.apply(credit(1000), hold(100, id=call))
    assert isinstance(await home.one(post(call, price, cost)), Posted)
    return call


async def total(home: Home, account: str) -> int:
    balance = await home.ledger.balance(account)
    return 0 if balance is None else balance.total


async def test_a_call_is_reversed_once_whoever_asks_and_whenever(home: Home) -> None:
    call = await called(home)
    told = await home.one(reverse(call))
    assert told == Reversed(account=WALLET, change=90, available=1000)
    assert await home.apply(reverse(call), reverse(call)) == [told, told]
    await home.restart()
    assert await home.one(reverse(call)) == told
    assert await home.one(reverse(call, provider=True)) == Refused(reason="id_reused")
    assert (await home.available(), await total(home, "provider:openai")) == (1000, 80)
    assert await total(home, "router:loss") == -80


async def test_the_provider_may_be_owed_it_no_more(home: Home) -> None:
    call = await called(home, 60, 70)
    await home.restart()
    assert await home.one(reverse(call, provider=True)) == Reversed(account=WALLET, change=60, available=1000)
    found = [await total(home, account) for account in ("provider:openai", "router:revenue", "router:loss")]
    assert found == [0, 0, 0]


async def test_a_statement_shows_what_was_reversed_why_and_by_how_much(home: Home) -> None:
    call = await called(home)
    await home.apply(credit(7, id="wrong"), reverse(call, "the answer was empty"), reverse("wrong", "another's"))
    await home.restart()
    newest = (await home.entries())[:2]
    assert [(entry.kind, entry.id, entry.amount, entry.ref) for entry in newest] == [
        ("reverse", "wrong", -7, "another's"),
        ("reverse", call, 90, "the answer was empty"),
    ]


async def test_a_credit_goes_back_as_far_as_it_is_free_unless_forced(home: Home) -> None:
    await home.apply(credit(70, id="wrong"), hold(50))
    assert await home.one(reverse("wrong")) == Refused(reason="over_free")
    assert await home.one(reverse("wrong", force=True)) == Reversed(account=WALLET, change=-70, available=-50)
    assert await home.one(credit(70, id="wrong")) == Credited(available=70)
    assert await home.available() == -50


async def test_what_was_never_charged_is_not_reversed(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(100), hold(10, id=call))
    assert await home.one(reverse(call)) == Refused(reason="not_reversible")
    assert await home.one(reverse(fresh_id())) == Refused(reason="unknown_transfer")
    await home.restart()
    assert await home.one(reverse(call)) == Refused(reason="not_reversible")


async def test_a_reversed_call_is_still_found_and_its_delivery_noted(home: Home) -> None:
    call = await called(home)
    await home.one(reverse(call))
    await home.one(NoteDelivery(id=call, delivery="partial"))
    await home.restart()
    record = await home.ledger.call(WALLET, call)
    assert record is not None and (record.price, record.delivery) == (90, "partial")


async def test_a_provider_is_paid_what_it_is_owed_once(home: Home) -> None:
    await called(home)
    assert await home.one(pay(81, id="pay:a")) == Refused(reason="over_owed")
    assert await home.apply(pay(30, id="pay:a"), pay(30, id="pay:a")) == [Paid(owed=50), Paid(owed=50)]
    await home.restart()
    assert await home.one(pay(30, id="pay:a")) == Paid(owed=50)
    assert await home.one(pay(31, id="pay:a")) == Refused(reason="id_reused")
    assert await home.one(pay(51, id="pay:b")) == Refused(reason="over_owed")
    assert await home.one(pay(51, id="pay:b", advance=True)) == Paid(owed=-1)
    assert (await total(home, "provider:openai"), await total(home, "source:operator")) == (-1, -1000 + 81)


async def test_a_provider_may_be_paid_before_its_first_call(home: Home) -> None:
    assert await home.one(pay(5, "new", advance=True)) == Paid(owed=-5)
    await home.restart()
    assert await home.one(pay(5, "new", advance=True, ref="transfer 2")) == Paid(owed=-10)


async def test_a_frozen_wallet_holds_nothing_new_until_it_is_unfrozen(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(1000), credit(5, OTHER), hold(100, id=call))
    assert await home.one(freeze()) == FrozenSet()
    assert await home.apply(hold(1), hold(1, account=OTHER)) == [
        Refused(reason="account_frozen"),
        Held(amount=1, available=4),
    ]
    assert isinstance(await home.one(post(call, 40, 30)), Posted)
    await home.restart()
    assert await home.one(hold(1)) == Refused(reason="account_frozen")
    assert await home.apply(unfreeze(), hold(1)) == [FrozenSet(), Held(amount=1, available=959)]
    await home.restart()
    assert await home.one(hold(2)) == Held(amount=2, available=958)


async def test_a_wallet_is_frozen_from_the_same_batch_on_and_before_it_has_money(home: Home) -> None:
    told = await home.apply(freeze(), credit(10), hold(1), unfreeze(), hold(1), freeze(), hold(1))
    refused = Refused(reason="account_frozen")
    assert told[2:] == [refused, FrozenSet(), Held(amount=1, available=9), FrozenSet(), refused]
