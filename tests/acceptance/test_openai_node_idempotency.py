"""The openai package for Node.js with an Idempotency-Key: answers given again, and 409s that it tries again or not."""

import asyncio

import pytest
import pytest_asyncio

from helpers.node import install, node_client
from helpers.running import Running, chat, running
from tollway.client.wallet import Wallet
from tollway.domain.errors import IdempotencyInFlight
from tollway.egress import replay

pytestmark = [pytest.mark.acceptance, pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    install()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router():
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        yield router


@pytest.fixture(autouse=True)
def fresh_log(router):
    router.simulator.clear()


def client(router: Running, wallet: Wallet, key: str):
    headers = {"Idempotency-Key": key}
    return node_client(f"{router.url}/v1", apiKey=router.sign_in(wallet), defaultHeaders=headers, maxRetries=5)


async def test_a_batch_answer_and_a_stream_are_given_again(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet, "order-1") as node:
        first = await node.ask("complete", chat())
        again = await node.ask("complete", chat())
    assert again.pop("_request_id") != first.pop("_request_id")
    assert again == first
    async with client(router, wallet, "order-2") as node:
        body = chat(stream_options={"include_usage": True})
        assert await node.stream(body) == await node.stream(body)
    assert len(router.simulator.log) == 2


async def test_a_conflict_is_thrown_at_once_and_not_tried_again(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet, "order-3") as node:
        await node.ask("complete", chat())
        error = await node.error("complete", chat("another"))
        assert (error["status"], error["code"]) == (409, "idempotency_conflict")
        assert node.statuses == [409]


async def test_a_repeat_while_the_call_is_in_flight_waits_as_told_and_gets_the_answer(router, monkeypatch):
    refused, found = asyncio.Event(), replay.found

    def watched(*asked):
        try:
            return found(*asked)
        except IdempotencyInFlight:
            refused.set()
            raise

    monkeypatch.setattr(replay, "found", watched)
    wallet = await router.wallet("1.00")
    body = chat("simulate:tokens=5,prompt_tokens=20,barrier=b")
    async with client(router, wallet, "order-4") as one, client(router, wallet, "order-4") as other:
        calling = asyncio.create_task(one.ask("complete", body))
        await router.simulator.waiting("b", 1)
        repeating = asyncio.create_task(other.ask("complete", body))
        await refused.wait()
        router.simulator.release("b")
        first, again = await calling, await repeating
    assert other.statuses[0] == 409 and other.statuses[-1] == 200
    assert first["id"] == again["id"]
    assert len(router.simulator.log) == 1
