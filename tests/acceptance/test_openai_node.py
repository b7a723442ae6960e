"""The openai package for Node.js, unmodified: it signs in, asks, streams, calls tools, and throws what it should."""

import json
import re
from typing import Any

import pytest
import pytest_asyncio

from helpers.node import FOLDER, install, node_client
from helpers.running import Running, chat, running
from helpers.settled import settled
from helpers.streaming import caught_up
from tollway.client.wallet import Wallet
from tollway.simulator import expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

COST = "0.00007"  # 20 tokens in and 5 out at the test router's price


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


def client(router: Running, wallet: Wallet):
    return node_client(f"{router.url}/v1", apiKey=router.sign_in(wallet))


def text(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def test_the_lock_file_has_hashes_and_no_addresses():
    for name in ("package.json", ".npmrc"):
        assert "://" not in (FOLDER / name).read_text(encoding="utf-8")
    packages = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for package in packages.values():
        package.pop("funding", None)  # where an author takes donations
    assert "://" not in json.dumps(packages)
    assert all(re.match("sha512-", package["integrity"]) for name, package in packages.items() if name)


@pytest.mark.parametrize("evm", [False, True], ids=["solana", "evm"])
async def test_a_batch_answer_says_what_it_cost_and_who_served_it(router, evm):
    wallet = await router.wallet("1.00", evm=evm)
    async with client(router, wallet) as node:
        answer = await node.ask("complete", chat())
    call = await settled(router, wallet)
    assert answer["choices"][0]["message"]["content"] == expected_text(5)
    assert answer["usage"]["total_tokens"] == 25
    assert answer["usage"]["cost"] == call["cost_usd"] == COST
    assert answer["_request_id"] == answer["tollway"]["request_id"] == call["id"]
    assert node.statuses == [200]


async def test_a_sign_in_in_its_own_header_wins_over_a_dummy_key(router):
    wallet = await router.wallet("1.00")
    options = {"apiKey": "dummy", "defaultHeaders": {"Sign-In-With-X": router.sign_in(wallet)}}
    async with node_client(f"{router.url}/api/v1", **options) as node:
        answer = await node.ask("complete", chat())
        assert answer["choices"][0]["message"]["content"] == expected_text(5)
        seen = await node.ask("headers", chat())
    assert seen["headers"]["x-tollway-cost-usd"] == COST
    assert seen["headers"]["x-tollway-provider"] == "sim"
    assert seen["headers"]["x-request-id"] == seen["request_id"]


async def test_a_stream_is_the_providers_and_has_usage_and_cost_when_asked_for(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as node:
        plain, ended = await node.stream(chat())
        assert ended["value"] is None
        asked, ended = await node.stream(chat(stream_options={"include_usage": True}))
        assert ended["value"] is None
    assert text(plain) == text(asked) == expected_text(5)
    assert plain[-1]["choices"][0]["finish_reason"] == "stop"
    assert not any(chunk.get("usage") for chunk in plain + asked[:-1])
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["cost"] == COST
    assert (await settled(router, wallet))["id"] == asked[-1]["tollway"]["request_id"]


async def test_the_first_token_is_read_while_the_provider_has_sent_no_more(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as node:
        router.simulator.step("a", 2)  # the role, which is held back, and a token
        await node.tell("stream", chat("simulate: lockstep=a,tokens=3", stream=True))
        opening = [(await node.line())["chunk"] for _ in range(2)]
        assert text(opening) == expected_text(1)
        router.simulator.free("a")
        rest = []
        while "chunk" in (said := await node.line()):
            rest.append(said["chunk"])
    assert text(opening + rest) == expected_text(3)


async def test_structured_output_is_parsed_by_its_schema(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as node:
        batch = await node.ask("parse", chat())
        streamed = await node.ask("parse_stream", chat(stream_options={"include_usage": True}))
        cut = await node.error("parse", chat(max_tokens=1))
    words = expected_text(3).strip()
    assert batch["parsed"] == streamed["parsed"] == {"name": words, "age": 7, "tags": [words]}
    assert batch["usage"]["cost"] == streamed["usage"]["cost"] == COST
    assert cut["class"] == "LengthFinishReasonError"
    sent = [json.loads(attempt.body)["response_format"] for attempt in router.simulator.log]
    assert [asked["json_schema"]["strict"] for asked in sent] == [True] * 3


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_tool_runner_calls_tools_in_parallel_and_hands_their_results_back(router, stream):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as node:
        ran = await node.ask("run_tools", chat("simulate: tool=look_up,calls=2", stream=stream))
        assert node.statuses == [200, 200]
    assert ran["seen"] == [{"text": expected_text(5)}] * 2
    assert ran["content"] == expected_text(5)
    assert [message["role"] for message in ran["messages"]] == ["user", "assistant", "tool", "tool", "assistant"]
    assert (await router.balance(wallet)).available == 10**9 - (20_000 + 100_000) - (20_000 + 50_000)


async def test_log_probabilities_come_through(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as node:
        answer = await node.ask("complete", chat(logprobs=True, top_logprobs=2))
        chunks, _ = await node.stream(chat(logprobs=True, top_logprobs=2))
    batch = answer["choices"][0]["logprobs"]["content"]
    weighed = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [token for logprobs in weighed if logprobs for token in logprobs["content"]] == batch
    assert [len(token["top_logprobs"]) for token in batch] == [2] * 5


async def test_the_response_itself_has_the_routers_headers(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as node:
        response = await node.ask("response", chat())
        assert response["status"] == 200
        assert response["headers"]["x-tollway-cost-usd"] == COST
        assert response["headers"]["x-request-id"] == json.loads(response["body"])["tollway"]["request_id"]
        streamed = await node.ask("response", chat(stream=True))
    assert streamed["headers"]["content-type"].startswith("text/event-stream")
    assert streamed["body"].endswith("data: [DONE]\n\n")


async def test_a_stream_that_is_aborted_is_paid_as_far_as_it_was_read(router):
    wallet = await router.wallet("1.00")
    router.simulator.step("left", 3)
    async with client(router, wallet) as node:
        assert await node.ask("abort", chat("simulate: lockstep=left,tokens=500")) is True
        call = await settled(router, wallet)
    assert call["ended"] == "client_left"
    assert 0 < call["charged"] < 500 * 10_000


async def test_an_image_by_data_url_goes_through_as_it_is(router):
    wallet = await router.wallet("1.00")
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    content = [{"type": "text", "text": "What is this?"}, image]
    async with client(router, wallet) as node:
        await node.ask("complete", chat() | {"messages": [{"role": "user", "content": content}]})
    assert json.loads(router.simulator.log[-1].body)["messages"][0]["content"] == content


async def test_a_tool_is_called_and_its_result_goes_back(router):
    wallet = await router.wallet("1.00")
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    question = {"role": "user", "content": "simulate: tool=look_up"}
    async with client(router, wallet) as node:
        first = await node.ask("complete", {"model": "sim/model", "messages": [question], "tools": tools})
        asked = first["choices"][0]["message"]
        (call,) = asked["tool_calls"]
        assert (call["function"]["name"], first["choices"][0]["finish_reason"]) == ("look_up", "tool_calls")
        result = {"role": "tool", "tool_call_id": call["id"], "content": "found"}
        messages = [question, asked, result, {"role": "user", "content": "Go on."}]
        second = await node.ask("complete", {"model": "sim/model", "messages": messages, "tools": tools})
    assert second["choices"][0]["message"]["content"] == expected_text(5)
    assert json.loads(router.simulator.log[-1].body)["messages"] == messages


async def test_models_are_listed_and_found_by_id_and_by_alias(router):
    async with node_client(f"{router.url}/v1", apiKey="none") as node:
        (listed,) = await node.ask("models")
        assert (listed["id"], listed["object"]) == ("sim/model", "model")
        assert await node.ask("model", "sim/model") == await node.ask("model", "model") == listed


async def test_each_error_is_thrown_in_its_class_and_not_tried_again(router):
    rich, poor = await router.wallet("1.00"), await router.wallet()
    async with client(router, rich) as node:
        for action, body, *expected in (
            ("complete", chat(temperature=3), "BadRequestError", 400, "invalid_request"),
            ("complete", chat() | {"model": "none"}, "NotFoundError", 404, "model_not_found"),
            ("embed", {"model": "none", "input": "hello"}, "NotFoundError", 404, "unsupported_endpoint"),
            ("complete", chat("simulate: status=500"), "InternalServerError", 502, "provider_error"),
            ("stream", chat("simulate: status=503"), "InternalServerError", 503, "no_provider_available"),
        ):
            error = await node.error(action, body)
            assert [error["class"], error["status"], error["code"]] == expected
            assert error["requestID"]
            assert node.statuses == [expected[1]]
        assert (await node.error("complete", chat(temperature=3)))["param"] == "temperature"
    async with client(router, poor) as node:
        error = await node.error("complete", chat())
        assert [error["class"], error["status"], error["code"]] == ["APIError", 402, "insufficient_balance"]
    async with node_client(f"{router.url}/v1", apiKey="sk-none") as node:
        error = await node.error("complete", chat())
        assert [error["class"], error["status"], error["code"]] == ["AuthenticationError", 401, "invalid_sign_in"]
        assert node.statuses == [401]


async def test_a_stream_that_breaks_throws_and_never_ends_as_if_it_were_whole(router):
    wallet = await router.wallet("1.00")
    async with client(router, wallet) as node:
        for fault in ("cut@4", "reset@4", "end@4", "truncated@4", "damaged@4", "error@4"):
            chunks, ended = await node.stream(chat(f"simulate: tokens=9,fault={fault}"))
            assert ended["error"]["code"] == "provider_error", fault
            assert expected_text(3).startswith(text(chunks))
            assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])
            assert node.statuses[1:] == []
    await caught_up(router)
    assert (await router.balance(wallet)).total == 10**9
