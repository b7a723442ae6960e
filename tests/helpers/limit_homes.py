"""The stores of counts, as the conformance suite opens them, with a clock that it moves."""

from collections.abc import Callable

from helpers.ledgers import HandClock
from helpers.valkey import Valkey
from tollway.cluster.limits import ValkeyLimits
from tollway.cluster.link import Link
from tollway.domain.limit import Ask, Rate, Taken
from tollway.domain.observer import NullObserver
from tollway.domain.seams import LimitStore
from tollway.limits.memory import MemoryLimits


class LimitHome:
    """Where a store lives: opens it empty, and lets its time pass."""

    store: LimitStore

    def __init__(self, valkey: Callable[[], Valkey]) -> None:
        """`valkey` starts one, or gives the one that runs."""
        self.clock = HandClock()

    async def open(self) -> None: ...

    async def pass_time(self, seconds: float) -> None:
        self.clock.ms += round(seconds * 1000)

    async def close(self) -> None: ...

    async def takes(self, amount: int = 1, *rates: Rate, key: str = "k", at_once: int | None = None) -> Taken:
        return await self.store.take([Ask(key=key, amount=amount, rates=rates, at_once=at_once)])

    async def fits(self, amount: int = 1, *rates: Rate, key: str = "k", at_once: int | None = None) -> bool:
        """Takes it, if it fits."""
        return (await self.takes(amount, *rates, key=key, at_once=at_once)).short is None


class Loud(NullObserver):
    """A store that is lost in the middle of a test says why."""

    def alarm(self, what: str, detail: str) -> None:
        print(what, detail)


class InMemory(LimitHome):
    async def open(self) -> None:
        self.store = MemoryLimits(self.clock)


class InValkey(LimitHome):
    def __init__(self, valkey: Callable[[], Valkey]) -> None:
        super().__init__(valkey)
        self.server = valkey()

    async def open(self) -> None:
        self.server.empty()
        self.link = Link(self.server.url, None, Loud(), now_us=lambda: self.clock.ms * 1000, answer_s=30)
        self.store = ValkeyLimits(self.link)
        await self.link.open()

    async def close(self) -> None:
        await self.link.aclose()


LIMIT_HOMES: dict[str, type[LimitHome]] = {"memory": InMemory, "valkey": InValkey}
