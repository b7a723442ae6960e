"""Whoever counts asks here: a store that can't say is a yes or a no, as configured. Must not know what is counted."""

from collections.abc import Callable, Sequence
from typing import Literal

from tollway.domain.errors import LimitsUnavailable, Overloaded
from tollway.domain.limit import Ask, Taken
from tollway.domain.observer import Limited, Observer
from tollway.domain.seams import LimitStore

WhenLost = Literal["open", "closed"]

LOST_RETRY_MS = 1_000


class Limiter:
    """`when_lost`: what is said while the store can't be asked: "open" lets everything pass uncounted, "closed"
    refuses with a 503."""

    def __init__(self, store: LimitStore, who: Limited, observer: Observer, when_lost: WhenLost = "closed") -> None:
        """`who` is counted, which is all that a limiter says of it."""
        self._store = store
        self._who = who
        self._observer = observer
        self._when_lost = when_lost
        # Both are the store's own, which never raises there: no step between.
        self.settle: Callable[[Taken, Sequence[int]], None] = store.settle
        self.leave: Callable[[Taken], None] = store.leave

    async def take(self, asks: Sequence[Ask]) -> Taken | None:
        """None: it passes, and there is nothing to settle or leave. Raises Overloaded."""
        try:
            return await self._store.take(asks)
        except LimitsUnavailable:
            self._lost()
            self._observer.uncounted(self._who)
            return None

    async def look(self, asks: Sequence[Ask]) -> Taken | None:
        """As `take`, without taking."""
        try:
            return await self._store.look(asks)
        except LimitsUnavailable:
            self._lost()
            return None

    def _lost(self) -> None:
        if self._when_lost == "closed":
            raise Overloaded(
                "Whether a limit is reached can't be told at the moment: try again.", retry_after_ms=LOST_RETRY_MS
            )
