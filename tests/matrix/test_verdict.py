"""What is wrong doesn't go unseen, and nothing that the simulator can do wrong is left out."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import pytest_asyncio

from matrix.cells import Behind, Cell, Way, cells
from matrix.faults import FAULTS
from matrix.python_sdk import python_sdk
from matrix.stage import PATIENT, Played, stage
from matrix.table import NOTHING, came_to, rendered, written
from matrix.verdict import differences
from tollway.simulator import parse_scenario
from tollway.simulator.scenario import FaultName, UsageStyle

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOME = {"crlf", "500", "cut midway"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def right(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Way, Behind], Played]:
    """A few cells as they come out."""
    folder: Path = tmp_path_factory.mktemp("books")
    ways = (Way.BATCH, Way.STREAM, Way.LEFT_MIDWAY)
    some = [cell for cell in cells("v", ways) if cell.fault.name in SOME]
    async with python_sdk() as client, stage(folder / "l.db", some, keep_alive=PATIENT) as made:
        played = await made.play(some, client)
    return {(one.cell.fault.name, one.cell.way, one.cell.behind): one for one in played}


def seen(**fields: Any) -> Callable[[Played], Played]:
    return lambda one: dataclasses.replace(one, seen=dataclasses.replace(one.seen, **fields))


def recorded(**fields: Any) -> Callable[[Played], Played]:
    return lambda one: dataclasses.replace(one, record=msgspec.structs.replace(one.record, **fields))


def owes(**owed: int) -> Callable[[Played], Played]:
    return lambda one: dataclasses.replace(one, owed=owed)


def charged_one_more(one: Played) -> Played:
    entries = [
        msgspec.structs.replace(entry, amount=entry.amount + 1) if entry.kind == "post" else entry
        for entry in one.entries
    ]
    return dataclasses.replace(one, entries=tuple(entries))


def charged(one: Played) -> Played:
    entries = [msgspec.structs.replace(entry, kind="post") if entry.kind == "void" else entry for entry in one.entries]
    return dataclasses.replace(one, entries=tuple(entries))


def asked_more(one: Played) -> Played:
    return dataclasses.replace(one, attempts=[*one.attempts, one.attempts[0]])


def not_cancelled(one: Played) -> Played:
    attempts = [(name, msgspec.structs.replace(attempt, client_closed=False)) for name, attempt in one.attempts]
    return dataclasses.replace(one, attempts=attempts)


WHOLE, FAILED = ("crlf", Way.STREAM, Behind.NOBODY), ("500", Way.BATCH, Behind.NOBODY)
CUT, LEFT = ("cut midway", Way.STREAM, Behind.WELL), ("crlf", Way.LEFT_MIDWAY, Behind.NOBODY)

SPOILED = {
    "a truncated text": (WHOLE, seen(texts={0: "The small "}), "its client read"),
    "no finish reason": (WHOLE, seen(finishes={}), "its client read"),
    "no end": (WHOLE, seen(ended_by_done=False), "[DONE]"),
    "an error beside the answer": (WHOLE, seen(error="provider_error"), "its client was given the error"),
    "another code": (FAILED, seen(error="internal_error"), "its client was to see"),
    "another status": (FAILED, seen(status=500, statuses=[500]), "the answer had [500]"),
    "the SDK's own retries": (FAILED, seen(statuses=[502, 502, 502]), "the SDK needed"),
    "a cut stream that looks whole": (
        CUT,
        seen(error=None, finishes={0: "stop"}, ended_by_done=True),
        "a truncated success",
    ),
    "a text that nobody said": (CUT, seen(texts={0: "Something else"}), "which nobody said"),
    "one that stayed": (LEFT, seen(left=False), "its client was to leave"),
    "one attempt more": (FAILED, asked_more, "were to be sent the request"),
    "one attempt less on record": (FAILED, recorded(attempts=()), "the record says nobody"),
    "a provider that writes on": (LEFT, not_cancelled, "to write for nobody"),
    "a nano-USD too much": (WHOLE, charged_one_more, "nano-USD were due"),
    "a record that says another price": (WHOLE, recorded(price=1), "the record says 1"),
    "an error that is charged": (FAILED, charged, "0 nano-USD were due"),
    "a provider that is owed too much": (
        CUT,
        lambda one: dataclasses.replace(one, owed={"a": 43_000, "b": 1}),
        "owed to b",
    ),
    "a cost that is not recorded": (CUT, owes(a=0, b=0), "owed to a"),
    "a hold that is left": (FAILED, lambda one: dataclasses.replace(one, pending=5), "still held"),
    "a call that is booked twice": (
        WHOLE,
        lambda one: dataclasses.replace(one, entries=one.entries * 2),
        "one call was to be booked",
    ),
    "one that hangs": (WHOLE, lambda one: dataclasses.replace(one, hung="there"), "hangs, there"),
}


async def test_what_is_right_has_no_difference(right: dict[Any, Played]) -> None:
    assert {name for name, _, _ in right} == SOME
    assert [what for one in right.values() for what in differences(one)] == []


@pytest.mark.parametrize("what", SPOILED)
async def test_what_is_wrong_is_said(right: dict[Any, Played], what: str) -> None:
    which, spoil, said = SPOILED[what]
    found = differences(spoil(right[which]))
    assert any(said in difference for difference in found), found
    assert all(which[0] in difference for difference in found)


async def test_a_field_of_the_table_says_what_was_seen(right: dict[Any, Played]) -> None:
    assert came_to(right[WHOLE]) == "A: whole"
    assert came_to(right[FAILED]) == "A A: 502 `provider_error`"
    assert came_to(right["500", Way.STREAM, Behind.WELL]) == "A A B: whole"
    assert came_to(right[CUT]) == "A: frame `provider_error`"
    assert came_to(right[LEFT]) == "A: delivered"
    assert came_to(dataclasses.replace(right[WHOLE], hung="there")) == "hangs"


async def test_where_two_clients_see_different_things_the_table_says_so(right: dict[Any, Played]) -> None:
    both = {"Python": [right[WHOLE]], "Node": [dataclasses.replace(right[WHOLE], hung="there")]}
    assert "| Python: A: whole; Node: hangs |" in rendered(both)
    assert "Python" not in rendered({"Python": [right[WHOLE]], "Node": [right[WHOLE]]})


async def test_the_tables_go_between_their_marks_and_nothing_else_of_the_page_is_touched() -> None:
    page = "# A page\n\n<!-- fault matrix -->\nold\n<!-- /fault matrix -->\n\nMore.\n"
    new = "# A page\n\n<!-- fault matrix -->\n\nnew\n\n<!-- /fault matrix -->\n\nMore.\n"
    assert written(page, "new\n") == written(new, "new\n") == new


async def test_every_fault_of_the_simulator_is_in_the_matrix() -> None:
    plays = [play for fault in FAULTS for play in (fault.stream, fault.batch) if play is not None]
    scenarios = [parse_scenario(play.scenario) for play in plays]
    assert {scenario.fault_name for scenario in scenarios} >= set(get_args(FaultName))
    assert {scenario.usage for scenario in scenarios} == set(get_args(UsageStyle))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


async def test_every_cell_is_a_call_of_its_own() -> None:
    every = list(cells("t"))
    assert len({cell.tag for cell in every}) == len(every)
    assert {cell.way for cell in every} == set(Way)
    assert all(isinstance(cell, Cell) and cell.due.asked for cell in every)
    assert NOTHING not in {cell.fault.name for cell in every}
