"""What every store of the books must do. A new store joins by adding its `Home` to `helpers.ledger_homes.HOMES`."""

import asyncio
from collections.abc import Callable

import pytest

from helpers.ledger_homes import Home
from helpers.ledgers import OTHER, START_MS, USD, WALLET, burn, credit, fresh_id, hold, post, record, void
from tollway.domain.commands import (
    Burned,
    Command,
    Credited,
    Held,
    Insufficient,
    Noted,
    NoteDelivery,
    Posted,
    Refused,
    Revoke,
    Revoked,
    Voided,
)
from tollway.domain.errors import LedgerUnavailable
from tollway.domain.money import AMOUNT_NANO_MAX


async def test_a_credit_is_spendable_at_once(home: Home) -> None:
    assert await home.one(credit(5 * USD)) == Credited(available=5 * USD)
    assert await home.available() == 5 * USD


async def test_an_account_without_a_transfer_has_no_balance_and_an_empty_statement(home: Home) -> None:
    assert await home.one(hold(1)) == Insufficient(available=0)
    assert await home.ledger.balance(WALLET) is None
    assert await home.entries() == []


async def test_a_hold_reserves_and_its_post_gives_the_rest_back(home: Home) -> None:
    call = fresh_id()
    await home.one(credit(5 * USD))
    assert await home.one(hold(2 * USD, id=call)) == Held(amount=2 * USD, available=3 * USD)
    assert await home.one(post(call, USD, USD // 2)) == Posted(charged=USD, loss=0, available=4 * USD)
    wallet = await home.ledger.balance(WALLET)
    assert wallet is not None
    assert (wallet.available, wallet.total, wallet.debits_pending) == (4 * USD, 4 * USD, 0)


async def test_held_money_is_in_the_total_but_not_available(home: Home) -> None:
    await home.apply(credit(5 * USD), hold(2 * USD))
    wallet = await home.ledger.balance(WALLET)
    assert wallet is not None
    assert (wallet.available, wallet.total) == (3 * USD, 5 * USD)


async def test_the_largest_bound_that_fits_is_granted(home: Home) -> None:
    await home.one(credit(500))
    assert await home.one(hold(900, 400, 100)) == Held(amount=400, available=100)


async def test_a_void_gives_the_whole_hold_back(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(500), hold(400, id=call))
    assert await home.one(void(call)) == Voided(available=500)


async def test_cost_without_a_price_is_the_operators_loss(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(500), hold(400, id=call))
    assert await home.one(post(call, 0, 90)) == Posted(charged=0, loss=90, available=500)
    loss, provider = await home.ledger.balance("router:loss"), await home.ledger.balance("provider:openai")
    assert loss is not None and provider is not None
    assert (loss.debits_posted, provider.credits_posted) == (90, 90)


async def test_what_is_over_the_hold_comes_from_the_free_balance_then_from_the_operator(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(500), hold(400, id=call))
    assert await home.one(post(call, 700, 650)) == Posted(charged=500, loss=150, available=0)


async def test_over_max_limits_what_is_charged_over_the_hold(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(900), hold(400, id=call))
    assert await home.one(post(call, 700, 0, over_max=50)) == Posted(charged=450, loss=0, available=450)


async def test_an_unlimited_hold_is_granted_whatever_the_balance(home: Home) -> None:
    call = fresh_id()
    assert await home.one(hold(400, id=call, unlimited=True)) == Held(amount=400, available=-400)
    assert await home.one(post(call, 300, 200)) == Posted(charged=300, loss=0, available=-300)


async def test_64_concurrent_holds_on_a_balance_for_50_grant_exactly_50(home: Home) -> None:
    await home.one(credit(50 * 7))
    results = await asyncio.gather(*(home.one(hold(7)) for _ in range(64)))
    assert sum(isinstance(result, Held) for result in results) == 50
    assert sum(result == Insufficient(available=0) for result in results) == 14
    assert await home.available() == 0


async def test_repeating_a_command_repeats_its_answer_and_books_nothing(home: Home) -> None:
    call = fresh_id()
    commands = [credit(900, id="c-1"), hold(400, 300, id=call), post(call, 250, 200)]
    first = [await home.one(command) for command in commands]
    assert [await home.one(command) for command in commands] == first
    assert len(await home.entries()) == 3


async def test_repeating_a_void_repeats_its_answer(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(900), hold(400, id=call))
    assert await home.one(void(call)) == await home.one(void(call)) == Voided(available=900)


async def test_a_repeated_id_with_other_content_is_refused(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(900, id="c-1"), hold(400, id=call))
    assert await home.one(hold(401, id=call)) == Refused(reason="id_reused")
    assert await home.one(hold(400, id=call, account=OTHER)) == Refused(reason="id_reused")
    assert await home.one(credit(901, id="c-1")) == Refused(reason="id_reused")
    assert await home.one(credit(5, id=call)) == Refused(reason="id_reused")
    await home.one(post(call, 100, 50))
    assert await home.one(post(call, 101, 50)) == Refused(reason="id_reused")
    assert await home.available() == 800


async def test_answers_are_the_same_after_a_restart(home: Home) -> None:
    call, voided = fresh_id(), fresh_id()
    commands = [
        credit(900, id="c-1"),
        hold(400, 30, id=call),
        post(call, 250, 200, over_max=3),
        hold(7, id=voided),
        void(voided),
    ]
    first = await home.apply(*commands)
    await home.restart()
    assert await home.apply(*commands) == first
    assert await home.one(post(call, 251, 200, over_max=3)) == Refused(reason="id_reused")
    assert await home.one(void(call)) == Refused(reason="already_posted")
    assert await home.one(post(voided, 1)) == Refused(reason="already_voided")


async def test_a_hold_that_a_dead_process_left_expires_and_can_still_be_posted_late(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(900), hold(400, id=call))
    await home.restart()
    assert await home.available() == 900
    assert [entry.kind for entry in await home.entries()] == ["expire", "hold", "credit"]
    assert await home.one(void(call)) == Refused(reason="hold_expired")
    assert await home.one(post(call, 300, 200)) == Posted(charged=300, loss=0, available=600, late=True)
    assert await home.one(post(call, 300, 200)) == Posted(charged=300, loss=0, available=600, late=True)


async def test_ending_a_hold_that_never_was_is_refused(home: Home) -> None:
    assert await home.one(post(fresh_id(), 1)) == Refused(reason="unknown_hold")
    assert await home.one(void("no-uuid")) == Refused(reason="unknown_hold")


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_NANO_MAX + 1, 2**63, 2**200])
async def test_amounts_out_of_range_are_refused(home: Home, amount: int) -> None:
    call = fresh_id()
    await home.apply(credit(900), hold(400, id=call))
    refused = Refused(reason="invalid_amount")
    assert await home.one(credit(amount)) == refused
    if amount:
        assert await home.one(hold(amount)) == refused
        assert await home.one(post(call, amount)) == refused
        assert await home.one(post(call, 1, amount)) == refused
    assert await home.available() == 500


