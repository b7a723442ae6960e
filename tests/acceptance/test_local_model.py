"""A real model behind the router, SmolLM2-135M on llama.cpp's OpenAI server, asked by official clients, unmodified."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
import pytest_asyncio
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from helpers.node import install, node_client
from helpers.official import official, text
from helpers.running import Running
from helpers.settled import settled
from tollway.cli.local_model import CONTEXT_LENGTH, MODEL_NAME, LocalModel
from tollway.cli.serve import free_address, serving
from tollway.config.load import loads
from tollway.config.schema import Config

pytestmark = [pytest.mark.acceptance, pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]

INPUT, OUTPUT = 100, 400  # nano-USD a token

CONFIG = """
[server]
listen = "{listen}"

[ops]
listen = ""

[ledger]
url = "sqlite:///ledger.db"

[[providers]]
id = "local"
base_url = "{base_url}"

[[providers.models]]
id = "local/{model}"
upstream = "{model}"
context_length = {context_length}
max_output_tokens = 512
price = {{ input = "0.10", output = "0.40" }}
"""

ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Write one sentence about rivers."}],
    "max_tokens": 12,
    "temperature": 0,
}
ROUTED = {"model": f"local/{MODEL_NAME}", **ASKED}


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return LocalModel()


@pytest.fixture(scope="module")
def alone(model: LocalModel) -> Any:
    """What the model answers without a router."""
    with openai.OpenAI(base_url=model.base_url, api_key="none") as client:
        return client.chat.completions.create(model=MODEL_NAME, **ASKED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    text = CONFIG.format(
        listen=free_address("127.0.0.1:0"), base_url=model.base_url, model=MODEL_NAME, context_length=CONTEXT_LENGTH
    )
    folder = tmp_path_factory.mktemp("router")

    def read(text: str) -> Config:
        return loads(text, {}, folder)

    async with serving(read(text)) as (serving_router, url):
        router = Running(serving_router, url, {}, read, text)
        async with contextlib.aclosing(router.http):
            yield router


def check_usage(usage: Any, reported: Any, call: dict[str, Any]) -> None:
    """What the client is told, what the model reports, and what is in the books are one."""
    assert (call["usage_origin"], call["flags"]) == ("provider", [])
    assert usage.prompt_tokens == reported.prompt_tokens == call["usage"]["prompt"]
    assert usage.completion_tokens == reported.completion_tokens == call["usage"]["completion"]
    assert call["charged"] == usage.prompt_tokens * INPUT + usage.completion_tokens * OUTPUT
    assert usage.cost == call["cost_usd"]


async def test_a_batch_answer_is_the_models_own_and_its_usage_is_what_the_books_hold(router, alone):
    wallet = await router.wallet("1.00")
    async with official("sync", f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        answer = await client.complete(**ROUTED)
    assert alone.choices[0].message.content
    assert answer.choices[0].message.content == alone.choices[0].message.content
    assert answer.choices[0].finish_reason == alone.choices[0].finish_reason
    check_usage(answer.usage, alone.usage, await settled(router, wallet))


async def test_a_stream_is_the_models_own_and_its_usage_is_what_the_books_hold(router, alone):
    wallet = await router.wallet("1.00", evm=True)
    async with official("async", f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        *chunks, last = await client.stream(**ROUTED, stream_options={"include_usage": True})
    assert text(chunks) == alone.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == alone.choices[0].finish_reason
    check_usage(last.usage, alone.usage, await settled(router, wallet))


async def test_a_stream_whose_usage_was_not_asked_for_is_billed_from_it_all_the_same(router, alone):
    wallet = await router.wallet("1.00")
    async with official("sync", f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        chunks = await client.stream(**ROUTED)
    assert text(chunks) == alone.choices[0].message.content
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    call = await settled(router, wallet)
    assert call["usage_origin"] == "provider"
    assert call["usage"]["completion"] == alone.usage.completion_tokens


async def test_at_temperature_0_the_same_question_has_the_same_answer(router):
    wallet = await router.wallet("1.00")
    async with official("async", f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        first = await client.complete(**ROUTED)
        second = await client.complete(**ROUTED)
    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.id != second.id


async def test_a_client_that_stops_reading_stops_the_model_and_pays_for_what_it_got(router):
    wallet = await router.wallet("1.00")
    question = {"role": "user", "content": "Count from one to a thousand."}
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        body = {**ROUTED, "messages": [question], "max_tokens": 400, "stream": True}
        async with await client.chat.completions.create(**body) as chunks:
            await anext(chunks)
    call = await settled(router, wallet)
    assert call["ended"] == "client_left"
    assert 0 < call["charged"] < 400 * OUTPUT


class River(BaseModel):
    length: Literal["short", "long"]  # all that there is to say: each token of it takes the model a while


QUESTION = "How long is the Nile?"
BRIEF: dict[str, Any] = {"model": f"local/{MODEL_NAME}", "temperature": 0, "max_tokens": 100}


async def test_structured_output_is_the_models_own_by_each_client(router):
    wallet = await router.wallet("1.00")
    key = router.sign_in(wallet)
    messages = [{"role": "user", "content": QUESTION}]
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key=key) as client:
        answer = await client.chat.completions.parse(**BRIEF, messages=messages, response_format=River)
    assert answer.choices[0].message.parsed.length in ("short", "long")
    assert answer.usage.cost == (await settled(router, wallet))["cost_usd"]
    async with openai.DefaultAsyncHttpxClient() as asynchronous:
        with openai.DefaultHttpxClient() as sync:
            clients = {"http_async_client": asynchronous, "http_client": sync}
            model = ChatOpenAI(base_url=f"{router.url}/v1", api_key=key, **BRIEF, **clients)
            structured = model.with_structured_output(River, method="json_schema", include_raw=True)
            found = await structured.ainvoke(QUESTION)
    assert isinstance(found["parsed"], River)
    call = await settled(router, wallet)
    assert found["raw"].usage_metadata["output_tokens"] == call["usage"]["completion"]


async def test_log_probabilities_are_the_models_own(router):
    wallet = await router.wallet("1.00")
    async with official("async", f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        answer = await client.complete(**ROUTED, logprobs=True, top_logprobs=2)
        chunks = await client.stream(**ROUTED, logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
    weighed = [entry.logprobs for chunk in chunks for entry in chunk.choices if entry.logprobs]
    assert [token.token for logprobs in weighed for token in logprobs.content] == [token.token for token in tokens]


async def test_langchain_reads_the_model(router, alone):
    wallet = await router.wallet("1.00")
    async with openai.DefaultAsyncHttpxClient() as asynchronous:
        with openai.DefaultHttpxClient() as sync:
            clients = {"http_async_client": asynchronous, "http_client": sync}
            options = {"model": ROUTED["model"], "max_tokens": ASKED["max_tokens"], "temperature": 0}
            model = ChatOpenAI(base_url=f"{router.url}/v1", api_key=router.sign_in(wallet), **options, **clients)
            chunks = [chunk async for chunk in model.astream(ASKED["messages"], stream_usage=True)]
    assert "".join(chunk.text for chunk in chunks) == alone.choices[0].message.content
    (usage,) = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    call = await settled(router, wallet)
    assert (usage["input_tokens"], usage["output_tokens"]) == (call["usage"]["prompt"], call["usage"]["completion"])


@pytest.mark.node
async def test_the_ai_sdk_reads_the_model(router, alone):
    install()
    wallet = await router.wallet("1.00")
    options = {"apiKey": "dummy", "headers": {"Sign-In-With-X": router.sign_in(wallet)}}
    asked = {"model": ROUTED["model"], "temperature": 0, "maxOutputTokens": ASKED["max_tokens"]}
    async with node_client(f"{router.url}/v1", "ai.mjs", **options) as sdk:
        batch = await sdk.ask("generate", {**asked, "messages": ASKED["messages"]})
        chunks, ended = await sdk.stream({**asked, "messages": ASKED["messages"]})
        body = {**asked, "prompt": QUESTION, "schema": River.model_json_schema(), "maxOutputTokens": 100}
        found = await sdk.ask("object", body)
    assert batch["text"] == "".join(chunks) == alone.choices[0].message.content
    assert batch["usage"]["outputTokens"] == ended["value"]["usage"]["outputTokens"] == alone.usage.completion_tokens
    assert River.model_validate(found["object"])
    call = await settled(router, wallet)
    assert found["usage"]["outputTokens"] == call["usage"]["completion"]
