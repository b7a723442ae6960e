"""The openai package for Python, unmodified: it signs in with a wallet, asks, streams, calls tools and lists models."""

import json
from typing import Any

import openai
import pytest
import pytest_asyncio

from helpers.official import WAYS, official, text
from helpers.running import Running, chat, running
from helpers.settled import settled
from tollway.client.wallet import Wallet
from tollway.simulator import expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

COST = "0.00007"  # 20 tokens in and 5 out at the test router's price

way = pytest.mark.parametrize("way", WAYS)


def bearer(router: Running, wallet: Wallet) -> dict[str, Any]:
    return {"api_key": router.sign_in(wallet)}


def header(router: Running, wallet: Wallet) -> dict[str, Any]:
    return {"api_key": "dummy", "default_headers": {"Sign-In-With-X": router.sign_in(wallet)}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router():
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        yield router


@pytest.fixture(autouse=True)
def fresh_log(router):
    router.simulator.clear()


@pytest.mark.parametrize(
    ("way", "signed_in", "prefix", "evm"),
    [
        ("sync", bearer, "/v1", False),
        ("async", bearer, "/api/v1", True),
        ("sync", header, "/api/v1", True),
        ("async", header, "/v1", False),
    ],
    ids=["sync bearer solana", "async bearer evm", "sync header evm", "async header solana"],
)
async def test_a_wallet_signs_in_as_api_key_or_in_the_header_beside_a_dummy_key(router, way, signed_in, prefix, evm):
    wallet = await router.wallet("1.00", evm=evm)
    async with official(way, router.url + prefix, **signed_in(router, wallet)) as client:
        answer = await client.complete(**chat())
    assert answer.choices[0].message.content == expected_text(5)
    assert (await settled(router, wallet))["cost_usd"] == COST


@way
async def test_a_batch_answer_says_what_it_cost_and_who_served_it(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", **bearer(router, wallet)) as client:
        answer = await client.complete(**chat())
    call = await settled(router, wallet)
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 5)
    assert answer.usage.cost == call["cost_usd"] == COST
    assert answer._request_id == answer.tollway["request_id"] == call["id"]
    assert answer.tollway["provider"] == call["provider"] == "sim"
    assert answer.tollway["model"] == "sim/model"
    assert answer.tollway["balance_usd"] == "0.99993"
    assert [attempt["outcome"] for attempt in answer.tollway["attempts"]] == ["ok"]


@way
async def test_the_raw_response_has_the_routers_headers(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", **bearer(router, wallet)) as client:
        raw = await client.raw(**chat())
    answer = raw.parse()
    assert raw.headers["x-tollway-provider"] == "sim"
    assert raw.headers["x-tollway-cost-usd"] == COST == answer.usage.cost
    assert raw.headers["x-request-id"] == raw.request_id == answer.tollway["request_id"]


@way
async def test_a_stream_is_the_providers_and_has_no_usage_unless_asked_for(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", **bearer(router, wallet)) as client:
        chunks = await client.stream(**chat())
    assert text(chunks) == expected_text(5)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 6 + ["stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage for chunk in chunks] == [None] * 7
    assert "tollway" not in chunks[-1].model_extra
    assert (await settled(router, wallet))["cost_usd"] == COST


@way
async def test_a_stream_with_include_usage_ends_with_a_chunk_of_usage_and_cost(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", **bearer(router, wallet)) as client:
        *chunks, last = await client.stream(**chat(stream_options={"include_usage": True}))
    call = await settled(router, wallet)
    assert text(chunks) == expected_text(5)
    assert [chunk.usage for chunk in chunks] == [None] * 7
    assert last.choices == []
    assert last.id == chunks[0].id
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (20, 5, 25)
    assert last.usage.cost == call["cost_usd"] == COST
    assert last.tollway["request_id"] == call["id"]


@way
async def test_each_of_several_choices_arrives_whole(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", **bearer(router, wallet)) as client:
        answer = await client.complete(**chat(n=3))
        chunks = await client.stream(**chat(n=3))
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 3
    assert [text(chunks, index) for index in range(3)] == texts


TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}},
}


@way
async def test_a_tool_is_called_and_its_result_goes_back(router, way):
    wallet = await router.wallet("1.00")
    question = {"role": "user", "content": "simulate: tool=look_up"}
    async with official(way, f"{router.url}/v1", **bearer(router, wallet)) as client:
        first = await client.complete(model="sim/model", messages=[question], tools=[TOOL], tool_choice="auto")
        asked = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        (call,) = asked.tool_calls
        assert call.function.name == "look_up"
        assert json.loads(call.function.arguments) == {"text": expected_text(5)}
        result = {"role": "tool", "tool_call_id": call.id, "content": "found"}
        follow_up = {"role": "user", "content": "Go on."}
        conversation = [question, asked.model_dump(exclude_none=True), result, follow_up]
        second = await client.complete(model="sim/model", messages=conversation, tools=[TOOL])
    assert second.choices[0].message.content == expected_text(5)
    seen = [json.loads(attempt.body) for attempt in router.simulator.log]
    assert [body["tools"] for body in seen] == [[TOOL], [TOOL]]
    assert seen[0]["tool_choice"] == "auto"
    assert seen[1]["messages"] == conversation


@way
async def test_a_streamed_tool_call_adds_up(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", **bearer(router, wallet)) as client:
        chunks = await client.stream(**chat("simulate: tool=look_up", tools=[TOOL]))
    deltas = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].function.name == "look_up"
    assert json.loads("".join(part.function.arguments or "" for part in deltas)) == {"text": expected_text(5)}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@way
async def test_models_are_listed_and_found_by_id_and_by_alias(router, way):
    async with official(way, f"{router.url}/v1", api_key="none") as client:
        (listed,) = await client.models()
        assert (listed.id, listed.object, listed.owned_by) == ("sim/model", "model", "sim")
        assert listed.context_length == 100_000
        assert listed.pricing == {"input": "0.000001", "output": "0.00001"}
        assert await client.model("sim/model") == listed
        assert await client.model("model") == listed


async def test_the_first_token_is_read_while_the_provider_has_sent_no_more(router):
    wallet = await router.wallet("1.00")
    router.simulator.step("held", 2)  # the role, which is held back, and a token
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", **bearer(router, wallet)) as client:
        body = chat("simulate: lockstep=held,tokens=3", stream=True)
        async with await client.chat.completions.create(**body) as chunks:
            opening = [await anext(chunks), await anext(chunks)]
            assert text(opening) == expected_text(1)
            router.simulator.free("held")
            rest = [chunk async for chunk in chunks]
    assert text(opening + rest) == expected_text(3)


async def test_a_client_that_stops_reading_pays_for_what_it_was_sent_and_leaves_no_hold(router):
    wallet = await router.wallet("1.00")
    router.simulator.step("left", 3)
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", **bearer(router, wallet)) as client:
        body = chat("simulate: lockstep=left,tokens=500", stream=True)
        async with await client.chat.completions.create(**body) as chunks:
            await anext(chunks)
    call = await settled(router, wallet)
    assert call["ended"] == "client_left"
    assert 0 < call["charged"] < 500 * 10_000
