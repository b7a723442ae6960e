"""One rate's count: what was taken in the last period, in sixty slots. Pure; must not know whose count it is.

Theory. Time is cut into slots of a sixtieth of the period. A slot counts until the whole of it is more than a period
old, so everything that was taken within a period of now is in the sum, and a little more: no period, wherever it
begins, holds more than is allowed. Sixty small numbers do that for any rate, where a list of takers would grow with it.
"""

from collections import deque

SLOTS = 60
NS = 1_000_000_000


class Window:
    """Times in whole nanoseconds, which never go back."""

    __slots__ = ("_slots", "_width", "used")

    def __init__(self, period_s: int) -> None:
        self._width = -(-period_s * NS // SLOTS)
        self._slots: deque[list[int]] = deque()  # [slot, amount], the oldest first
        self.used = 0

    def pass_to(self, now: int) -> None:
        """Forget what is more than a period old."""
        slots = self._slots
        if slots:
            last = now // self._width - SLOTS
            while slots and slots[0][0] < last:
                self.used -= slots.popleft()[1]

    def add(self, now: int, amount: int) -> None:
        slot = now // self._width
        slots = self._slots
        if slots and slots[-1][0] == slot:
            slots[-1][1] += amount
        else:
            slots.append([slot, amount])
        self.used += amount

    def change(self, at: int, by: int) -> None:
        """What was taken at `at` came to `by` more (or less). Nothing, once that is forgotten."""
        slot = at // self._width
        for entry in reversed(self._slots):
            if entry[0] <= slot:
                if entry[0] == slot:
                    by = max(by, -entry[1])
                    entry[1] += by
                    self.used += by
                return

    def wait(self, now: int, room: int) -> int:
        """Nanoseconds until at most `room` are used, if nobody takes any more; 0 when it is so now."""
        left = self.used
        if left <= room:
            return 0
        for slot, amount in self._slots:
            left -= amount
            if left <= room:
                return self._ends(slot) - now
        return SLOTS * self._width  # less room than none: only a rate that lets nothing pass has it

    def whole(self, now: int) -> int:
        """Nanoseconds until nothing is used."""
        return self._ends(self._slots[-1][0]) - now if self._slots else 0

    def _ends(self, slot: int) -> int:
        return (slot + SLOTS + 1) * self._width
