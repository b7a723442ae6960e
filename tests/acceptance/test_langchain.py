"""langchain-openai, unmodified, with a sign-in as its key: answers, streams, tools, structured output, errors."""

import asyncio
import contextlib
import json
from typing import Any

import openai
import pytest
import pytest_asyncio
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from helpers.running import Running, running
from helpers.settled import settled
from tollway.client.wallet import Wallet
from tollway.simulator import expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

COST = "0.00007"  # 20 tokens in and 5 out at the test router's price


class LookUp(BaseModel):
    """Looks a text up."""

    text: str


class Person(BaseModel):
    """A person."""

    name: str
    age: int


SOMEBODY = Person(name=expected_text(3).strip(), age=7)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router():
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        yield router


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wallet(router):
    return await router.wallet("1.00")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model(router, wallet):
    async with chat_model(router, router.sign_in(wallet)) as model:
        yield model


@contextlib.asynccontextmanager
async def chat_model(router: Running, key: str, **options: Any):
    """With HTTP clients of its own, which are closed: what langchain makes by itself it keeps."""
    async with openai.DefaultAsyncHttpxClient() as asynchronous:
        with openai.DefaultHttpxClient() as sync:
            clients = {"http_async_client": asynchronous, "http_client": sync}
            yield ChatOpenAI(model="sim/model", base_url=f"{router.url}/v1", api_key=key, **clients, **options)


@pytest.fixture(autouse=True)
def fresh_log(router):
    router.simulator.clear()


def sent(router: Running) -> Any:
    return json.loads(router.simulator.log[-1].body)


async def test_an_answer_has_its_usage_and_cost(router: Running, wallet: Wallet, model: ChatOpenAI):
    asynchronous = await model.ainvoke("hello")
    sync = await asyncio.to_thread(model.invoke, [{"role": "system", "content": "Be brief."}, ("user", "hello")])
    for answer in (asynchronous, sync):
        assert answer.content == expected_text(5)
        usage = answer.usage_metadata
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (20, 5, 25)
        assert answer.response_metadata["token_usage"]["cost"] == COST
    assert (await settled(router, wallet))["cost_usd"] == COST


async def test_a_stream_is_the_providers_and_has_usage_when_asked_for(router: Running, model: ChatOpenAI):
    plain = [chunk async for chunk in model.astream("hello")]
    assert "".join(chunk.text for chunk in plain) == expected_text(5)
    assert not any(chunk.usage_metadata for chunk in plain)
    asked = await asyncio.to_thread(lambda: list(model.stream("hello", stream_usage=True)))
    assert "".join(chunk.text for chunk in asked) == expected_text(5)
    (usage,) = [chunk.usage_metadata for chunk in asked if chunk.usage_metadata]
    assert (usage["input_tokens"], usage["output_tokens"]) == (20, 5)


async def test_tools_called_in_parallel_get_their_results_back(router: Running, model: ChatOpenAI):
    bound = model.bind_tools([LookUp])
    question = ("user", "simulate: tool=LookUp,calls=2")
    asked = await bound.ainvoke([question])
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("LookUp", {"text": expected_text(5)})] * 2
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "found"} for call in asked.tool_calls]
    assert (await bound.ainvoke([question, asked, *results])).content == expected_text(5)
    assert [message["role"] for message in sent(router)["messages"]] == ["user", "assistant", "tool", "tool"]


async def test_a_streamed_tool_call_adds_up(model: ChatOpenAI):
    chunks = [chunk async for chunk in model.bind_tools([LookUp]).astream("simulate: tool=LookUp,calls=2")]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert [call["args"] for call in whole.tool_calls] == [{"text": expected_text(5)}] * 2


# langchain writes out what openai has parsed, of whose model pydantic doesn't know.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output_is_parsed_by_its_schema(model: ChatOpenAI, method: str):
    structured = model.with_structured_output(Person, method=method)
    assert await structured.ainvoke("Who?") == SOMEBODY
    assert [part async for part in structured.astream("Who?")][-1] == SOMEBODY


async def test_a_batch_of_questions_at_once_is_each_answered_and_booked(router: Running):
    wallet = await router.wallet("1.00")
    async with chat_model(router, router.sign_in(wallet)) as model:
        answers = await model.abatch([f"simulate: tokens={tokens}" for tokens in range(1, 16)])
    assert [answer.content for answer in answers] == [expected_text(tokens) for tokens in range(1, 16)]
    assert (await router.balance(wallet)).available == 10**9 - 15 * 20_000 - sum(range(1, 16)) * 10_000


async def test_an_image_and_log_probabilities_go_through(router: Running, model: ChatOpenAI):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content = [{"type": "text", "text": "What is this?"}, image]
    answer = await model.bind(logprobs=True, top_logprobs=1).ainvoke([{"role": "user", "content": content}])
    assert sent(router)["messages"][0]["content"] == content
    assert len(answer.response_metadata["logprobs"]["content"]) == 5


@pytest.mark.parametrize(
    ("question", "options", "kind", "code"),
    [
        ("hello", {"temperature": 3}, openai.BadRequestError, "invalid_request"),
        ("hello", {"model": "none"}, openai.NotFoundError, "model_not_found"),
        ("simulate: status=500", {}, openai.InternalServerError, "provider_error"),
        ("simulate: fault=silence,status=503", {}, openai.InternalServerError, "no_provider_available"),
    ],
    ids=["request", "model", "failed", "unavailable"],
)
async def test_an_error_is_the_openai_packages_own_and_not_tried_again(
    router: Running, model: ChatOpenAI, question: str, options: dict[str, Any], kind: type[Exception], code: str
):
    with pytest.raises(kind) as raised:
        await model.bind(**options).ainvoke(question)
    assert raised.value.code == code
    assert len(router.simulator.log) <= 2  # the router's own attempts


async def test_who_has_not_signed_in_or_not_paid_is_told_so(router: Running):
    async with chat_model(router, "sk-none") as model:
        with pytest.raises(openai.AuthenticationError):
            await model.ainvoke("hello")
    async with chat_model(router, router.sign_in(await router.wallet())) as model:
        with pytest.raises(openai.APIStatusError, match="402"):
            await model.ainvoke("hello")


async def test_a_stream_that_breaks_raises_an_error(model: ChatOpenAI):
    with pytest.raises(openai.APIError) as raised:
        async for _ in model.astream("simulate: tokens=9,fault=cut@4"):
            pass
    assert raised.value.code == "provider_error"
