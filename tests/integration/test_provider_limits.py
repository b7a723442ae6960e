"""A provider at the limit that the operator set is left out: others serve, the record says so, and a replay agrees."""

import asyncio
from typing import Any

import pytest

from helpers.refusals import refused
from helpers.replayed import replayed
from helpers.running import PRICE, Running, chat, running
from helpers.settled import check_books, settled
from helpers.until import until
from tollway.client.wallet import Wallet

BOTH = {"a": "tokens=5&barrier=b", "b": "tokens=5&barrier=b"}
ORDERED = {"provider": {"order": ["a", "b"]}}


async def calls(router: Running, wallet: Wallet, count: int) -> list[asyncio.Future[Any]]:
    """So many, one after the other, each held at the provider that it came to."""
    made = []
    for _ in range(count):
        made.append(asyncio.ensure_future(router.post(wallet, chat(**ORDERED))))
        await until(lambda: sum(len(simulator.log) for simulator in router.simulators.values()) == len(made))
    return made


async def test_who_is_at_its_limit_is_left_out_and_when_all_are_the_caller_is_told_to_wait() -> None:
    async with running(BOTH, provider_extra="limits = { concurrency = 1 }") as router:
        wallet = await router.wallet("1.00")
        first, second = await calls(router, wallet, 2)
        third = await router.post(wallet, chat(**ORDERED))
        error = refused(third, 429, "rate_limited", says="Every provider that may serve this call is at the limit")
        assert error["candidates"] == [
            {"candidate": "a:sim/model", "reason": "at_limit"},
            {"candidate": "b:sim/model", "reason": "at_limit"},
        ]
        assert third.headers["retry-after-ms"] == "1000"
        for simulator in router.simulators.values():
            simulator.release("b")
        served = [(await call).json()["tollway"] for call in (first, second)]
        assert [one["provider"] for one in served] == ["a", "b"]
        generation = await settled(router, wallet, served[1]["request_id"])
        verdicts = {verdict["candidate"]: verdict for verdict in generation["route"]["verdicts"]}
        assert (verdicts["a:sim/model"]["kept"], verdicts["a:sim/model"]["reason"]) == (False, "at_limit")
        assert verdicts["b:sim/model"]["rank"] == 1
        assert replayed(router, generation)
        assert (await router.post(wallet, chat(**ORDERED))).json()["tollway"]["provider"] == "a"
        await check_books(router)


async def test_a_rate_of_a_provider_counts_every_attempt() -> None:
    async with running(
        {"a": "status=500", "b": "tokens=5"}, provider_extra='limits = { requests = "2/min" }'
    ) as router:
        wallet = await router.wallet("1.00")
        first = await router.post(wallet, chat(**ORDERED))
        assert [attempt["outcome"] for attempt in first.json()["tollway"]["attempts"]] == [
            "server_error",
            "server_error",
            "ok",
        ]
        second = await router.post(wallet, chat(**ORDERED))
        assert [attempt["provider"] for attempt in second.json()["tollway"]["attempts"]] == ["b"]
        third = await router.post(wallet, chat(**ORDERED))
        refused(third, 429, "rate_limited")
        assert 1_000 < int(third.headers["retry-after-ms"]) <= 61_000


async def test_a_place_that_is_taken_between_plan_and_attempt_moves_the_call_on() -> None:
    """The second try at one provider finds no room: its limit lets one request through."""
    async with running(
        {"a": "status=500", "b": "tokens=5"}, provider_extra='limits = { requests = "1/min" }'
    ) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(**ORDERED))
        attempts = answer.json()["tollway"]["attempts"]
        assert [(attempt["provider"], attempt["outcome"]) for attempt in attempts] == [
            ("a", "server_error"),
            ("a", "at_limit"),
            ("b", "ok"),
        ]
        assert len(router.simulators["a"].log) == 1
        assert (await router.get("/providers"))["data"][1]["status"] == "ok", "to be left out is no fault of b's"


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_tokens_of_a_provider_are_settled_at_what_it_reports(stream: bool) -> None:
    async with running(
        {"sim": "tokens=5&prompt_tokens=20"}, provider_extra='limits = { tokens = "100/min" }', price=PRICE
    ) as router:
        wallet = await router.wallet("1.00")
        for _ in range(3):  # 75 of the 100 in the end, though each is guessed at over 40
            answer = await router.post(wallet, chat(stream=stream, max_tokens=40))
            assert answer.status_code == 200
            await settled(router, wallet)
        refused(await router.post(wallet, chat(stream=stream, max_tokens=40)), 429, "rate_limited")


async def test_races_at_a_provider_are_never_more_than_it_may_have() -> None:
    async with running({"sim": "tokens=5&barrier=b"}, provider_extra="limits = { concurrency = 3 }") as router:
        wallet = await router.wallet("10.00")
        racing = [asyncio.ensure_future(router.post(wallet, chat(max_tokens=10))) for _ in range(30)]
        await router.simulator.waiting("b", 3)
        await until(lambda: sum(task.done() for task in racing) == 27)
        assert len(router.simulator.log) == 3
        router.simulator.release("b")
        statuses = [(await task).status_code for task in racing]
        assert sorted(statuses) == [200] * 3 + [429] * 27
        await check_books(router)
