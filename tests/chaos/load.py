"""Clients of several wallets that call without a pause, until they are told to stop or nobody listens any more."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence

from chaos.calls import KINDS, SIGN_IN_URL, Kind, Seen, call, draw_call
from helpers.until import until
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet, account_id

SIGN_IN_S = 3000.0
Place = tuple[str, int]


class Wallets:
    """Who calls. The last one is poor: it runs out of credit again and again."""

    def __init__(self, count: int) -> None:
        self.all: list[Wallet] = [SolanaWallet.new() if number % 2 else EvmWallet.new() for number in range(count)]
        self.accounts = [account_id(wallet) for wallet in self.all]
        self._signed: list[str] = []
        self._until_s = 0.0

    def sign_ins(self) -> list[str]:
        if time.monotonic() > self._until_s:
            now_ms = time.time_ns() // 1_000_000
            self._signed = [sign_in_header(wallet, SIGN_IN_URL, SIGN_IN_S, now_ms) for wallet in self.all]
            self._until_s = time.monotonic() + SIGN_IN_S / 2
        return self._signed


class Load:
    """`seen` is every call that has ended, in the order of their ends."""

    def __init__(
        self,
        name: str,
        wallets: Wallets,
        places: Callable[[], Sequence[Place]],
        draw: random.Random,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self.seen: list[Seen] = []
        self.stopped = False
        self._name = name
        self._wallets = wallets
        self._places = places
        self._draw = draw
        self._kinds = kinds
        self._count = 0

    async def work(self) -> None:
        """One client. It ends when it is told to stop, or when no router listens."""
        while not self.stopped:
            places = self._places()
            if not places:
                return
            self._count += 1
            asked = draw_call(self._draw, f"{self._name}-{self._count}", len(self._wallets.all), self._kinds)
            sign_in = self._wallets.sign_ins()[asked.wallet]
            seen = await call(self._draw.choice(places), sign_in, asked)
            if seen.refused and len(places) == 1:
                return
            if not seen.refused:
                self.seen.append(seen)

    async def until(self, calls: int) -> None:
        """Return when so many have ended."""
        await until(lambda: len(self.seen) >= calls, 60)

    async def run(self, workers: int) -> None:
        """All of them, to their end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self.work())
