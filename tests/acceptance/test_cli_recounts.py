"""`tollway ledger recounts`: what is printed of both counts."""

import asyncio
import json
from pathlib import Path

import pytest

from helpers.commands import complaint, configure, here, printed
from helpers.ledgers import USD, credit, hold, post
from tollway.domain.clock import SystemClock
from tollway.domain.commands import NoteRecount
from tollway.domain.ids import new_id
from tollway.domain.observer import NullObserver
from tollway.domain.recount import Compared, Recount
from tollway.domain.usage import Usage
from tollway.ledger.sqlite.store import SqliteLedger

pytestmark = pytest.mark.acceptance

HONEST = Recount(
    vocabulary="o200k_base", own=Usage(prompt=90, completion=0), prompt=Compared(91, 90), completion=Compared(0, 0)
)
OVER = Recount(vocabulary="llama3", own=Usage(prompt=0, completion=100), completion=Compared(130, 100))


async def book(folder: Path) -> None:
    clock = SystemClock()
    ledger = await SqliteLedger.open(folder / "ledger.db", clock, NullObserver())
    await ledger.apply([credit(USD)])
    for provider, recount in (("honest", HONEST), ("over", OVER), ("over", OVER)):
        call = new_id(clock.now_ms())
        await ledger.apply([hold(9, id=call, model="house/model"), post(call, 1, provider=provider)])
        await ledger.apply([NoteRecount(id=call, recount=recount)])
    await ledger.aclose()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Books with recounts of two providers."""
    folder = tmp_path_factory.mktemp("recounts")
    configure(folder)
    asyncio.run(book(folder))
    return folder


def test_both_counts_are_shown_by_provider_and_what_is_off_is_marked(folder: Path) -> None:
    lines = printed(here("ledger", "recounts", cwd=folder)).splitlines()
    rows = [line.split() for line in lines]
    assert rows[0] == ["provider", "model", "calls", "of", "compared", "reported", "own", "off", "by"]
    assert ["honest", "house/model", "1", "prompt", "1", "91", "90", "+1.1", "%"] in rows
    assert ["completion", "1", "0", "0", "-"] in rows
    assert ["over", "house/model", "2", "prompt", "0", "0", "0", "-"] in rows
    assert ["completion", "2", "260", "200", "+30.0", "%", "!"] in rows


def test_one_provider_can_be_asked_for_and_the_threshold_said(folder: Path) -> None:
    asked = ("ledger", "recounts", "--provider", "over", "--threshold", "40%", "--json")
    found = json.loads(printed(here(*asked, cwd=folder)))
    (over,) = found["data"]
    assert (over["provider"], over["model"], over["calls"]) == ("over", "house/model", 2)
    assert over["completion"] == {
        "compared": 2,
        "reported": 260,
        "own": 200,
        "deviation_percent": 30.0,
        "flagged": False,
    }
    assert over["prompt"]["deviation_percent"] is None


def test_where_nothing_was_recounted_it_is_said_where_to_look(folder: Path) -> None:
    said = printed(here("ledger", "recounts", "--provider", "nobody", cwd=folder))
    assert "no call of the last 30 days was recounted: see billing.recount" in said


@pytest.mark.parametrize("option", [("--threshold", "much"), ("--days", "0")])
def test_what_can_not_be_asked_is_named(option: tuple[str, str], folder: Path) -> None:
    assert complaint(here("ledger", "recounts", *option, cwd=folder)).startswith(f"{option[0]}:")


def test_the_configurations_threshold_holds_where_none_is_said(folder: Path) -> None:
    def flagged(*more: str, environment: dict[str, str] | None = None) -> bool:
        asked = ("ledger", "recounts", "--provider", "over", "--json", *more)
        (over,) = json.loads(printed(here(*asked, cwd=folder, environment=environment)))["data"]
        return bool(over["completion"]["flagged"])

    wide = {"TOLLWAY_BILLING__RECOUNT_THRESHOLD": "40%"}
    assert (flagged(), flagged(environment=wide)) == (True, False)
    assert flagged("--threshold", "10%", environment=wide)
