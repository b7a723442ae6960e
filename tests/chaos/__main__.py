"""`make chaos`: kills routers until it has had enough, and says what it found. Exits 1 when anything differs."""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaos.books import PostgresBooks, SqliteBooks
from chaos.history import one_round
from chaos.replicas import Replicas
from chaos.trial import Tally, trial
from helpers.postgres import own_server

KILLS = 220
REPLICA_KILLS = 42
KILLS_ON_ONE_BOOKS = 44  # then new ones: each kill is compared with all that is in the books

Round = Callable[[], Awaitable[None]]


@dataclass
class Run:
    draw: random.Random
    end_s: float
    tally: Tally = field(default_factory=Tally)

    async def some(
        self, what: str, kills: int, begin: Callable[["Run", Path], "contextlib.AbstractAsyncContextManager[Round]"]
    ) -> None:
        """So many kills more, on new books now and then."""
        enough = self.tally.kills.total() + kills
        while self.tally.kills.total() < enough and time.monotonic() < self.end_s:
            with tempfile.TemporaryDirectory(prefix="tollway-chaos-") as folder:
                async with begin(self, Path(folder)) as one:
                    on_next_books = self.tally.kills.total() + KILLS_ON_ONE_BOOKS
                    while self.tally.kills.total() < min(enough, on_next_books) and time.monotonic() < self.end_s:
                        await one()
            done, calls = self.tally.kills.total(), self.tally.found.calls.total()
            print(f"  {what}: {done} kills, {calls} calls so far", flush=True)

    def seed(self) -> int:
        return self.draw.randrange(1 << 30)


@contextlib.asynccontextmanager
async def on_sqlite(run: Run, folder: Path) -> AsyncIterator[Round]:
    async with trial(SqliteBooks(folder), run.seed(), run.tally) as made:
        yield lambda: one_round(made)


@contextlib.asynccontextmanager
async def on_postgres(run: Run, folder: Path) -> AsyncIterator[Round]:
    with own_server() as server, server.database() as database:
        async with trial(PostgresBooks(folder, server, database), run.seed(), run.tally) as made:
            replicas = Replicas(made, server)
            yield replicas.round
            for life in replicas.lives:
                await made.stop(life)


async def everything(kills: int, replica_kills: int, seconds: float, seed: int) -> int:
    """How many differences were found."""
    limit = f", {seconds:g} s at the most" if seconds else ""
    print(f"seed {seed}: {kills} kills on SQLite, {replica_kills} on PostgreSQL{limit}", flush=True)
    run = Run(random.Random(seed), time.monotonic() + (seconds or float("inf")))
    await run.some("one router on SQLite", kills, on_sqlite)
    try:
        await run.some("two routers on one PostgreSQL", replica_kills, on_postgres)
    except pytest.skip.Exception as lacking:
        print(f"  two routers on one PostgreSQL: left out, {lacking}")
    for line in run.tally.lines():
        print(line)
    return len(run.tally.found.differences)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help="of one router on SQLite")
    parser.add_argument(
        "--replica-kills", type=int, default=REPLICA_KILLS, help="of two routers on one PostgreSQL, and of that"
    )
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so many, whatever is left; 0: never")
    parser.add_argument("--seed", type=int, default=None, help="draws the same calls, steps and moments again")
    given = parser.parse_args()
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    found = asyncio.run(everything(given.kills, given.replica_kills, given.seconds, seed))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
