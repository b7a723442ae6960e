"""Every form of answer that the openai package for Python reads: parsed by a schema, by event, raw; and what it may
send beside a question: images, tools, fields that the router has never heard of."""

import asyncio
import json
from typing import Any

import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from helpers.official import WAYS, official, text
from helpers.running import Running, chat, running
from helpers.settled import settled
from tollway.client.wallet import Wallet
from tollway.simulator import expected_reasoning, expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

COST = "0.00007"  # 20 tokens in and 5 out at the test router's price
IMAGE_TOKENS = 85
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * 1000}}

way = pytest.mark.parametrize("way", WAYS)


class Person(BaseModel):
    name: str
    age: int
    tags: list[str]


WORDS = expected_text(3).strip()
SOMEBODY = Person(name=WORDS, age=7, tags=[WORDS])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router():
    extra = f"part_tokens = {{ image_url = {IMAGE_TOKENS} }}"
    async with running({"sim": "tokens=5&prompt_tokens=20"}, model_extra=extra) as router:
        yield router


@pytest.fixture(autouse=True)
def fresh_log(router):
    router.simulator.clear()


def client(router: Running, wallet: Wallet) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key=router.sign_in(wallet))


def blocking(router: Running, wallet: Wallet) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{router.url}/v1", api_key=router.sign_in(wallet))


def sent(router: Running) -> Any:
    return json.loads(router.simulator.log[-1].body)


