"""What a wait can be ended by, and the clock that ends it: shared by whoever waits for a provider or for a client."""

from collections.abc import Callable, Coroutine
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")

Limit = Literal["first_byte", "idle", "batch", "usage_grace", "linger", "slow_reader", "retry_after"]
Stop = Literal["total", "client_left", "drain"]
Reason = Limit | Stop


class Interrupted(Exception):
    """A wait was ended from outside; `reason` says by what."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Client(Protocol):
    """Whoever waits for an answer, once its request has been read."""

    @property
    def left(self) -> bool:
        """It is gone, and its answer isn't complete."""

    def write(self, data: bytes) -> bool:
        """Send it more of a stream at once; False where that needs waiting, or is not known: then it is for `send`."""

    def listen(self) -> None:
        """From now on it is noticed when the client leaves."""

    def when_left(self, tell: Callable[[], None] | None) -> None:
        """`tell` is called once when it leaves; at once if it has left."""

    def close(self) -> None:
        """Nobody is interested any more."""


class ClientWatch(Protocol):
    """What a wait for a client needs of a watch."""

    async def wait(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """Await under the watch. Raises Interrupted; a cancellation that isn't ours passes through."""

    def limit(self, what: Limit, seconds: float) -> None:
        """From now on, interrupt a wait when `seconds` pass; replaces the limit set before. The call's total stays."""

    def stop(self, reason: Stop) -> None:
        """End the current wait and every later one. The first reason stands."""


class Watch(ClientWatch, Protocol):
    """One call's alarm clock. A limit belongs to what is being waited for and is forgotten once it has passed; a stop
    is for the call: every wait after it raises, until `resume`."""

    def rest(self) -> None:
        """No limit for the moment but the call's total."""

    def extend(self, total: float) -> None:
        """The call may take `total` seconds from now. A stop stays a stop."""

    def resume(self, total: float) -> None:
        """Go on after a stop (reading on for a client that left), for `total` seconds at most from now."""

    def overtime(self, seconds: float) -> None:
        """Let the last words be said: neither the call's total nor a drain stands against them for `seconds` from now.
        A client that left stays gone."""
