"""Vercel's AI SDK over its OpenAI provider, unmodified, with a sign-in in its header: text, tools, objects, errors."""

import json
from typing import Any

import pytest
import pytest_asyncio

from helpers.node import NodeClient, install, node_client
from helpers.running import Running, running
from helpers.settled import settled
from helpers.streaming import caught_up
from tollway.client.wallet import Wallet
from tollway.simulator import expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

COST = "0.00007"  # 20 tokens in and 5 out at the test router's price
WORDS = expected_text(3).strip()
SOMEBODY = {"name": WORDS, "age": 7, "tags": [WORDS]}


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    install()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router():
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        yield router


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wallet(router):
    return await router.wallet("1.00", evm=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sdk(router, wallet):
    """One process for all: to load it takes longer than to use it."""
    async with client(router, router.sign_in(wallet)) as sdk:
        yield sdk


@pytest.fixture(autouse=True)
def fresh_log(router):
    router.simulator.clear()


def client(router: Running, sign_in: str):
    return node_client(f"{router.url}/v1", "ai.mjs", apiKey="dummy", headers={"Sign-In-With-X": sign_in})


def prompt(text: str = "hello") -> dict[str, Any]:
    return {"model": "sim/model", "prompt": text}


def sent(router: Running) -> Any:
    return json.loads(router.simulator.log[-1].body)


async def test_text_comes_with_usage_cost_and_who_served_it(router: Running, wallet: Wallet, sdk: NodeClient):
    answer = await sdk.ask("generate", prompt())
    call = await settled(router, wallet)
    assert (answer["text"], answer["finishReason"]) == (expected_text(5), "stop")
    assert (answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]) == (20, 5)
    assert answer["body"]["usage"]["cost"] == answer["headers"]["x-tollway-cost-usd"] == call["cost_usd"] == COST
    assert answer["headers"]["x-request-id"] == call["id"]


async def test_a_stream_of_text_ends_with_its_usage(router: Running, wallet: Wallet, sdk: NodeClient):
    chunks, ended = await sdk.stream(prompt())
    assert "".join(chunks) == expected_text(5)
    assert ended["value"]["finishReason"] == "stop"
    assert (ended["value"]["usage"]["inputTokens"], ended["value"]["usage"]["outputTokens"]) == (20, 5)
    assert (await settled(router, wallet))["cost_usd"] == COST


@pytest.mark.parametrize("action", ["tools", "stream_tools"])
async def test_tools_called_in_parallel_are_run_and_their_results_go_back(
    router: Running, sdk: NodeClient, action: str
):
    chunks, ended = await sdk.stream(prompt("simulate: tool=look_up,calls=2"), action)
    ran = ended["value"]
    assert ran["seen"] == [{"text": expected_text(5)}] * 2
    assert ran.get("text", "".join(chunks)) == expected_text(5)
    assert (ran["usage"]["inputTokens"], ran["usage"]["outputTokens"]) == (40, 15)
    assert [message["role"] for message in sent(router)["messages"]] == ["user", "assistant", "tool", "tool"]


async def test_an_object_keeps_to_its_schema(router: Running, sdk: NodeClient):
    assert (await sdk.ask("object", prompt()))["object"] == SOMEBODY
    assert sent(router)["response_format"]["json_schema"]["strict"] is True
    assert await sdk.ask("output", prompt()) == SOMEBODY
    chunks, ended = await sdk.stream(prompt(), "stream_object")
    assert chunks[-1] == ended["value"]["object"] == SOMEBODY
    assert ended["value"]["usage"]["inputTokens"] == 20


async def test_an_object_that_is_none_is_an_error_of_the_sdk(sdk: NodeClient):
    error = await sdk.error("object", prompt("simulate: text=no"))
    assert error["name"] == "AI_NoObjectGeneratedError"


async def test_an_image_goes_through_as_a_data_url(router: Running, sdk: NodeClient):
    image = {"type": "image", "image": "iVBORw0KGgo=", "mediaType": "image/png"}
    content = [{"type": "text", "text": "What is this?"}, image]
    await sdk.ask("generate", {"model": "sim/model", "messages": [{"role": "user", "content": content}]})
    _, part = sent(router)["messages"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


async def test_reasoning_tokens_are_counted(sdk: NodeClient):
    answer = await sdk.ask("generate", prompt("simulate: reasoning=2"))
    assert (answer["usage"]["outputTokens"], answer["usage"]["reasoningTokens"]) == (7, 2)


async def test_a_stream_that_is_aborted_is_paid_as_far_as_it_was_read(router: Running, wallet: Wallet, sdk: NodeClient):
    router.simulator.step("left", 3)
    assert await sdk.ask("abort", prompt("simulate: lockstep=left,tokens=500")) == "abort"
    call = await settled(router, wallet)
    assert call["ended"] == "client_left"
    assert 0 < call["charged"] < 500 * 10_000


REFUSED = {
    "request": (prompt() | {"temperature": 3}, 400, "invalid_request"),
    "model": (prompt() | {"model": "none"}, 404, "model_not_found"),
    "provider": (prompt("simulate: status=500"), 502, "provider_error"),
    "overload": (prompt("simulate: status=503"), 503, "no_provider_available"),
}


@pytest.mark.parametrize("action", ["generate", "stream", "object"])
@pytest.mark.parametrize("what", REFUSED)
async def test_an_error_is_an_api_call_error_with_its_status_and_code(sdk: NodeClient, what: str, action: str):
    body, status, code = REFUSED[what]
    error = await sdk.error(action, body)
    assert (error["name"], error["statusCode"], error["code"]) == ("AI_APICallError", status, code)
    assert error["requestId"]
    assert sdk.statuses == [status]


async def test_who_has_not_signed_in_or_not_paid_is_told_so(router: Running):
    for sign_in, status, code in (
        ("none", 401, "invalid_sign_in"),
        (router.sign_in(await router.wallet()), 402, "insufficient_balance"),
    ):
        async with client(router, sign_in) as sdk:
            error = await sdk.error("generate", prompt())
            assert (error["statusCode"], error["code"]) == (status, code)
            assert error["isRetryable"] is False


@pytest.mark.parametrize("fault", ["cut", "reset", "end", "truncated", "damaged", "error"])
async def test_a_stream_that_breaks_is_an_error_and_never_ends_as_if_it_were_whole(
    router: Running, wallet: Wallet, sdk: NodeClient, fault: str
):
    before = (await router.balance(wallet)).total
    router.simulator.step(fault, 3)
    await sdk.tell("stream", prompt(f"simulate: tokens=9,lockstep={fault},fault={fault}@4"))
    texts = [(await sdk.line())["chunk"], (await sdk.line())["chunk"]]
    router.simulator.free(fault)
    while "chunk" in (ended := await sdk.line()):
        texts.append(ended["chunk"])
    assert ended["error"]["code"] == "provider_error"
    assert "not whole" in ended["error"]["message"]
    assert "".join(texts) in (expected_text(2), expected_text(3))
    await caught_up(router)
    assert (await router.balance(wallet)).total == before
