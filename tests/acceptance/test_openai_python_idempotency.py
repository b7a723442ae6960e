"""The openai package for Python with an Idempotency-Key: what it makes of answers given again and of 409s."""

import asyncio

import openai
import pytest
import pytest_asyncio

from helpers.official import WAYS, official, text
from helpers.running import chat, running
from tollway.domain.errors import IdempotencyInFlight
from tollway.egress import replay
from tollway.simulator import expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

way = pytest.mark.parametrize("way", WAYS)
PRICE = 20 * 1_000 + 5 * 10_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router():
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        yield router


@pytest.fixture(autouse=True)
def fresh_log(router):
    router.simulator.clear()


@way
async def test_a_key_for_one_request_makes_it_one_call(router, way):
    wallet = await router.wallet("1.00")
    headers = {"Idempotency-Key": "order-1"}
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        first = await client.complete(**chat(), extra_headers=headers)
        again = await client.complete(**chat(), extra_headers=headers)
    assert again == first
    assert again.choices[0].message.content == expected_text(5)
    assert len(router.simulator.log) == 1
    assert (await router.balance(wallet)).available == 10**9 - PRICE


@way
async def test_a_stream_is_given_again_with_its_ending(router, way):
    wallet = await router.wallet("1.00")
    body = chat(stream_options={"include_usage": True})
    async with official(
        way, f"{router.url}/v1", api_key=router.sign_in(wallet), default_headers={"Idempotency-Key": "order-2"}
    ) as client:
        first = await client.stream(**body)
        again = await client.stream(**body)
    assert again == first
    assert text(again) == expected_text(5)
    assert again[-1].usage is not None and again[-1].usage.completion_tokens == 5
    assert len(router.simulator.log) == 1


@way
async def test_a_conflict_is_raised_at_once_and_not_tried_again(router, way):
    wallet = await router.wallet("1.00")
    headers = {"Idempotency-Key": "order-3"}
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet), max_retries=5) as client:
        await client.complete(**chat(), extra_headers=headers)
        with pytest.raises(openai.ConflictError) as raised:
            await client.complete(**chat("another"), extra_headers=headers)
    assert (raised.value.code, raised.value.param) == ("idempotency_conflict", "Idempotency-Key")
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"


@way
async def test_a_repeat_while_the_call_is_in_flight_waits_as_told_and_gets_the_answer(router, way, monkeypatch):
    wallet = await router.wallet("1.00")
    refused, found = asyncio.Event(), replay.found

    def watched(*asked):
        try:
            return found(*asked)
        except IdempotencyInFlight:
            refused.set()
            raise

    monkeypatch.setattr(replay, "found", watched)
    body = chat(f"simulate:tokens=5,prompt_tokens=20,barrier={way}")
    headers = {"Idempotency-Key": "order-4"}
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet), max_retries=5) as client:
        calling = asyncio.create_task(client.complete(**body, extra_headers=headers))
        await router.simulator.waiting(way, 1)
        repeating = asyncio.create_task(client.raw(**body, extra_headers=headers))
        await refused.wait()
        router.simulator.release(way)
        raw = await repeating
        assert raw.headers["idempotent-replayed"] == "true"
        assert raw.retries_taken >= 1
        assert raw.parse() == await calling
    assert len(router.simulator.log) == 1
    assert (await router.balance(wallet)).available == 10**9 - PRICE
