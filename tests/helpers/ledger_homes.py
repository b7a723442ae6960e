"""The stores of the books, as the conformance suite opens them and opens them again."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from helpers.ledgers import WALLET, HandClock
from helpers.postgres import Server
from tollway.domain.commands import Command, Entry, Result
from tollway.domain.observer import NullObserver
from tollway.domain.seams import Ledger
from tollway.ledger.memory import MemoryLedger
from tollway.ledger.postgres.store import PostgresLedger
from tollway.ledger.sqlite.store import SqliteLedger


class Home:
    """Where a store lives: opens it, and opens it again as after a restart."""

    ledger: Ledger

    def __init__(self, folder: Path, postgres: Callable[[], Server]) -> None:
        """`postgres` starts one, or gives the one that runs."""
        self.folder = folder
        self.clock = HandClock()

    async def open(self) -> None: ...

    async def restart(self) -> None: ...

    async def close(self) -> None:
        await self.ledger.aclose()

    async def apply(self, *commands: Command) -> list[Result]:
        return await self.ledger.apply(commands)

    async def one(self, command: Command) -> Result:
        return (await self.ledger.apply([command]))[0]

    async def available(self, account: str = WALLET) -> int:
        balance = await self.ledger.balance(account)
        return balance.available if balance is not None else 0

    async def entries(self, account: str = WALLET) -> list[Entry]:
        return list((await self.ledger.statement(account, limit=1000)).entries)


class InMemory(Home):
    async def open(self) -> None:
        self.memory = MemoryLedger(self.clock)
        self.ledger = self.memory

    async def restart(self) -> None:
        self.memory.new_epoch()


class OnSqlite(Home):
    async def open(self) -> None:
        self.ledger = await SqliteLedger.open(self.folder / "books.db", self.clock, NullObserver())

    async def restart(self) -> None:
        await self.ledger.aclose()
        await self.open()


class OnPostgres(Home):
    def __init__(self, folder: Path, postgres: Callable[[], Server]) -> None:
        super().__init__(folder, postgres)
        self.stack = contextlib.ExitStack()
        self.url = self.stack.enter_context(postgres().database())

    async def open(self) -> None:
        self.ledger = await PostgresLedger.open(self.url, self.clock, NullObserver())

    async def restart(self) -> None:
        await self.ledger.aclose()
        await self.open()

    async def close(self) -> None:
        await self.ledger.aclose()
        self.stack.close()


HOMES: dict[str, type[Home]] = {"memory": InMemory, "sqlite": OnSqlite, "postgres": OnPostgres}
