"""One timer for all paced answers: they are woken in slots of a millisecond, so that a thousand streams cost a thousand
calls and not a thousand timers. Knows nothing of what it wakes."""

import asyncio
import heapq
from collections.abc import Callable

SLOTS_PER_SECOND = 1_000


class Ticker:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0

    def at(self, when: float, wake: Callable[[], None]) -> None:
        """Call `wake` at loop time `when`, up to a millisecond late. It can't be taken back."""
        slot = int(when * SLOTS_PER_SECOND) + 1
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(wake)
            return
        self._slots[slot] = [wake]
        heapq.heappush(self._order, slot)
        if self._timer is None or slot < self._armed_for:
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._slots.clear()
        self._order.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self._order[0]
        self._timer = self._loop.call_at(self._armed_for / SLOTS_PER_SECOND, self._tick)

    def _tick(self) -> None:
        self._timer = None
        # A loop may call a timer a little early, by its clock's resolution: what it was armed for is due.
        now = max(int(self._loop.time() * SLOTS_PER_SECOND), self._armed_for)
        try:
            while self._order and self._order[0] <= now:
                for wake in self._slots.pop(heapq.heappop(self._order)):
                    wake()
        finally:
            if self._order and self._timer is None:
                self._arm()