async def test_only_wallets_hold_callers_money(home: Home) -> None:
    for account in ("router:revenue", "provider:openai", "source:operator", ""):
        assert await home.one(credit(1, account)) == Refused(reason="unknown_account")
        assert await home.one(hold(0, account=account)) == Refused(reason="unknown_account")


async def test_a_source_gives_no_more_than_its_maximum(home: Home) -> None:
    gift = {"source": "welcome", "source_max": 100}
    assert await home.one(credit(60, **gift)) == Credited(available=60)
    assert await home.one(credit(60, OTHER, **gift)) == Refused(reason="source_exhausted")
    assert await home.one(credit(40, OTHER, **gift)) == Credited(available=40)
    await home.restart()
    assert await home.one(credit(1, **gift)) == Refused(reason="source_exhausted")


async def test_a_nonce_is_used_once_an_account(home: Home) -> None:
    assert await home.apply(burn("n-1"), burn("n-1"), burn("n-1", OTHER)) == [
        Burned(),
        Refused(reason="nonce_used"),
        Burned(),
    ]
    await home.restart()
    assert await home.one(burn("n-1")) == Refused(reason="nonce_used")


async def test_of_concurrent_burns_of_a_nonce_one_is_granted(home: Home) -> None:
    results = await asyncio.gather(*(home.one(burn("n-1")) for _ in range(20)))
    assert results.count(Burned()) == 1


