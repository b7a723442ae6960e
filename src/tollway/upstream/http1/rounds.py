"""How much of running streams one round of the event loop hands over before whatever else is ready has its turn.

A round reads from every socket that has something. Where that is hundreds of streams, an event of each was handed over
before anything else: whoever had just come, a request, an answer's head, a first token, waited for all of them, and
three or four times over. So a round hands over a few, and what came beside them waits for the rounds that follow: in
the order in which it came, an event at most a few milliseconds, and more of one stream together.
"""

import asyncio
from collections import deque
from typing import Protocol

HANDED_OVER_MAX = 8  # pieces a round, of streams under way: about a third of a millisecond


class Late(Protocol):
    """A stream of which something has come."""

    def hand_over(self) -> None: ...


class Rounds:
    """One a transport. `room` is what this round still hands over."""

    __slots__ = ("_late", "_loop", "_under_way", "room")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.room = 0
        self._under_way = False
        self._loop = loop
        self._late: deque[Late] = deque()

    def later(self, stream: Late) -> bool:
        """There is no room: whether `stream` has to wait for it. It need not when a round begins with it."""
        if self._under_way:
            self._late.append(stream)
            return True
        self._under_way = True
        self.room = HANDED_OVER_MAX - 1
        self._loop.call_soon(self._next)
        return False

    def _next(self) -> None:
        late = self._late
        self.room = 0  # whatever comes now is behind those that wait
        if not late:
            self._under_way = False
            return
        self._loop.call_soon(self._next)
        for _ in range(min(len(late), HANDED_OVER_MAX)):
            late.popleft().hand_over()
