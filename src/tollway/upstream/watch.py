"""One call's alarm clock: wakes the task that serves it when a limit passes, the client leaves, the server drains.

A wait under the watch (`await watch.wait(...)`) is ended by cancelling it and raises Interrupted; outside a wait
nothing is ever interrupted, so booking a call can't be torn. One timer a call, moved lazily: setting a limit for every
event of a stream costs an assignment, not a timer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from tollway.domain.waiting import Interrupted, Limit, Reason, Stop

T = TypeVar("T")


class CallWatch:
    """domain.waiting.Watch on asyncio. Made by the task that serves the call, and closed by it."""

    __slots__ = ("_due", "_fired", "_loop", "_stop", "_task", "_timer", "_total_due", "_waiting", "_what")

    def __init__(self, total: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "a watch belongs to a task"
        self._task: asyncio.Task[Any] = task
        self._loop = asyncio.get_running_loop()
        self._total_due = self._loop.time() + total
        self._due = self._total_due
        self._what: Reason = "total"
        self._waiting = False
        self._fired: Reason | None = None  # what the current wait was cancelled for
        self._stop: Stop | None = None
        self._timer = self._loop.call_at(self._due, self._on_timer)

    def limit(self, what: Limit, seconds: float) -> None:
        """From now on, interrupt a wait when `seconds` pass; replaces the limit set before. `total` stays."""
        due = self._loop.time() + seconds
        if due < self._total_due:
            self._due, self._what = due, what
            if due < self._timer.when():
                self._arm(due)
        else:
            self.rest()

    def rest(self) -> None:
        """No limit for the moment but the call's total."""
        self._due, self._what = self._total_due, "total"

    def stop(self, reason: Stop) -> None:
        """End the current wait and every later one. The first reason stands."""
        if self._stop is None:
            self._stop = reason
            self._interrupt(reason)

    def resume(self, total: float) -> None:
        """Go on after a stop (reading on for a client that left), for `total` seconds at most from now."""
        self._stop = None
        self._total_due = self._loop.time() + total
        self.rest()
        self._arm(self._total_due)

    async def wait(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """Await under the watch. Raises Interrupted; a cancellation that isn't ours passes through."""
        if self._stop is not None:
            awaitable.close()
            raise Interrupted(self._stop)
        self._waiting = True
        try:
            return await awaitable
        except asyncio.CancelledError:
            if self._fired is None:
                raise
            fired = self._reason()
            if self._task.uncancel() > 0:
                raise  # somebody else cancelled as well: theirs wins
            raise Interrupted(fired) from None
        finally:
            self._waiting = False
            if self._fired is not None:
                # The wait swallowed the cancellation: what it gave stands, and a stop ends the next wait.
                self._fired = None
                self._task.uncancel()

    def close(self) -> None:
        self._timer.cancel()

    def _reason(self) -> Reason:
        fired, self._fired = self._fired, None
        assert fired is not None
        return self._stop or fired  # a stop that came in the same moment as a limit is the greater news

    def _interrupt(self, reason: Reason) -> None:
        if self._waiting and self._fired is None:
            self._fired = reason
            self._task.cancel()

    def _arm(self, due: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        if self._loop.time() < self._due:
            self._arm(self._due)
            return
        if self._what == "total":
            self.stop("total")
            return
        what = self._what
        self.rest()
        self._arm(self._total_due)
        self._interrupt(what)


async def watch_client(receive: Callable[[], Awaitable[Mapping[str, Any]]], watch: CallWatch) -> None:
    """Stop the call when its client leaves. `receive` is ASGI's, after the whole request was read from it."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            watch.stop("client_left")
            return