async def test_a_revoked_message_stays_revoked(home: Home) -> None:
    revoke = Revoke(account=WALLET, message_hash="ab" * 32, expires_ms=START_MS + 1000)
    assert not await home.ledger.revoked("ab" * 32)
    assert await home.apply(revoke, revoke) == [Revoked(), Revoked()]
    assert await home.ledger.revoked("ab" * 32)
    await home.restart()
    assert await home.ledger.revoked("ab" * 32)


async def test_a_secret_is_made_once_and_kept(home: Home) -> None:
    first, again = await asyncio.gather(home.ledger.secret("nonces"), home.ledger.secret("nonces"))
    assert first == again and len(first) == 32
    assert await home.ledger.secret("other") != first
    await home.restart()
    assert await home.ledger.secret("nonces") == first


async def test_a_call_is_found_by_its_id_and_by_the_providers_response_id(home: Home) -> None:
    call, later, voided = fresh_id(), fresh_id(), fresh_id()
    await home.apply(credit(900), hold(100, id=call), hold(100, id=later), hold(100, id=voided))
    assert await home.ledger.call(WALLET, call) is None
    await home.apply(
        post(call, 10, 8, response_id="chatcmpl-1", model="openai/gpt-4o"), void(voided, ended="client_left")
    )
    found = await home.ledger.call(WALLET, call)
    assert found is not None
    assert (found.id, found.model, found.price, found.cost, found.held) == (call, "openai/gpt-4o", 10, 8, 100)
    assert await home.ledger.call(WALLET, "chatcmpl-1") == found
    assert (record_of_void := await home.ledger.call(WALLET, voided)) is not None
    assert (record_of_void.ended, record_of_void.price) == ("client_left", 0)
    await home.one(post(later, 20, response_id="chatcmpl-1"))
    newest = await home.ledger.call(WALLET, "chatcmpl-1")
    assert newest is not None and newest.id == later


async def test_a_call_is_shown_to_its_own_account_only(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(900), credit(900, OTHER), hold(100, id=call), post(call, 10, response_id="chatcmpl-1"))
    assert await home.ledger.call(OTHER, call) is None
    assert await home.ledger.call(OTHER, "chatcmpl-1") is None


async def test_the_record_says_what_was_charged_not_what_was_asked(home: Home) -> None:
    call = fresh_id()
    asked = record(call, price=700, cost=1, held=1, account=OTHER)
    await home.apply(credit(500), hold(400, id=call), post(call, 700, 650, record=asked))
    kept = await home.ledger.call(WALLET, call)
    assert kept is not None
    assert (kept.price, kept.cost, kept.held, kept.account) == (500, 650, 400, WALLET)


async def test_a_statement_lists_newest_first_what_was_credited_held_charged_and_given_back(home: Home) -> None:
    call, voided = fresh_id(), fresh_id()
    await home.one(credit(900, ref="invoice 7"))
    home.clock.ms += 1
    await home.apply(hold(400, id=call, model="gpt-4o"), hold(50, id=voided), void(voided))
    home.clock.ms += 1
    await home.one(post(call, 100, 50, model="openai/gpt-4o"))
    lines = [(e.kind, e.amount, e.returned, e.ref, e.at_ms - START_MS) for e in await home.entries()]
    assert lines == [
        ("post", 100, 300, None, 2),
        ("void", 50, 0, None, 1),
        ("hold", 50, 0, None, 1),
        ("hold", 400, 0, None, 1),
        ("credit", 900, 0, "invoice 7", 0),
    ]
    assert [e.model for e in await home.entries() if e.id == call] == ["openai/gpt-4o", "gpt-4o"]


