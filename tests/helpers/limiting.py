"""Counts, wallets, doors and gates over a clock that a test moves."""

from contextlib import closing
from typing import Any

from helpers.ledgers import HandClock
from tollway.domain.errors import LimitsUnavailable
from tollway.domain.limit import Rate
from tollway.domain.observer import Limited, NullObserver
from tollway.limits.addresses import Door
from tollway.limits.allowances import Allowance, Allowances
from tollway.limits.counts import Counts
from tollway.limits.limiter import WhenLost
from tollway.limits.memory import MemoryLimits
from tollway.limits.providers import Gate
from tollway.limits.wallets import Share, Wallets

MINUTE = 60
WALLET = "eip155:0x" + "ab" * 20


def a_minute(*most: int) -> tuple[Rate, ...]:
    return tuple(Rate(count, MINUTE * (1 + 59 * place)) for place, count in enumerate(most))


class CountingObserver(NullObserver):
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.passed: list[str] = []  # uncounted

    def limited(self, who: Limited, kind: str, provider: str = "") -> None:
        self.said.append((who, kind, provider))

    def uncounted(self, who: Limited) -> None:
        self.passed.append(who)


class LostStore:
    """A store that can't be asked."""

    async def take(self, asks: Any) -> Any:
        raise LimitsUnavailable("gone")

    look = take

    def settle(self, taken: Any, amounts: Any) -> None:
        raise AssertionError("nothing was taken")

    def leave(self, taken: Any) -> None:
        raise AssertionError("nothing was taken")


class Reply:
    """What of an answer a wallet's share needs."""

    def __init__(self) -> None:
        self.added: Any = tuple

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.added()}


class Limiting:
    """What one process counts; `door`, `wallets` and `gate` are of one configuration each."""

    def __init__(self, *, lost: WhenLost | None = None) -> None:
        self.clock = HandClock()
        self.observer = CountingObserver()
        self.store = MemoryLimits(self.clock)
        self.addresses = MemoryLimits(self.clock)
        if lost is None:
            self.counts = Counts(self.store, self.addresses, self.observer)
        else:
            self.counts = Counts(LostStore(), LostStore(), self.observer, lost)

    def pass_time(self, seconds: float) -> None:
        self.clock.ms += round(seconds * 1000)

    def wallets(self, **wallet: Any) -> Wallets:
        own = {name: wallet.pop(name) for name in ("accounts", "reads") if name in wallet}
        return Wallets(self.counts, Allowances(wallet=Allowance(**wallet), **own))

    def share(self, reply: Reply | None = None, account: str = WALLET, **wallet: Any) -> closing[Share]:
        return closing(self.wallets(**wallet).share(account, reply or Reply()))

    def door(self, **allowances: Any) -> Door:
        return Door(self.counts, Allowances(**allowances))

    def gate(self, provider: str = "p", **allowance: Any) -> Gate:
        return Gate(self.counts, provider, Allowance(**allowance))
