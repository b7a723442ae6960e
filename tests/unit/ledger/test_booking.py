"""A hold comes to exactly one end, whatever the ledger, the client or a shutdown does in between."""

import asyncio
from typing import Any

import msgspec
import pytest

from helpers.booked import (
    CALLER,
    CHARGE,
    DOWN,
    FOREVER,
    HELD,
    POSTED,
    UNKNOWN,
    VOIDED,
    ScriptedLedger,
    booking,
    held,
    later,
)
from helpers.ledgers import WALLET
from helpers.metered import call, candidate
from helpers.virtual_time import LoopClock, now, virtual_time
from tollway.domain.commands import (
    Credit,
    Credited,
    Hold,
    Insufficient,
    NoteDelivery,
    Post,
    Posted,
    Refused,
    Result,
    Void,
)
from tollway.domain.errors import InternalError, LedgerOutcomeUnknown, LedgerUnavailable
from tollway.domain.keys import Key
from tollway.domain.plan import Plan
from tollway.ledger.booking import ASK_AGAIN_S, UNKNOWN_S_MAX, VOID_TRIES, Bookings

# --- the hold


@virtual_time
async def test_a_hold_asks_for_the_bounds_and_keeps_what_was_granted() -> None:
    made, ledger = await held()
    assert ledger.told == [Hold(id="call-1", account=WALLET, bounds=(1_000,), unlimited=False, model="m")]
    assert (made.held, made.granted, made.record.held) == (1_000, True, 1_000)


@pytest.mark.parametrize(("key", "models"), [(None, ()), (Key(id="k", account=WALLET, created_ms=0), ("m", "n"))])
@virtual_time
async def test_a_hold_names_each_model_once_that_its_key_has_to_allow(key: Key | None, models: tuple[str, ...]) -> None:
    ledger = ScriptedLedger(HELD)
    caller = msgspec.structs.replace(CALLER, key=key)
    plan = Plan(
        candidates=tuple(candidate(provider=provider, model=model) for provider, model in ("am", "an", "bm")), seed=7
    )
    await Bookings(ledger, LoopClock()).open(caller, call(), plan).hold((1,), unlimited=False)  # type: ignore[arg-type]
    (told,) = ledger.told
    assert isinstance(told, Hold)
    assert (told.key, told.models) == ("" if key is None else "k", models)


@virtual_time
async def test_a_record_begins_with_what_is_known() -> None:
    record = booking(ScriptedLedger(), stream=True).record
    assert (record.id, record.account, record.model_asked, record.stream) == ("call-1", WALLET, "m", True)
    assert (record.seed, record.user, record.client_request_id, record.request_hash) == (7, "u", "r", "h")
    assert (record.ended, record.delivery, record.created_ms) == ("refused", "none", LoopClock().now_ms())


@pytest.mark.parametrize(
    ("answer", "short"),
    [
        (Insufficient(available=5), Insufficient(available=5)),
        (Refused(reason="unknown_account"), Insufficient(available=0)),
    ],
)
@virtual_time
async def test_a_balance_that_is_too_small_is_told_and_nothing_is_held(answer: Result, short: Insufficient) -> None:
    ledger = ScriptedLedger(answer)
    made = booking(ledger)
    assert await made.hold((1_000,), unlimited=False) == short
    await made.close()
    assert (made.granted, ledger.kinds) == (False, ["Hold"])


@virtual_time
async def test_a_hold_that_the_books_refuse_is_a_fault_of_ours() -> None:
    ledger = ScriptedLedger(Refused(reason="id_reused"))
    made = booking(ledger)
    with pytest.raises(InternalError, match="id_reused"):
        await made.hold((1_000,), unlimited=False)
    await made.close()
    assert ledger.kinds == ["Hold"]


@virtual_time
async def test_a_ledger_that_is_down_holds_nothing() -> None:
    ledger = ScriptedLedger(DOWN)
    made = booking(ledger)
    with pytest.raises(LedgerUnavailable):
        await made.hold((1_000,), unlimited=False)
    await made.close()
    assert ledger.kinds == ["Hold"]


@virtual_time
async def test_a_hold_whose_outcome_is_unknown_is_given_back_and_the_caller_may_try_again() -> None:
    ledger = ScriptedLedger(UNKNOWN, VOIDED)
    made = booking(ledger)
    with pytest.raises(LedgerUnavailable) as refused:
        await made.hold((1_000,), unlimited=False)
    assert refused.value.should_retry
    await made.close()
    await later()
    assert ledger.kinds == ["Hold", "Void"]


@virtual_time
async def test_a_hold_that_is_cancelled_while_it_is_asked_for_is_given_back() -> None:
    ledger = ScriptedLedger(FOREVER, VOIDED)
    made = booking(ledger)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(made.hold((1_000,), unlimited=False), 1)
    await made.close()
    assert ledger.kinds == ["Hold", "Void"]


