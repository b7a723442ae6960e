"""The same over real books and a line to them that fails in any way, at any time."""

import asyncio
import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from helpers.booked import CALLER, CHARGE, later
from helpers.ledgers import USD, WALLET
from helpers.metered import call, candidate
from helpers.virtual_time import LoopClock, VirtualTimeLoop, virtual_time
from tollway.domain.commands import (
    Command,
    Credit,
    Result,
)
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable
from tollway.domain.ids import new_id
from tollway.domain.plan import Plan
from tollway.ledger.booking import Bookings
from tollway.ledger.memory import MemoryLedger

DAYS = ("fair", "refused", "lost", "unheard")


class Weather:
    """Real books behind a line that fails: before the command arrives, or after it was carried out."""

    def __init__(self, books: MemoryLedger, days: Sequence[str]) -> None:
        self.books = books
        self.days = list(days)

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        day = self.days.pop(0) if self.days else "fair"
        await asyncio.sleep(0.1)
        if day == "refused":
            raise LedgerUnavailable("down")
        if day == "lost":
            raise LedgerOutcomeUnknown("lost on the way")
        results = await self.books.apply(commands)
        await asyncio.sleep(0.1)
        if day == "unheard":
            raise LedgerOutcomeUnknown("the answer was lost")
        return results


@virtual_time
async def test_in_any_weather_a_hold_comes_to_one_end_and_an_error_is_never_charged() -> None:
    for days in itertools.product(DAYS, repeat=4):
        for posts in (True, False):
            await one_end(days, posts, None)


@given(st.lists(st.sampled_from(DAYS), max_size=12), st.booleans(), st.floats(0.01, 3))
def test_nor_does_a_call_that_is_cancelled_leave_a_hold(days: list[str], posts: bool, cancelled_after: float) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(one_end(days, posts, cancelled_after))


async def one_end(days: Sequence[str], posts: bool, cancelled_after: float | None) -> None:
    clock = LoopClock()
    books = MemoryLedger(clock)
    await books.apply([Credit(id="credit", account=WALLET, amount=USD, source="operator", ref="r")])
    bookings = Bookings(Weather(books, days), clock)  # type: ignore[arg-type]
    made = bookings.open(CALLER, call(id=new_id(clock.now_ms())), Plan(candidates=(), seed=1))
    told: list[str] = []

    async def serve() -> None:
        try:
            await made.hold((1_000,), unlimited=False)
            if posts:
                await made.post(candidate(), CHARGE, cost_max=None)
                told.append("charged")
        except LedgerUnavailable:
            told.append("an error")
        finally:
            await made.close()

    task = asyncio.create_task(serve())
    if cancelled_after is not None:
        asyncio.get_running_loop().call_later(cancelled_after, task.cancel)
    await asyncio.gather(task, return_exceptions=True)
    await later()
    balance = await books.balance(WALLET)
    assert balance is not None
    assert balance.debits_pending == 0
    spent = USD - balance.available
    assert spent in ((300,) if told == ["charged"] else (0,) if told or not posts else (0, 300))
    await bookings.aclose()
