"""One call's alarm clock: wakes the task that serves it when a limit passes, the client leaves, the server drains.

A wait under the watch (`await watch.wait(...)`) is ended by cancelling it and raises Interrupted; outside a wait
nothing is ever interrupted, so booking a call can't be torn. Setting a limit for every event of a stream costs an
assignment, not a timer: all calls are looked at once a second, and one whose limit comes before the next look has a
timer for it. So most calls end without ever having one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from math import inf
from types import TracebackType
from typing import Any, TypeVar

from tollway.domain.waiting import Interrupted, Limit, Reason, Stop

T = TypeVar("T")

LOOK_S = 1.0  # from one look at all calls to the next: 10,000 cost about a millisecond


class CallWatch:
    """domain.waiting.Watch on asyncio. Made by the task that serves the call, and closed by it."""

    __slots__ = (
        "_due",
        "_fired",
        "_looked_at",
        "_loop",
        "_stop",
        "_task",
        "_timer",
        "_total_due",
        "_waiting",
        "_what",
    )

    def __init__(self, total: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop` is the running one, of whoever knows it: to find it asks the system for the process's id."""
        self._loop = loop = loop or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a watch belongs to a task"
        self._task: asyncio.Task[Any] = task
        self._total_due = self._loop.time() + total
        self._due = self._total_due
        self._what: Reason = "total"
        self._waiting = False
        self._fired: Reason | None = None  # what the current wait was cancelled for
        self._stop: Stop | None = None
        # When the limit is looked at again, by a timer or by CallsInFlight: what passes before needs a timer. That
        # costs more than all the rest here, so one that is armed for earlier than need be is left to find that out when
        # it fires. (uvloop's handle of a timer that is due at once doesn't know its time, so it is kept here.)
        self._looked_at = inf
        self._timer: asyncio.Handle | None = None

    def limit(self, what: Limit, seconds: float) -> None:
        """From now on, interrupt a wait when `seconds` pass; replaces the limit set before. `total` stays."""
        due = self._loop.time() + seconds
        if due < self._total_due:
            self._due, self._what = due, what
            if due < self._looked_at:
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

    def extend(self, total: float) -> None:
        """The call may take `total` seconds from now. A stop stays a stop."""
        self._total_due = self._loop.time() + total
        self.rest()
        if self._due < self._looked_at:
            self._arm(self._due)

    def resume(self, total: float) -> None:
        """Go on after a stop (reading on for a client that left), for `total` seconds at most from now."""
        self._stop = None
        self.extend(total)

    def overtime(self, seconds: float) -> None:
        """Let the last words be said: neither the call's total nor a drain stands against them for `seconds` from now.
        A client that left stays gone."""
        if self._stop != "client_left":
            self.resume(seconds)

    async def wait(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """Await under the watch. Raises Interrupted; a cancellation that isn't ours passes through."""
        assert not self._waiting, "a call waits for one thing at a time"
        if self._stop is not None:
            awaitable.close()
            raise Interrupted(self._stop)
        if self._due < self._looked_at:
            self._arm(self._due)
        self._waiting = True
        others = self._task.cancelling()  # cancellations that were there before and are not ours to judge
        try:
            return await awaitable
        except asyncio.CancelledError:
            fired, self._fired = self._fired, None
            if fired is None or self._task.uncancel() > others:
                raise  # somebody else cancelled, perhaps as well: theirs wins
            raise Interrupted(self._greater(fired)) from None
        finally:
            self._waiting = False
            if self._fired is not None:
                # What was waited for took the cancellation for itself: what it gave stands, a stop ends the next wait.
                self._fired = None
                self._task.uncancel()

    def look(self, following: float) -> None:
        """It is looked at now, and at `following` again."""
        if self._timer is not None:
            return
        if self._due < following and self._stop is None:
            self._arm(self._due)
        else:
            self._looked_at = following

    def close(self) -> None:
        self._looked_at = -inf  # no timer from now on
        if self._timer is not None:
            self._timer.cancel()

    def _greater(self, fired: Reason) -> Reason:
        """A stop that came in the same moment as a limit says more."""
        return self._stop or fired

    def _interrupt(self, reason: Reason) -> None:
        # A task that is running can't be woken: cancelling it now would end whatever it awaits after this wait.
        if self._waiting and self._fired is None and asyncio.current_task() is not self._task:
            self._fired = reason
            self._task.cancel()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looked_at = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        if self._loop.time() < self._due:
            self._arm(self._due)
            return
        if self._what == "total":
            self._timer, self._looked_at = None, inf  # what is left to be said, if anything, arms another
            self.stop("total")
            return
        what = self._what
        self.rest()
        self._arm(self._total_due)
        self._interrupt(what)


class InFlight(CallWatch):
    """The watch of a call that counts among those under way while its context lasts."""

    __slots__ = ("_calls",)

    def __init__(self, calls: "CallsInFlight", total: float) -> None:
        super().__init__(total, calls.loop)
        self._calls = calls

    def __enter__(self) -> CallWatch:
        calls = self._calls
        calls.watches.add(self)
        if calls.next_look == inf:
            calls.look()
        else:
            self._looked_at = calls.next_look
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        calls = self._calls
        calls.watches.discard(self)
        if calls.none is not None and not calls.watches:
            calls.none.set()
            calls.none = None


class CallsInFlight:
    """The watches of all calls under way: counted, looked at, cut, waited for. Belongs to the loop of the first."""

    def __init__(self) -> None:
        self.watches: set[CallWatch] = set()
        self.next_look = inf  # inf: there are no calls
        self.loop: asyncio.AbstractEventLoop | None = None  # once there was a call
        self.none: asyncio.Event | None = None  # for whoever waits until there is none

    def __len__(self) -> int:
        return len(self.watches)

    def __iter__(self) -> Iterator[CallWatch]:
        return iter(self.watches)

    def enter(self, total: float) -> InFlight:
        """A context in which the call that the running task serves is under way: its watch, for `total` seconds unless
        they are extended."""
        return InFlight(self, total)

    def look(self) -> None:
        """See whose limit comes soon, now and once a second as long as there are calls."""
        if not self.watches:
            self.next_look = inf
            return
        self.loop = loop = asyncio.get_running_loop()
        self.next_look = loop.time() + LOOK_S
        loop.call_at(self.next_look, self.look)
        for watch in self.watches:
            watch.look(self.next_look)

    async def idle(self, seconds: float) -> bool:
        """Wait until there is none, `seconds` at the most; whether it came to that."""
        if self.watches:
            none = self.none = self.none or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(none.wait(), seconds)
        return not self.watches


class AsgiClient:
    """domain.waiting.Client over ASGI's `receive`, under servers that say no other way when a client leaves."""

    def __init__(self, receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._receive = receive
        self._tell: Callable[[], None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self.left = False

    def write(self, data: bytes) -> bool:
        return False

    def listen(self) -> None:
        if self._listening is None:
            self._listening = asyncio.ensure_future(self._listen())

    def when_left(self, tell: Callable[[], None] | None) -> None:
        self._tell = tell
        if self.left and tell is not None:
            tell()

    def close(self) -> None:
        self._tell = None
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if self._tell is not None:
            self._tell()
