"""Commands, clocks and observers for tests of the books."""

import asyncio
from typing import Any

import msgspec

from tollway.domain.commands import BurnNonce, Credit, Frozen, Hold, Pay, Post, Reverse, SetFrozen, Void
from tollway.domain.ids import new_id
from tollway.domain.observer import NullObserver
from tollway.domain.record import CallRecord

USD = 1_000_000_000  # nano-USD
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
WALLET = "eip155:0x" + "ab" * 20
OTHER = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:" + "4" * 44


class HandClock:
    """Time that moves when a test says so."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


class WatchingObserver(NullObserver):
    """Keeps the alarms, and lets a test wait for one."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, str]] = []
        self.commits: list[int] = []
        self._heard: asyncio.Event = asyncio.Event()

    def alarm(self, what: str, detail: str) -> None:
        self.alarms.append((what, detail))
        self._heard.set()

    def committed(self, commands: int, seconds: float) -> None:
        self.commits.append(commands)

    async def until(self, what: str, limit_s: float = 10) -> None:
        """Wait for the alarm `what`, or return at once when it has been raised."""
        async with asyncio.timeout(limit_s):
            while what not in (name for name, _ in self.alarms):
                self._heard.clear()
                await self._heard.wait()


def fresh_id(now_ms: int = START_MS) -> str:
    return new_id(now_ms)


def record(id: str, account: str = WALLET, **fields: Any) -> CallRecord:
    whole = CallRecord(
        id=id,
        account=account,
        created_ms=START_MS,
        ended_ms=START_MS + 900,
        model_asked="gpt-4o",
        stream=True,
        ended="complete",
        delivery="complete",
    )
    return msgspec.structs.replace(whole, **fields)


def credit(amount: int, account: str = WALLET, *, id: str | None = None, **fields: Any) -> Credit:
    return Credit(
        id=id or "credit-" + fresh_id(),
        account=account,
        amount=amount,
        source=fields.pop("source", "operator"),
        ref=fields.pop("ref", "invoice 1"),
        **fields,
    )


def hold(*bounds: int, account: str = WALLET, id: str | None = None, **fields: Any) -> Hold:
    return Hold(id=id or fresh_id(), account=account, bounds=bounds, **fields)


def post(id: str, price: int, cost: int = 0, *, provider: str = "openai", **fields: Any) -> Post:
    return Post(
        id=id,
        price=price,
        cost=cost,
        provider=provider,
        over_max=fields.pop("over_max", None),
        record=fields.pop("record", None) or record(id, **fields),
    )


def void(id: str, **fields: Any) -> Void:
    return Void(id=id, record=record(id, **fields))


def burn(nonce: str, account: str = WALLET, *, expires_ms: int = START_MS + 300_000) -> BurnNonce:
    return BurnNonce(account=account, nonce=nonce, expires_ms=expires_ms)


def reverse(id: str, why: str = "booked by mistake", **fields: Any) -> Reverse:
    return Reverse(id=id, why=why, **fields)


def pay(amount: int, provider: str = "openai", *, id: str | None = None, **fields: Any) -> Pay:
    return Pay(
        id=id or "pay-" + fresh_id(),
        provider=provider,
        amount=amount,
        source=fields.pop("source", "operator"),
        ref=fields.pop("ref", "transfer 1"),
        **fields,
    )


def freeze(account: str = WALLET, *, why: str = "stolen key") -> SetFrozen:
    return SetFrozen(account=account, frozen=Frozen(since_ms=START_MS, by="root", why=why))


def unfreeze(account: str = WALLET) -> SetFrozen:
    return SetFrozen(account=account, frozen=None)
