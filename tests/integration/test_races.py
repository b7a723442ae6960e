"""Calls of one wallet that race each other can't spend more than it has: on every store, over HTTP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from helpers.running import Running, chat, running
from helpers.settled import account, check_books, owed, settled
from helpers.until import until
from tollway.client.wallet import Wallet, account_id
from tollway.domain.money import format_usd, parse_usd
from tollway.ledger import operator

CALLS, AFFORDABLE = 200, 50
MAX_TOKENS = 100
HELD = {"sim": "tokens=5&prompt_tokens=20&barrier=b"}
PRICE = 20 * 1_000 + 5 * 10_000


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | None]:
    path = None if request.param == "memory" else tmp_path / "ledger.db"
    yield path
    if path is not None:
        report = operator.audit(path)
        assert report.clean, report.differences
        assert report.pending == 0


async def hold_of(router: Running, body: dict[str, Any]) -> int:
    """What one such call holds, in nano-USD: as a 402 says it."""
    answer = await router.post(await router.wallet("0.000000001"), body)
    assert answer.status_code == 402
    return parse_usd(answer.json()["error"]["hold_usd"])


async def race(router: Running, wallet: Wallet, body: dict[str, Any]) -> tuple[list[httpx2.Response], set[int]]:
    """All calls at once; what had been answered when everything that could be dispatched waited at the provider, is
    checked to be the refusals. All answers, and every free balance that was seen on the way."""
    headers = router.headers(wallet)
    seen: set[int] = set()
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=router.url, timeout=30.0, verify=False, limits=limits) as http:
        racing = [
            asyncio.ensure_future(http.post("/api/v1/chat/completions", json=body, headers=headers))
            for _ in range(CALLS)
        ]

        async def decided() -> bool:
            seen.add((await account(router, account_id(wallet))).available)
            return sum(task.done() for task in racing) == CALLS - AFFORDABLE

        await until(decided, 30)
        await router.simulator.waiting("b", AFFORDABLE)
        assert len(router.simulator.log) == AFFORDABLE
        assert {task.result().status_code for task in racing if task.done()} == {402}
        router.simulator.release("b")
        answers = await asyncio.gather(*racing)
        seen.add((await account(router, account_id(wallet))).available)
    return answers, seen


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_as_many_calls_are_dispatched_as_the_balance_carries_holds(ledger, stream):
    async with running(HELD, ledger=ledger) as router:
        body = chat(stream=stream, max_tokens=MAX_TOKENS)
        hold = await hold_of(router, body)
        wallet = await router.wallet(format_usd(AFFORDABLE * hold))
        answers, seen = await race(router, wallet, body)

        served = [answer for answer in answers if answer.status_code == 200]
        refused = [answer.json()["error"] for answer in answers if answer.status_code == 402]
        assert (len(served), len(refused)) == (AFFORDABLE, CALLS - AFFORDABLE)
        for error in refused:
            assert error["code"] == "insufficient_balance"
            assert parse_usd(error["hold_usd"]) == hold
            assert 0 <= error["max_tokens_affordable"] < MAX_TOKENS
        assert len(router.simulator.log) == AFFORDABLE
        assert min(seen) == 0

        for answer in (served[0], served[-1]):
            assert (await settled(router, wallet, answer.headers["x-request-id"]))["charged"] == PRICE
        assert (await router.balance(wallet)).available == AFFORDABLE * (hold - PRICE)
        assert await owed(router) == AFFORDABLE * PRICE
        page = await router.ledger.statement(account_id(wallet), limit=500)
        assert [entry.kind for entry in page.entries].count("post") == AFFORDABLE


async def test_what_a_refusal_calls_affordable_is_affordable(ledger):
    async with running({"sim": "tokens=5"}, ledger=ledger) as router:
        body = chat(max_tokens=MAX_TOKENS)
        wallet = await router.wallet(format_usd(await hold_of(router, body) - 1))
        error = (await router.post(wallet, body)).json()["error"]
        assert error["max_tokens_affordable"] == MAX_TOKENS - 1
        assert (await router.post(wallet, chat(max_tokens=MAX_TOKENS - 1))).status_code == 200
        await settled(router, wallet)


async def test_calls_that_cost_more_than_their_holds_race_for_what_is_free_and_never_below_zero(ledger):
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://images.example/1.png"}}]}]
    scenario = {"sim": "tokens=5&prompt_tokens=90000&barrier=b"}
    async with running(scenario, model_extra="part_tokens = { image_url = 100 }", ledger=ledger) as router:
        body = {"model": "sim/model", "messages": image, "max_tokens": 10}
        hold = await hold_of(router, body)
        wallet = await router.wallet(format_usd(20 * hold + 100_000_000))
        racing = [asyncio.ensure_future(router.post(wallet, body)) for _ in range(20)]
        await router.simulator.waiting("b", 20)
        router.simulator.release("b")
        assert {answer.status_code for answer in await asyncio.gather(*racing)} == {200}
        balance = await router.balance(wallet)
        assert (balance.available, balance.debits_pending) == (0, 0)
        assert await owed(router) == 20 * (90_000 * 1_000 + 5 * 10_000)
        await check_books(router)
