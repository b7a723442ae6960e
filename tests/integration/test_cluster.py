"""Two routers and one Valkey: they count limits together, hear of each other's providers, and lose nothing with it."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from helpers.refusals import refused
from helpers.replayed import replayed
from helpers.running import Running, chat, running
from helpers.settled import check_books, settled
from helpers.until import until
from helpers.valkey import Valkey, running_valkey
from tollway.client.wallet import SolanaWallet, Wallet
from tollway.cluster import link, shared
from tollway.simulator import parse_scenario


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PROBE_S", 0.02)
    monkeypatch.setattr(shared, "BEAT_S", 0.02)
    monkeypatch.setattr(shared, "BEATS_A_RENEWAL", 1)


@pytest.fixture
def server(valkey: Callable[[], Valkey]) -> Valkey:
    found = valkey()
    found.empty()
    return found


@pytest.fixture
def own() -> Iterator[Valkey]:
    """A Valkey that the test may kill."""
    with running_valkey() as server:
        yield server


@contextlib.asynccontextmanager
async def two(server: Valkey, limits: str = "", cluster: str = "", **options: object) -> AsyncIterator[list[Running]]:
    config = f'[cluster]\nurl = "{server.url}"\n{cluster}\n[limits]\n{limits}\n'
    async with (
        running(config=config, **options) as one,  # type: ignore[arg-type]
        running(config=config, **options) as other,  # type: ignore[arg-type]
    ):
        yield [one, other]


async def wallet_of(routers: list[Running]) -> Wallet:
    """One wallet with credit at each: their books are their own here."""
    wallet = SolanaWallet.new()
    for router in routers:
        await router.credit(wallet, "1.00")
    return wallet


async def said(router: Running) -> None:
    """Whatever it had to say to Valkey has been said: it is asked after all that."""
    await router.router.services.pipeline.snapshot.wallets._counts.limiter.look([])


def lost(router: Running) -> bool:
    return b"tollway_cluster_lost 1.0" in router.router.metrics.text()


def alarms(router: Running, name: str) -> int:
    found = re.search(rf'tollway_alarms_total{{alarm="{name}"}} (\d+)', router.router.metrics.text().decode())
    assert found is not None
    return int(found[1])


# --- limits


async def test_a_wallet_has_its_requests_once_over_all_routers(server: Valkey) -> None:
    async with two(server, 'requests = "7/min"') as routers:
        wallet = await wallet_of(routers)
        answers = await asyncio.gather(*(router.post(wallet, chat()) for router in routers for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [429] * 13
        left = {int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers if answer.is_success}
        assert left == set(range(7))
        refused(await routers[0].post(wallet, chat()), 429, "rate_limited", says="(7/min): try")


async def test_tokens_that_one_router_metered_are_gone_at_the_other(server: Valkey) -> None:
    async with two(server, 'tokens = "1000/min"', scenarios={"sim": "tokens=5&prompt_tokens=20"}) as routers:
        wallet = await wallet_of(routers)
        answer = await routers[0].post(wallet, chat(max_tokens=300))
        await settled(routers[0], wallet, answer.headers["x-request-id"])
        answer = await routers[1].post(wallet, chat(max_tokens=300))
        guess = int(answer.headers["x-ratelimit-remaining-tokens"])
        assert 600 < guess < 1000 - 25 - 300 + 1


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_calls_under_way_count_at_every_router_and_their_places_come_back(server: Valkey, stream: bool) -> None:
    async with two(server, "concurrency = 2", scenarios={"sim": "tokens=5&prompt_tokens=20&barrier=b"}) as routers:
        wallet = await wallet_of(routers)
        calls = [asyncio.ensure_future(router.post(wallet, chat(stream=stream))) for router in routers]
        for router in routers:
            await router.simulator.waiting("b", 1)
        for router in routers:
            refused(await router.post(wallet, chat(stream=stream)), 429, "rate_limited", says="calls at once (2)")
        for router in routers:
            router.simulator.release("b")
        assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200, 200]
        for router in routers:
            assert (await router.post(wallet, chat(stream=stream))).status_code == 200


# --- health


async def test_a_provider_that_failed_at_one_router_comes_last_at_the_other_and_the_record_replays(
    server: Valkey,
) -> None:
    scenarios = {"a": "tokens=5&prompt_tokens=20", "b": "tokens=5&prompt_tokens=20"}
    async with two(server, scenarios=scenarios) as routers:
        wallet = await wallet_of(routers)
        body = chat(provider={"only": ["a"]})
        routers[0].simulators["a"].scenario = parse_scenario("status=500")
        assert (await routers[0].post(wallet, body)).status_code == 502
        view = routers[1].router.services.health.view
        await until(lambda: view().get("a:sim/model") == "troubled")
        answer = await routers[1].post(wallet, chat())
        assert answer.headers["x-tollway-provider"] == "b"
        call = await settled(routers[1], wallet, answer.headers["x-request-id"])
        verdicts = {verdict["candidate"]: verdict for verdict in call["route"]["verdicts"]}
        assert (verdicts["a:sim/model"]["standing"], verdicts["a:sim/model"]["rank"]) == ("troubled", 2)
        assert replayed(routers[1], call)
        # The other's own success, of an attempt that began later, ends it everywhere.
        assert (await routers[1].post(wallet, body)).status_code == 200
        await until(lambda: all(r.router.services.health.view().get("a:sim/model") is None for r in routers))


# --- without it


@pytest.mark.parametrize("how", ["open", "closed"])
async def test_a_lost_valkey_is_said_once_costs_nobody_money_and_is_found_again(
    own: Valkey, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with two(own, 'requests = "3/min"', f'limits_when_lost = "{how}"') as routers:
        wallet = await wallet_of(routers)
        assert (await routers[0].post(wallet, chat())).status_code == 200
        own.kill()
        await until(lambda: all(map(lost, routers)))
        for router in routers:
            for _ in range(6):
                answer = await router.post(wallet, chat())
                if how == "open":
                    assert answer.status_code == 200
                    assert "x-ratelimit-limit-requests" not in answer.headers
                else:
                    refused(answer, 503, "overloaded", says="can't be told")
                    assert answer.headers["x-should-retry"] == "true"
        own.start()
        await until(lambda: not any(map(lost, routers)))
        answers = [await router.post(wallet, chat()) for router in routers for _ in range(3)]
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 3
        for router in routers:
            assert await router.router.services.pipeline.idle(10)
            await check_books(router)
            assert (alarms(router, "cluster_lost"), alarms(router, "cluster_recovered")) == (1, 1)
    assert [record.levelname for record in caplog.records].count("WARNING") == 4  # of each router, both


async def test_a_call_that_was_under_way_when_valkey_died_keeps_its_place_and_gives_it_back(own: Valkey) -> None:
    async with two(own, "concurrency = 1", scenarios={"sim": "tokens=5&prompt_tokens=20&barrier=b"}) as routers:
        wallet = await wallet_of(routers)
        call = asyncio.ensure_future(routers[0].post(wallet, chat()))
        await routers[0].simulator.waiting("b", 1)
        own.kill()
        await until(lambda: all(map(lost, routers)))
        own.start()
        await until(lambda: not any(map(lost, routers)))
        await said(routers[0])
        refused(await routers[1].post(wallet, chat()), 429, "rate_limited")
        for router in routers:
            router.simulator.release("b")
        assert (await call).status_code == 200
        await said(routers[0])
        assert (await routers[1].post(wallet, chat())).status_code == 200


async def test_a_router_starts_without_its_valkey(own: Valkey) -> None:
    own.kill()
    async with two(own, 'requests = "3/min"') as routers:
        wallet = await wallet_of(routers)
        assert [(await router.post(wallet, chat())).status_code for router in routers] == [200, 200]
        assert all(map(lost, routers))