async def test_a_statement_is_paged_by_cursor_without_gaps_or_repeats(home: Home) -> None:
    for number in range(7):
        await home.apply(credit(10 + number), credit(99, OTHER))
    amounts: list[int] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        page = await home.ledger.statement(WALLET, limit=3, cursor=cursor)
        amounts += [entry.amount for entry in page.entries]
        cursor, pages = page.next_cursor, pages + 1
    assert (amounts, pages) == ([16, 15, 14, 13, 12, 11, 10], 3)


async def test_an_entrys_cursor_continues_after_it(home: Home) -> None:
    await home.apply(credit(1), credit(2), credit(3))
    first = (await home.entries())[0]
    rest = await home.ledger.statement(WALLET, limit=10, cursor=first.cursor)
    assert [entry.amount for entry in rest.entries] == [2, 1]


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "czE6MA", "czE6OTk5OTk5", "czI6MQ", "é", "c" * 100])
async def test_a_cursor_that_no_statement_gave_is_a_value_error(home: Home, cursor: str) -> None:
    await home.apply(credit(1), credit(2))
    with pytest.raises(ValueError, match="cursor"):
        await home.ledger.statement(WALLET, limit=10, cursor=cursor)


async def test_another_accounts_cursor_is_a_value_error(home: Home) -> None:
    await home.apply(credit(1), credit(2))
    cursor = (await home.entries())[0].cursor
    with pytest.raises(ValueError, match="cursor"):
        await home.ledger.statement(OTHER, limit=10, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_page_has_a_limit(home: Home, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        await home.ledger.statement(WALLET, limit=limit)


async def test_a_clock_set_back_changes_neither_order_nor_answers(home: Home) -> None:
    early, late = fresh_id(START_MS - 3_600_000), fresh_id(START_MS + 1)
    await home.apply(credit(900), hold(10, id=late), post(late, 5))
    await home.restart()
    home.clock.ms -= 3_600_000
    assert await home.one(hold(10, id=early)) == Held(amount=10, available=885)
    assert await home.one(post(early, 5)) == Posted(charged=5, loss=0, available=890)
    assert await home.one(post(late, 5)) == Posted(charged=5, loss=0, available=895)
    assert [entry.id for entry in await home.entries()][:2] == [early, early]


async def test_a_closed_ledger_books_nothing(home: Home) -> None:
    assert home.ledger.ready
    await home.ledger.aclose()
    assert not home.ledger.ready
    await home.ledger.aclose()
    with pytest.raises(LedgerUnavailable):
        await home.one(credit(1))
    await home.open()


async def test_several_commands_are_carried_out_in_order(home: Home) -> None:
    call = fresh_id()
    results = await home.apply(hold(5, id=call), credit(5), hold(5, id=call), post(call, 5, 4), burn("n"))
    assert results == [
        Insufficient(available=0),
        Credited(available=5),
        Held(amount=5, available=0),
        Posted(charged=5, loss=0, available=0),
        Burned(),
    ]


async def test_what_became_of_an_answer_is_noted_once_and_survives_a_restart(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), post(call, USD, 0))
    assert await home.one(NoteDelivery(id=call, delivery="complete")) == Noted()
    assert await home.one(NoteDelivery(id=call, delivery="partial")) == Noted()
    noted = await home.ledger.call(WALLET, call)
    await home.restart()
    kept = await home.ledger.call(WALLET, call)
    assert noted is not None
    assert noted.delivery == "complete"
    assert kept == noted


@pytest.mark.parametrize("end", [None, void])
async def test_only_a_posted_call_has_a_delivery_to_note(home: Home, end: Callable[[str], Command] | None) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call))
    if end is not None:
        await home.one(end(call))
    assert await home.one(NoteDelivery(id=call, delivery="complete")) == Refused(reason="unknown_hold")
    assert await home.one(NoteDelivery(id=fresh_id(), delivery="complete")) == Refused(reason="unknown_hold")


async def test_a_delivery_is_seen_before_it_is_on_disk(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), post(call, USD, 0))
    await home.one(NoteDelivery(id=call, delivery="complete"))
    noted = await home.ledger.call(WALLET, call)
    assert noted is not None
    assert noted.delivery == "complete"
