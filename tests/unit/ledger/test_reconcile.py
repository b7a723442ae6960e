"""An invoice against our own calls: what is the same reconciles, and each thing that isn't is found and named."""

import csv
import io
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.ledgers import record
from tollway.domain.answer import AttemptRecord
from tollway.domain.usage import Usage
from tollway.ledger import reconcile as room
from tollway.ledger.billed import Billed, Entry, billed
from tollway.ledger.invoice import Invoice, InvoiceError, read
from tollway.ledger.reconcile import Line, Reconciliation, period_of, reconcile
from tollway.ledger.usage import DAY_MS, day_key
from tollway.wire import json

DAY = 20_779  # 2026-11-22
HEADER = ("id", "day", "model", "prompt", "completion", "amount")


def call(number: int = 1, **fields: object) -> Billed:
    given = {
        "id": f"own-{number}",
        "day": DAY,
        "models": ("gpt-4o", "openai/gpt-4o"),
        "response_id": f"r-{number}",
        "prompt": 10,
        "completion": 5,
        "cost": 75_000,
        **fields,
    }
    return Billed(**given)  # type: ignore[arg-type]


def row_of(one: Billed) -> list[str]:
    """As the provider would bill it."""
    tokens = ["" if count is None else str(count) for count in (one.prompt, one.completion)]
    return [one.response_id or one.id, day_key(one.day), one.models[0], *tokens, exact(one.cost)]


def exact(nano: int) -> str:
    """With all decimals, so that nothing passes for rounding."""
    return f"{nano // 10**9}.{nano % 10**9:09}"


def invoice(rows: Sequence[Sequence[str]], *, without: str = "") -> Invoice:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    return read(io.StringIO(text.getvalue()), named={without: ""} if without else None)  # type: ignore[dict-item]


def compared(rows: Sequence[Sequence[str]], calls: Sequence[Billed], **options: object) -> Reconciliation:
    return reconcile(invoice(rows), calls, DAY, DAY, **options)  # type: ignore[arg-type]


def the_line(found: Reconciliation) -> Line:
    (line,) = found.lines
    return line


CALLS = st.lists(
    st.builds(
        call,
        number=st.integers(1, 30),  # now and then two calls have the same response id
        day=st.integers(DAY, DAY + 2),
        models=st.sampled_from([("gpt-4o", "openai/gpt-4o"), ("o3",), ("m-2024-08-06", "x/m")]),
        prompt=st.none() | st.integers(0, 10_000),
        completion=st.none() | st.integers(0, 10_000),
        cost=st.integers(0, 10**12),
    ),
    max_size=20,
)


@given(calls=CALLS, by=st.sampled_from(["", "id"]))
def test_what_we_recorded_always_reconciles_with_itself(calls: list[Billed], by: str) -> None:
    found = reconcile(invoice([row_of(one) for one in calls], without=by), reversed(calls), DAY, DAY + 2)
    assert (found.disputed, found.lines, found.theirs) == (0, [], sum(one.cost for one in calls))
    assert found.ours == found.theirs and found.rows == len(calls)


@given(calls=CALLS.filter(len), where=st.data(), change=st.integers(1, 10**12), by=st.sampled_from(["", "id"]))
def test_any_row_that_is_changed_is_found(calls: list[Billed], where: st.DataObject, change: int, by: str) -> None:
    rows = [row_of(one) for one in calls]
    changed = where.draw(st.integers(0, len(rows) - 1))
    rows[changed][5] = exact(calls[changed].cost + change)
    found = reconcile(invoice(rows, without=by), calls, DAY, DAY + 2)
    assert found.theirs - found.ours == change
    assert found.lines and found.disputed >= change


@given(calls=CALLS.filter(len), where=st.data())
def test_a_row_that_is_missing_or_there_twice_or_not_ours_is_found(calls: list[Billed], where: st.DataObject) -> None:
    rows = [row_of(one) for one in calls]
    at = where.draw(st.integers(0, len(rows) - 1))
    missing = reconcile(invoice(rows[:at] + rows[at + 1 :]), calls, DAY, DAY + 2)
    assert missing.sums["only ours"].ours == calls[at].cost == missing.disputed
    twice = reconcile(invoice([*rows, rows[at]]), calls, DAY, DAY + 2)
    assert twice.sums["billed twice"].theirs == calls[at].cost == twice.disputed
    other = reconcile(invoice([*rows, row_of(call(99, cost=3))]), calls, DAY, DAY + 2)
    assert other.sums["only theirs"].theirs == 3 == other.disputed


def test_a_row_of_another_amount_says_by_how_much_and_where() -> None:
    other = [*row_of(call())[:-1], "0.000100000"]
    assert the_line(compared([other], [call()])) == Line(
        what="differs", line=2, id="r-1", call="own-1", day=DAY, model="gpt-4o", theirs=100_000, ours=75_000
    )


