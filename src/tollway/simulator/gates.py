"""Places where an answer waits until it is told to go on: barriers and lock-step. No clocks.

An answer's script yields a gate; whoever drives the script asks `wait` and, when told False, is woken later."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

GATES_MAX = 10_000  # names of each kind kept at once; the oldest is forgotten, so a long-lived process stays small

Wake = Callable[[], None]


class Gate(Protocol):
    def wait(self, wake: Wake) -> bool:
        """True: go on at once. False: `wake` will be called, once."""

    def forget(self, wake: Wake) -> None:
        """`wake` will not come any more: its client has left."""


class Threshold:
    """Wakes whoever waits for a number to be reached."""

    def __init__(self) -> None:
        self.value = 0
        self._waiting: list[tuple[int, Wake]] = []

    def set(self, value: int) -> None:
        self.value = value
        if self._waiting:
            due = [wake for count, wake in self._waiting if count <= value]
            self._waiting = [entry for entry in self._waiting if entry[0] > value]
            for wake in due:
                wake()

    def reach(self, count: int) -> "Reach":
        return Reach(self, count)

    def add(self, count: int, wake: Wake) -> None:
        self._waiting.append((count, wake))

    def discard(self, wake: Wake) -> None:
        self._waiting = [entry for entry in self._waiting if entry[1] != wake]


class Reach:
    """A gate that opens when its threshold has come to `count`."""

    def __init__(self, threshold: Threshold, count: int) -> None:
        self._threshold = threshold
        self._count = count

    def wait(self, wake: Wake) -> bool:
        if self._threshold.value >= self._count:
            return True
        self._threshold.add(self._count, wake)
        return False

    def forget(self, wake: Wake) -> None:
        self._threshold.discard(wake)


class Barrier:
    """Holds every answer that comes until it is released; from then on it is open."""

    def __init__(self) -> None:
        self.held = Threshold()
        self._open = False
        self._waiting: dict[Wake, None] = {}

    def wait(self, wake: Wake) -> bool:
        if self._open:
            return True
        self._waiting[wake] = None
        self.held.set(len(self._waiting))
        return False

    def forget(self, wake: Wake) -> None:
        self._waiting.pop(wake, None)
        self.held.set(len(self._waiting))

    def release(self, count: int | None = None) -> int:
        """Let the `count` that waited longest go and stay closed, or all and stay open. How many went."""
        self._open = self._open or count is None
        gone = list(self._waiting)[:count]
        for wake in gone:
            self._waiting.pop(wake, None)
        self.held.set(len(self._waiting))
        for wake in gone:
            wake()
        return len(gone)


class Lockstep:
    """Lets one event through for each step it is given."""

    def __init__(self) -> None:
        self.sent = Threshold()
        self._credit = 0
        self._free = False
        self._waiting: dict[Wake, None] = {}

    def wait(self, wake: Wake) -> bool:
        if self._free:
            return True
        if self._credit:
            self._credit -= 1
            return True
        self._waiting[wake] = None
        return False

    def forget(self, wake: Wake) -> None:
        self._waiting.pop(wake, None)

    def count(self, events: int) -> None:
        """That many more events have been sent."""
        self.sent.set(self.sent.value + events)

    def step(self, events: int = 1) -> None:
        self._credit += events
        while self._credit and self._waiting:
            self._credit -= 1
            self._wake_first()

    def each(self) -> int:
        """One step for each that waits, however many there are. How many went."""
        waiting = list(self._waiting)
        self._waiting.clear()
        for wake in waiting:
            wake()
        return len(waiting)

    def free(self) -> None:
        """Let everything under this name run to its end."""
        self._free = True
        while self._waiting:
            self._wake_first()

    def _wake_first(self) -> None:
        wake = next(iter(self._waiting))
        del self._waiting[wake]
        wake()


G = TypeVar("G", Barrier, Lockstep)


class Named(Generic[G]):
    """Gates of one kind by name, made when first spoken of, by whichever side."""

    def __init__(self, kind: Callable[[], G]) -> None:
        self._kind: Callable[[], G] = kind
        self._gates: dict[str, G] = {}

    def __getitem__(self, name: str) -> G:
        gate = self._gates.get(name)
        if gate is None:
            if len(self._gates) >= GATES_MAX:
                del self._gates[next(iter(self._gates))]
            gate = self._gates[name] = self._kind()
        return gate
