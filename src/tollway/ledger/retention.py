"""Lets go of call records that are older than the operator keeps them: a few at a time, beside whatever is booked.

Knows when and how many, not how a store does it. What moved money is never let go of.
"""

import asyncio
from typing import Protocol

from tollway.domain.clock import Clock
from tollway.domain.errors import LedgerUnavailable

STEP_CALLS = 500  # a few milliseconds of the disk's time, which bookings wait for
STEP_PAUSE_S = 0.5  # between full steps: a thousand records a second, far more than come for long
LOOK_EVERY_S = 60.0


class Prunable(Protocol):
    async def prune(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` records of calls that ended before then, the oldest first, and say how many there were.
        Raises LedgerUnavailable."""


class Retention:
    """Runs from `start` to `aclose`, which must be awaited in the same event loop."""

    def __init__(self, ledger: Prunable, clock: Clock, keep_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._keep_ms = round(keep_s * 1000)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def step(self) -> bool:
        """Whether there may be more to remove."""
        try:
            removed = await self._ledger.prune(self._clock.now_ms() - self._keep_ms, STEP_CALLS)
        except LedgerUnavailable:  # the ledger tells of it itself
            return False
        return removed == STEP_CALLS

    async def _run(self) -> None:
        while True:
            more = await self.step()
            await asyncio.sleep(STEP_PAUSE_S if more else LOOK_EVERY_S)
