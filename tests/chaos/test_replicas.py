"""Two routers on one PostgreSQL: killed, and the database under them, they leave books that are right; and racing for
one wallet's balance they never spend more than it has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chaos.books import PostgresBooks
from chaos.calls import ready
from chaos.replicas import KILL_DATABASE, STOP_DATABASE, Replicas
from chaos.trial import trial
from helpers.postgres import OwnServer, own_server
from helpers.until import until

SEED = 6
WORKERS_EACH = 64
CALLS_EACH = 400
FATES = ("inside_commit", KILL_DATABASE, "after_post", STOP_DATABASE)  # `make chaos` has all of them
TOP_UPS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """One that may be killed."""
    with own_server() as server:
        yield server


@pytest.fixture
async def books(server: OwnServer, tmp_path: Path) -> AsyncIterator[PostgresBooks]:
    with server.database() as database:
        yield PostgresBooks(tmp_path, server, database)


async def test_whoever_is_killed_each_call_is_booked_as_its_client_and_its_provider_saw_it(
    books: PostgresBooks, server: OwnServer
) -> None:
    async with trial(books, SEED) as made:
        replicas = Replicas(made, server)
        for fate in FATES:
            await replicas.round(fate)
        for life in replicas.lives:
            await made.stop(life)
        assert made.found.differences == []
        assert {KILL_DATABASE, STOP_DATABASE} <= made.tally.kills.keys()
        assert {"whole", "broken off, not booked", "refused"} <= made.found.calls.keys()


async def test_64_clients_of_each_of_two_routers_never_spend_more_of_one_wallet_than_it_has(
    books: PostgresBooks,
) -> None:
    async with trial(books, SEED, wallets=1) as made:
        loads, running = [], []
        lives = [await made.serving(), await made.serving()]
        for number, life in enumerate(lives):
            made.name = f"race-{number}"
            loads.append(made.load(life, kinds=("batch", "stream", "slow_batch", "failed", "left")))
            running.append(asyncio.ensure_future(loads[-1].run(WORKERS_EACH)))
        for number in range(1, TOP_UPS + 1):
            await until(
                lambda number=number: min(len(load.seen) for load in loads) >= number * CALLS_EACH // TOP_UPS, 60
            )
            await made.credits.give(books, f"top-up {number}")
        for load in loads:
            load.stopped = True
        await asyncio.gather(*running)
        await until(lambda: made.held() == 0)
        # The audit that is part of it replays every hold and post: none of them takes the balance below zero.
        await made.compare([*loads[0].seen, *loads[1].seen])
        for life in lives:
            await made.stop(life)
        assert made.found.differences == []
        for load in loads:
            assert any(seen.error == "insufficient_balance" for seen in load.seen)
            assert any(seen.whole for seen in load.seen)


@contextlib.contextmanager
def stopped(server: OwnServer) -> Iterator[None]:
    server.stop("immediate")
    try:
        yield
    finally:
        server.start()


async def test_without_its_database_a_router_does_not_start_and_says_why(
    books: PostgresBooks, server: OwnServer
) -> None:
    async with trial(books, SEED) as made:
        with stopped(server):
            life = await made.begin()
            assert not await life.serves()
            assert await life.ended == 1
            (line,) = life.said().splitlines()
            assert line.startswith("tollway: "), line
            assert "PostgreSQL" in line or "database" in line
        life = await made.serving()
        await made.stop(life)
        assert made.found.differences == []


async def test_without_its_database_a_router_sends_nothing_to_a_provider_and_goes_on_when_it_is_back(
    books: PostgresBooks, server: OwnServer
) -> None:
    async with trial(books, SEED) as made:
        made.name = "without"
        life = await made.serving()

        async def lost() -> bool:
            return not await ready(life.place)

        with stopped(server):
            await until(lost)
            turned_away = await made.turned_away(life, 10)
        await until(lambda: ready(life.place))
        load = made.load(life)
        running = asyncio.ensure_future(load.run(4))
        await load.until(20)
        load.stopped = True
        await running
        await until(lambda: made.held() == 0)
        await made.compare([*turned_away, *load.seen])
        await made.stop(life)
        assert made.found.differences == []
        assert any(seen.whole for seen in load.seen)
