"""One timer finds the batch that takes too long, however many came before."""

import asyncio

from helpers.virtual_time import now, virtual_time
from tollway.ledger.sqlite.patience import Patience


@virtual_time
async def test_a_batch_that_takes_too_long_is_told_once_and_counted_from_its_own_beginning() -> None:
    told: list[float] = []
    patience = Patience(asyncio.get_running_loop(), lambda: told.append(now() - started), 10.0)
    started = now()
    for _ in range(3):
        patience.begin()
        await asyncio.sleep(4)
        patience.end()
    patience.begin()
    await asyncio.sleep(100)
    assert told == [22.0]
    patience.end()
    patience.begin()
    await asyncio.sleep(9)
    patience.end()
    await asyncio.sleep(100)
    assert told == [22.0]


@virtual_time
async def test_closed_it_waits_for_nothing() -> None:
    told: list[float] = []
    patience = Patience(asyncio.get_running_loop(), lambda: told.append(now()), 10.0)
    patience.close()
    patience.begin()
    patience.close()
    await asyncio.sleep(100)
    assert told == []