# --- the post


@virtual_time
async def test_a_post_tells_what_the_call_came_to() -> None:
    made, ledger = await held(POSTED)
    assert await made.post(candidate(), CHARGE, cost_max=None) == POSTED
    posted = ledger.told[-1]
    assert isinstance(posted, Post)
    assert (posted.id, posted.price, posted.provider, posted.cost, posted.over_max) == ("call-1", 300, "p", 200, None)
    record = posted.record
    assert (record.provider, record.model, record.upstream, record.flags) == ("p", "m", "m", ("cut",))
    assert (record.usage, record.usage_origin, record.price, record.cost) == (CHARGE.usage, "provider", 300, 200)
    assert record.ended_ms == LoopClock().now_ms()
    await made.close()
    assert ledger.kinds == ["Hold", "Post"]


@virtual_time
async def test_a_count_of_ours_is_marked_as_such_beside_what_the_provider_said() -> None:
    made, _ = await held(POSTED)
    estimated = msgspec.structs.replace(CHARGE, estimated=True, refused='{"prompt_tokens":-1}')
    await made.post(candidate(), estimated, cost_max=None)
    assert (made.record.usage_origin, made.record.usage_reported) == ("estimated", '{"prompt_tokens":-1}')


@pytest.mark.parametrize(("cost_max", "over_max"), [(None, None), (1_500, 500), (1_000, 0), (900, 0)])
@virtual_time
async def test_over_the_hold_only_what_the_callers_max_cost_leaves_may_be_taken(
    cost_max: int | None, over_max: int | None
) -> None:
    made, ledger = await held(POSTED)
    await made.post(candidate(), CHARGE, cost_max=cost_max)
    assert ledger.told[-1].over_max == over_max  # type: ignore[union-attr]


@virtual_time
async def test_what_was_charged_in_the_end_is_what_the_record_says() -> None:
    made, _ = await held(Posted(charged=250, loss=50, available=0))
    await made.post(candidate(), CHARGE, cost_max=None)
    assert made.record.price == 250


@virtual_time
async def test_a_post_whose_outcome_is_unknown_is_asked_again_until_it_is_known() -> None:
    made, ledger = await held(*[UNKNOWN] * 5, POSTED)
    started = now()
    assert await made.post(candidate(), CHARGE, cost_max=None) == POSTED
    assert now() - started == pytest.approx(5 * ASK_AGAIN_S)
    assert len({command.id for command in ledger.told}) == 1  # type: ignore[union-attr]
    assert ledger.told[1:] == [ledger.told[1]] * 6


@virtual_time
async def test_a_ledger_that_goes_down_after_an_unknown_outcome_has_not_said_that_nothing_is_booked() -> None:
    made, ledger = await held(UNKNOWN, DOWN, UNKNOWN, DOWN, POSTED)
    assert await made.post(candidate(), CHARGE, cost_max=None) == POSTED
    await later()
    assert ledger.kinds == ["Hold", *["Post"] * 5]


@virtual_time
async def test_an_outcome_that_stays_unknown_is_given_up_and_what_may_be_held_given_back() -> None:
    asked = round(UNKNOWN_S_MAX / ASK_AGAIN_S) + 1
    made, ledger = await held(*[UNKNOWN] * asked, UNKNOWN, Refused(reason="already_posted"))
    started = now()
    with pytest.raises(LedgerOutcomeUnknown):
        await made.post(candidate(), CHARGE, cost_max=None)
    assert now() - started == pytest.approx(UNKNOWN_S_MAX)
    assert (made.record.ended, made.record.delivery) == ("ledger_failed", "unknown")
    await made.close()
    await later()
    assert ledger.kinds == ["Hold", *["Post"] * asked, "Void", "Void"]


@virtual_time
async def test_a_post_that_is_not_booked_costs_nothing_and_its_hold_is_given_back_later() -> None:
    made, ledger = await held(DOWN, DOWN, UNKNOWN, DOWN, VOIDED)
    with pytest.raises(LedgerUnavailable):
        await made.post(candidate(), CHARGE, cost_max=None)
    record = made.record
    assert (record.ended, record.price, record.cost, record.error_code) == ("ledger_failed", 0, 0, "ledger_unavailable")
    await made.close()
    await later()
    assert ledger.kinds == ["Hold", "Post", *["Void"] * 4]
    assert ledger.told[-1] == Void(id="call-1", record=record)


@virtual_time
async def test_a_hold_lost_with_its_commit_makes_the_call_one_to_try_again() -> None:
    made, ledger = await held(Refused(reason="unknown_hold"), Refused(reason="unknown_hold"))
    with pytest.raises(LedgerUnavailable):
        await made.post(candidate(), CHARGE, cost_max=None)
    await later()
    assert ledger.kinds == ["Hold", "Post", "Void"]