def test_tokens_that_differ_are_told_though_the_amount_is_the_same() -> None:
    found = compared([["r-1", "", "", "11", "6", "0.000075"]], [call()])
    line = the_line(found)
    assert (line.what, line.note, found.disputed) == (
        "differs",
        "11 prompt tokens, ours 10, 6 completion tokens, ours 5",
        0,
    )
    assert (line.day, line.model) == (DAY, "gpt-4o")


def test_of_two_calls_with_one_response_id_each_finds_its_own_row() -> None:
    calls = [call(1, cost=1_000), call(1, id="second", cost=2_000), call(1, id="third", cost=5_000)]
    rows = [row_of(calls[1]), row_of(call(1, cost=9_000)), row_of(calls[0])]
    found = compared(rows, calls)
    assert found.sums["matched"].count == 2
    assert (the_line(found).call, the_line(found).theirs, the_line(found).ours) == ("third", 9_000, 5_000)


def test_a_row_that_comes_again_is_billed_twice_and_so_is_one_that_no_call_has() -> None:
    found = compared([row_of(call())] * 3 + [row_of(call(7))] * 2, [call()])
    assert [(line.what, line.line) for line in found.lines] == [
        ("billed twice", 3),
        ("billed twice", 4),
        ("only theirs", 5),
        ("billed twice", 6),
    ]
    assert found.disputed == 4 * 75_000


def test_two_of_our_calls_and_one_row_are_one_call_too_many_of_ours() -> None:
    found = compared([row_of(call())], [call(cost=1), call(id="second", cost=2)])
    assert [(line.what, line.call) for line in found.lines] == [("differs", "own-1"), ("only ours", "second")]


def test_what_we_gave_back_and_they_bill_is_expected_and_shown() -> None:
    found = compared([row_of(call())], [call(given_back=True, cost=0)])
    assert (the_line(found).what, the_line(found).theirs, found.disputed) == ("given back", 75_000, 0)
    assert compared([], [call(given_back=True, cost=0)]).lines == []


def test_a_call_that_no_wallet_paid_is_owed_all_the_same_and_counted() -> None:
    found = compared([row_of(call())], [call(loss=75_000)])
    assert (found.disputed, found.lost.count, found.lost.ours) == (0, 1, 75_000)
    assert the_line(compared([], [call(loss=75_000, estimated=True)])).note == "our own count, no wallet paid it"


def test_what_was_taken_off_by_a_reversal_and_is_billed_is_disputed() -> None:
    taken = call(cost=0, taken_off=True)
    found = compared([row_of(call())], [taken])
    assert (the_line(found).what, found.disputed) == ("taken off", 75_000)
    assert compared([], [taken]).lines == []


def test_calls_of_no_cost_need_no_row() -> None:
    assert compared([], [call(cost=0)]).lines == []
    assert compared([], [call(cost=0)]).calls == 0


def test_a_call_at_midnight_is_found_on_the_day_beside_and_is_not_missed_otherwise() -> None:
    late = call(day=DAY + 1)
    found = compared([row_of(call())], [late, call(2, day=DAY - 1)])
    assert (found.sums["matched"].count, found.lines) == (1, [])
    assert reconcile(invoice([], without="id"), [late], DAY, DAY).lines == []


def test_rows_of_other_days_are_left_out_and_counted() -> None:
    found = compared([row_of(call()), row_of(call(2, day=DAY + 4))], [call()])
    assert (found.rows, found.outside, found.lines) == (1, 1, [])


def test_a_call_whose_record_is_gone_is_told() -> None:
    found = compared([], [call(recorded=False, response_id=None, prompt=None)])
    assert (found.unrecorded, the_line(found).id) == (1, "")
    assert the_line(found).note == "its record is not kept any more"


def test_rounding_is_no_difference_but_comes_to_something() -> None:
    calls = [call(number, cost=75_400) for number in range(1, 5)]
    rows = [[*row_of(one)[:-1], "0.000076"] for one in calls]
    found = compared(rows, calls)
    assert (found.lines, found.rounding, found.disputed) == ([], 4 * 600, 4 * 600)


def test_differences_that_there_is_no_room_for_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LINES_MAX", 2)
    found = compared([], [call(number) for number in range(1, 6)])
    assert (len(found.lines), found.left_out, found.disputed) == (2, 3, 5 * 75_000)


# --- by sums


def by_sums(rows: Sequence[Sequence[str]], calls: Sequence[Billed], **options: object) -> Reconciliation:
    return reconcile(invoice(rows, without="id"), calls, DAY, DAY + 1, **options)  # type: ignore[arg-type]


def test_sums_are_those_of_a_day_and_a_model() -> None:
    calls = [call(1), call(2), call(3, day=DAY + 1), call(4, models=("o3",))]
    found = by_sums([["", "2026-11-22", "gpt-4o", "20", "10", "0.00015"], *map(row_of, calls[2:])], calls)
    assert (found.by, found.disputed, found.sums["matched"].count) == ("day and model", 0, 3)


