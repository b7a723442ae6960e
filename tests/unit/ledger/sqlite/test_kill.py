"""kill -9 in the middle of the load: what was acknowledged is there, nothing is doubled, no hold is left."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.ledgers import post
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Posted, Result
from tollway.domain.observer import NullObserver
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.store import SqliteLedger

# Prints the id of each post that was acknowledged; every third call stays in flight for ever.
LOAD = """
import asyncio, sys
from pathlib import Path
from helpers.ledgers import WALLET, credit, hold, post
from tollway.domain.clock import SystemClock
from tollway.domain.ids import new_id
from tollway.domain.observer import NullObserver
from tollway.ledger.sqlite.store import SqliteLedger

async def work(ledger, clock, number):
    while True:
        call = new_id(clock.now_ms())
        await ledger.apply([hold(100, id=call)])
        if number % 3 == 0:
            await asyncio.sleep(0)
            call = new_id(clock.now_ms())
            await ledger.apply([hold(100, id=call)])
        await ledger.apply([post(call, 1, 1)])
        print(call, flush=True)

async def main():
    clock = SystemClock()
    ledger = await SqliteLedger.open(Path(sys.argv[1]), clock, NullObserver())
    await ledger.apply([credit(10**15)])
    await asyncio.gather(*(work(ledger, clock, number) for number in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 150, 400])
def test_after_a_kill_the_books_hold_every_acknowledged_post_and_no_hold(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "books.db"
    calls = acknowledged_before_a_kill(path, acknowledged)
    torn = audit(path)
    assert torn.clean, torn.differences

    again = asyncio.run(posted_again(path, calls))
    assert all(isinstance(result, Posted) and not result.late for result in again)

    report = audit(path)
    assert report.clean, report.differences
    assert report.pending == 0
    assert report.posts == torn.posts >= len(calls) >= acknowledged
    assert report.unsettled == torn.pending == report.holds - report.posts


def acknowledged_before_a_kill(path: Path, count: int) -> list[str]:
    """The ids of all the posts that the killed process was told were booked, at least `count`."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, "-c", LOAD, path], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        calls = [process.stdout.readline().strip() for _ in range(count)]
        process.kill()
        calls += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert all(calls)
    return calls


async def posted_again(path: Path, calls: list[str]) -> list[Result]:
    ledger = await SqliteLedger.open(path, SystemClock(), NullObserver())
    results = await asyncio.gather(*(ledger.apply([post(call, 1, 1)]) for call in calls))
    await ledger.aclose()
    return [result for (result,) in results]