@virtual_time
async def test_a_post_that_the_books_refuse_gives_its_hold_back() -> None:
    made, ledger = await held(Refused(reason="invalid_amount"), VOIDED)
    with pytest.raises(InternalError, match="invalid_amount"):
        await made.post(candidate(), CHARGE, cost_max=None)
    assert (made.record.ended, made.record.error_code) == ("ledger_failed", "internal_error")
    await made.close()
    await later()
    assert ledger.kinds == ["Hold", "Post", "Void"]


@pytest.mark.parametrize("asked", [0, 1])
@virtual_time
async def test_a_post_that_is_cancelled_leaves_no_hold(asked: int) -> None:
    made, ledger = await held(*[UNKNOWN] * asked, FOREVER, VOIDED)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(made.post(candidate(), CHARGE, cost_max=None), 10)
    await made.close()
    await later()
    assert ledger.kinds[-1] == "Void"


@virtual_time
async def test_a_fault_in_the_ledger_itself_leaves_no_hold() -> None:
    for act in (lambda made: made.post(candidate(), CHARGE, cost_max=None), lambda made: made.close()):
        made, ledger = await held(ValueError("a bug"), VOIDED)
        with pytest.raises(ValueError, match="a bug"):
            await act(made)
        await later()
        assert ledger.kinds[-1] == "Void"


# --- the end was handed over


@pytest.mark.parametrize("answer", [VOIDED, DOWN, UNKNOWN])
@virtual_time
async def test_that_an_answer_was_handed_over_is_noted_whether_or_not_the_ledger_hears_it(answer: Any) -> None:
    made, ledger = await held(POSTED, answer)
    await made.post(candidate(), CHARGE, cost_max=None)
    await made.delivered()
    assert made.record.delivery == "complete"
    assert ledger.told[-1] == NoteDelivery(id="call-1", delivery="complete")


# --- giving back


@virtual_time
async def test_closing_gives_a_hold_back_once() -> None:
    made, ledger = await held(VOIDED)
    made.note(ended="provider_failed")
    await made.close()
    await made.close()
    assert ledger.told[1:] == [Void(id="call-1", record=made.record)]
    assert made.record.ended_ms == LoopClock().now_ms()


@virtual_time
async def test_closing_what_holds_nothing_says_nothing() -> None:
    ledger = ScriptedLedger()
    await booking(ledger).close()
    assert ledger.told == []


@pytest.mark.parametrize("first", [DOWN, UNKNOWN])
@virtual_time
async def test_what_can_not_be_given_back_now_is_given_back_later(first: Exception) -> None:
    made, ledger = await held(first, DOWN, UNKNOWN, VOIDED)
    started = now()
    await made.close()
    assert now() == started
    await later()
    assert ledger.told[1:] == [ledger.told[1]] * 4


@virtual_time
async def test_closing_that_is_cancelled_goes_on_in_the_background() -> None:
    made, ledger = await held(FOREVER, VOIDED)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(made.close(), 1)
    await later()
    assert ledger.kinds == ["Hold", "Void", "Void"]


@virtual_time
async def test_a_ledger_that_stays_down_is_not_asked_for_ever_and_nothing_piles_up() -> None:
    ledger = ScriptedLedger(*[DOWN] * VOID_TRIES)
    bookings = Bookings(ledger, LoopClock())  # type: ignore[arg-type]
    bookings.apply_later(Void(id="call-1", record=booking(ledger).record))
    await later()
    assert (ledger.answers, bookings._late) == ([], set())


@virtual_time
async def test_closing_the_books_gives_up_on_what_could_not_be_booked() -> None:
    ledger = ScriptedLedger(DOWN)
    bookings = Bookings(ledger, LoopClock())  # type: ignore[arg-type]
    bookings.apply_later(Void(id="call-1", record=booking(ledger).record))
    await asyncio.sleep(0.1)
    await bookings.aclose()
    await later()
    assert (ledger.kinds, bookings._late) == (["Void"], set())


# --- the welcome credit


@pytest.mark.parametrize(
    ("answer", "given"), [(Credited(available=5), True), (Refused(reason="source_exhausted"), False)]
)
@virtual_time
async def test_a_welcome_is_a_credit_once_an_account(answer: Result, given: bool) -> None:
    ledger = ScriptedLedger(answer)
    assert await Bookings(ledger, LoopClock()).welcome(WALLET, 5, 100) is given  # type: ignore[arg-type]
    assert ledger.told == [
        Credit(id=f"welcome:{WALLET}", account=WALLET, amount=5, source="welcome", ref="welcome", source_max=100)
    ]


@pytest.mark.parametrize("answer", [DOWN, UNKNOWN])
@virtual_time
async def test_a_welcome_that_the_ledger_can_not_say_is_one_to_try_again(answer: Exception) -> None:
    with pytest.raises(LedgerUnavailable):
        await Bookings(ScriptedLedger(answer), LoopClock()).welcome(WALLET, 5, 100)  # type: ignore[arg-type]