def test_a_sum_that_differs_says_of_how_many_rows_and_tokens() -> None:
    found = by_sums([["", "2026-11-22", "gpt-4o", "30", "10", "0.00025"]], [call(1), call(2), call(3, day=DAY + 1)])
    first, second = found.lines
    assert (first.what, first.theirs - first.ours, first.note) == (
        "differs",
        100_000,
        "1 rows, 2 calls, +10 prompt, +0 completion tokens",
    )
    assert (second.what, second.day, second.note, found.disputed) == ("only ours", DAY + 1, "0 rows, 1 calls", 175_000)
    assert by_sums([row_of(call())], []).lines[0].what == "only theirs"


def test_tokens_are_not_compared_where_a_call_has_none() -> None:
    calls = [call(1, prompt=None, completion=None, recorded=False), call(2)]
    assert by_sums([["", "2026-11-22", "gpt-4o", "999", "", "0.00015"]], calls).lines == []
    assert the_line(by_sums([["", "2026-11-22", "gpt-4o", "", "11", "0.00015"]], [call(1), call(2)])).note == (
        "1 rows, 2 calls, +0 prompt, +1 completion tokens"
    )


@pytest.mark.parametrize("theirs", ["GPT-4o", "gpt-4o-2024-08-06", "gpt-4o@20240806", "openai/gpt-4o", "four-oh"])
def test_a_model_is_known_by_any_of_its_names_and_without_its_date(theirs: str) -> None:
    found = by_sums([["", "2026-11-22", theirs, "10", "5", "0.000075"]], [call()], names={"Four-oh": "gpt-4o"})
    assert found.lines == []


def test_an_invoice_by_day_alone_or_by_model_alone_is_compared_so() -> None:
    calls = [call(1), call(2, models=("o3",))]
    days = read(io.StringIO("day,amount\n2026-11-22,0.00015\n"))
    assert (reconcile(days, calls, DAY, DAY).by, reconcile(days, calls, DAY, DAY).lines) == ("day", [])
    models = read(io.StringIO("model,amount\ngpt-4o,0.000075\no3,0.000075\n"))
    assert (reconcile(models, calls, DAY, DAY).by, reconcile(models, calls, DAY, DAY).lines) == ("model", [])


def test_sums_leave_out_what_was_given_back_and_count_it() -> None:
    found = by_sums([], [call(given_back=True, cost=0), call(2, cost=0)])
    assert (found.voided, found.lines, found.calls) == (1, [], 0)


# --- the period


def test_the_period_is_that_of_the_rows_unless_it_is_said() -> None:
    rows = invoice([row_of(call()), row_of(call(2, day=DAY + 3))])
    assert period_of(rows, None, None) == (DAY, DAY + 3)
    assert period_of(rows, DAY - 1, DAY + 9) == (DAY - 1, DAY + 9)
    with pytest.raises(InvoiceError, match="ends before it begins"):
        period_of(rows, DAY + 9, None)
    for first, last in ((None, None), (DAY, None), (None, DAY)):
        with pytest.raises(InvoiceError, match="it has no rows: say --from and --to"):
            period_of(invoice([]), first, last)
        with pytest.raises(InvoiceError, match="it has no days: say --from and --to"):
            period_of(invoice([["r", "", "m", "", "", "1"]]), first, last)
    assert period_of(invoice([]), DAY, DAY) == (DAY, DAY)


# --- our own calls, from what a store reads


def entry(kind: str = "post", told: object = None, charged: int = 90, cost: int = 80, taken_off: int = 0) -> Entry:
    body = None if told is None else json.encode(told)
    return Entry("own", kind, DAY * DAY_MS + 5, "openai/gpt-4o", charged, cost, taken_off, body)


def test_a_call_is_billed_by_its_record() -> None:
    told = record(
        "own",
        created_ms=(DAY - 1) * DAY_MS,
        provider="openai",
        model="openai/gpt-4o",
        upstream="gpt-4o",
        response_id="r",
        usage=Usage(prompt=10, completion=5),
        usage_origin="estimated",
    )
    found = billed(entry(told=told, charged=50), "openai")
    assert found == Billed(
        id="own",
        day=DAY - 1,
        models=("gpt-4o", "openai/gpt-4o"),
        response_id="r",
        prompt=10,
        completion=5,
        cost=80,
        loss=30,
        estimated=True,
    )
    assert found is not None and billed(entry(told=told, charged=0, taken_off=80), "openai") == msgspec.structs.replace(
        found, cost=0, loss=0, taken_off=True
    )


def test_a_call_without_a_record_is_billed_by_its_entry() -> None:
    found = billed(entry(charged=50), "openai")
    assert found == Billed(id="own", day=DAY, models=("openai/gpt-4o", "gpt-4o"), cost=80, loss=30, recorded=False)


def test_a_void_is_of_the_providers_that_were_tried() -> None:
    tried = record(
        "own", attempts=(AttemptRecord(provider="openai", model="m", outcome="cut"),), created_ms=DAY * DAY_MS
    )
    found = billed(entry("void", tried), "openai")
    assert found is not None and (found.given_back, found.cost, found.loss) == (True, 0, 0)
    assert billed(entry("void", tried), "other") is None
    assert billed(entry("void"), "openai") is None