async def test_structured_output_is_parsed_into_a_model(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as asynchronous:
        answer = await asynchronous.chat.completions.parse(**chat(), response_format=Person)
    with blocking(router, wallet) as sync:
        same = await asyncio.to_thread(sync.chat.completions.parse, **chat(), response_format=Person)
    assert answer.choices[0].message.parsed == same.choices[0].message.parsed == SOMEBODY
    assert answer.usage.cost == COST
    asked = sent(router)["response_format"]["json_schema"]
    assert (asked["name"], asked["strict"], asked["schema"]["additionalProperties"]) == ("Person", True, False)


async def test_structured_output_that_is_cut_short_raises(router):
    async with client(router, await router.wallet("1.00")) as asynchronous:
        with pytest.raises(openai.LengthFinishReasonError) as raised:
            await asynchronous.chat.completions.parse(**chat(max_tokens=1), response_format=Person)
    assert raised.value.completion.usage.completion_tokens == 1


async def test_the_stream_helper_tells_of_content_and_parses_it_at_the_end(router):
    wallet = await router.wallet("1.00")
    options = chat(response_format=Person, stream_options={"include_usage": True})
    async with client(router, wallet) as asynchronous, asynchronous.chat.completions.stream(**options) as stream:
        events = [event async for event in stream]
        answer = await stream.get_final_completion()
    deltas = "".join(event.delta for event in events if event.type == "content.delta")
    assert Person.model_validate_json(deltas) == SOMEBODY
    (done,) = [event for event in events if event.type == "content.done"]
    assert done.parsed == answer.choices[0].message.parsed == SOMEBODY
    assert answer.usage.cost == (await settled(router, wallet))["cost_usd"]


async def test_the_stream_helper_parses_calls_in_parallel(router):
    wallet = await router.wallet("1.00")
    tools = [openai.pydantic_function_tool(Person, name="remember")]
    body = chat("simulate: calls=2", tools=tools, tool_choice="required")
    with blocking(router, wallet) as sync:

        def read() -> Any:
            with sync.chat.completions.stream(**body) as stream:
                return stream.get_final_completion()

        answer = await asyncio.to_thread(read)
    calls = answer.choices[0].message.tool_calls
    assert [call.function.parsed_arguments for call in calls] == [SOMEBODY] * 2
    assert len({call.id for call in calls}) == 2
    assert answer.choices[0].finish_reason == "tool_calls"
    assert sent(router)["tools"] == tools


@way
async def test_the_results_of_calls_in_parallel_go_back(router, way):
    wallet = await router.wallet("1.00")
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    question = {"role": "user", "content": "simulate: tool=look_up,calls=3"}
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as asked:
        first = await asked.complete(model="sim/model", messages=[question], tools=[tool])
        message = first.choices[0].message
        results = [{"role": "tool", "tool_call_id": call.id, "content": "found"} for call in message.tool_calls]
        conversation = [question, message.model_dump(exclude_none=True), *results]
        chunks = await asked.stream(model="sim/model", messages=conversation, tools=[tool])
    assert len(results) == 3
    assert text(chunks) == expected_text(5)
    assert sent(router)["messages"] == conversation
    assert first.usage.completion_tokens == 15


@way
async def test_log_probabilities_come_through(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as asked:
        answer = await asked.complete(**chat(logprobs=True, top_logprobs=3))
        chunks = await asked.stream(**chat(logprobs=True, top_logprobs=3))
    batch = answer.choices[0].logprobs.content
    weighed = [chunk.choices[0].logprobs for chunk in chunks]
    assert [token for logprobs in weighed if logprobs for token in logprobs.content] == batch
    assert "".join(token.token for token in batch) == answer.choices[0].message.content
    assert [len(token.top_logprobs) for token in batch] == [3] * 5


@way
async def test_an_image_by_data_url_is_held_for_as_a_part_and_goes_through_as_it_is(router, way):
    wallet = await router.wallet("1.00")
    content = [{"type": "text", "text": "What is this?"}, IMAGE]
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as asked:
        await asked.complete(**chat() | {"messages": [{"role": "user", "content": content}]})
    assert sent(router)["messages"] == [{"role": "user", "content": content}]
    with_image = await settled(router, wallet)
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as asked:
        await asked.complete(**chat() | {"messages": [{"role": "user", "content": content[:1]}]})
    without = await settled(router, wallet)
    # The part, and the text of it that is no image: thousands of bytes of base64 are not held for as text.
    assert 0 <= with_image["held"] - without["held"] - IMAGE_TOKENS * 1_000 < 100 * 1_000
    assert with_image["cost_usd"] == without["cost_usd"] == COST


@way
async def test_reasoning_comes_through_and_is_counted(router, way):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as asked:
        answer = await asked.complete(**chat("simulate: reasoning=4", reasoning_effort="low"))
        chunks = await asked.stream(**chat("simulate: reasoning=4"))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert answer.choices[0].message.reasoning_content == expected_reasoning(4)
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == expected_reasoning(4)
    assert text(chunks) == answer.choices[0].message.content == expected_text(5)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4


async def test_fields_that_the_router_does_not_know_go_through_as_they_are(router):
    wallet = await router.wallet("1.00")
    extra = {"x_vendor": {"a": [1, 2.50]}}
    known = {"seed": 42, "store": True, "metadata": {"team": "search"}, "logit_bias": {"50256": -100}, "top_p": 0.5}
    async with client(router, wallet) as asynchronous:
        await asynchronous.chat.completions.create(**chat(), **known, extra_body=extra)
    seen = sent(router)
    assert {name: seen[name] for name in known} == known
    assert seen["x_vendor"] == extra["x_vendor"]


async def test_a_streaming_response_is_read_as_bytes_lines_or_an_answer(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as asynchronous:
        responses = asynchronous.chat.completions.with_streaming_response
        async with responses.create(**chat()) as response:
            answer = await response.parse()
            assert response.headers["x-tollway-cost-usd"] == answer.usage.cost == COST
            assert response.headers["x-tollway-provider"] == "sim"
        async with responses.create(**chat(stream=True)) as response:
            lines = [line async for line in response.iter_lines()]
    assert response.headers["x-request-id"] == (await settled(router, wallet))["id"]
    assert [line for line in lines if line][-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in lines if line and line != "data: [DONE]")


async def test_streams_at_once_are_each_whole_and_each_booked(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as asynchronous:

        async def read(tokens: int) -> str:
            body = chat(f"simulate: tokens={tokens}", stream=True)
            async with await asynchronous.chat.completions.create(**body) as chunks:
                return text([chunk async for chunk in chunks])

        answers = await asyncio.gather(*(read(tokens) for tokens in range(1, 21)))
    assert answers == [expected_text(tokens) for tokens in range(1, 21)]
    await settled(router, wallet)
    assert (await router.balance(wallet)).available == 10**9 - 20 * 20_000 - sum(range(1, 21)) * 10_000
