"""How long a disk may take over one batch. A disk that never answers (a network share that is gone, a volume that was
taken away) must not keep callers waiting for ever. Must not know what is written, or what follows."""

import asyncio
from collections.abc import Callable

COMMIT_S_MAX = 10.0  # a commit takes milliseconds; a volume that is moved, or a host that swaps, takes seconds


class Patience:
    """One timer for all batches, moved lazily: a commit costs an assignment, not a timer. `lost` is called once for
    each batch that takes longer."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, lost: Callable[[], None], seconds: float = COMMIT_S_MAX
    ) -> None:
        self._loop = loop
        self._lost = lost
        self._seconds = seconds
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """A batch has been handed over; there is one at a time."""
        self._due = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)

    def end(self) -> None:
        """It has come back."""
        self._due = None

    def close(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
            return
        self._due = None
        self._lost()
