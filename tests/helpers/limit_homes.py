"""The stores of counts, as the conformance suite opens them, with a clock that it moves."""

from collections.abc import Callable

from helpers.ledgers import HandClock
from tollway.domain.limit import Ask, Rate, Taken
from tollway.domain.seams import LimitStore
from tollway.limits.memory import MemoryLimits


class LimitHome:
    """Where a store lives: opens it empty, and lets its time pass."""

    store: LimitStore

    async def open(self) -> None: ...

    async def pass_time(self, seconds: float) -> None: ...

    async def close(self) -> None: ...

    async def takes(self, amount: int = 1, *rates: Rate, key: str = "k", at_once: int | None = None) -> Taken:
        return await self.store.take([Ask(key=key, amount=amount, rates=rates, at_once=at_once)])

    async def fits(self, amount: int = 1, *rates: Rate, key: str = "k", at_once: int | None = None) -> bool:
        """Takes it, if it fits."""
        return (await self.takes(amount, *rates, key=key, at_once=at_once)).short is None


class InMemory(LimitHome):
    async def open(self) -> None:
        self.clock = HandClock()
        self.store = MemoryLimits(self.clock)

    async def pass_time(self, seconds: float) -> None:
        self.clock.ms += round(seconds * 1000)


LIMIT_HOMES: dict[str, Callable[[], LimitHome]] = {"memory": InMemory}
