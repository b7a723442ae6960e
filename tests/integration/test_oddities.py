"""Upstreams as they are in the wild: whatever a provider's stream looks like, the client's is clean. And headers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from helpers.providers import EVENT_STREAM, USAGE, answering, chunk, completion, provider, sse
from helpers.raw_server import RawServer
from helpers.running import Running, chat, running
from helpers.settled import delivered, settled
from helpers.streaming import DONE, content, finishes, streaming
from tollway.simulator import expected_text

# The role, eight tokens, the finish, the usage, [DONE].
TOKENS, FINISHED, REPORTED = 8, 10, 11

REPORTING = [
    "usage=null_everywhere",
    "usage=final",
    "usage=in_finish",
    "usage=cumulative",
    "role_chunk=off",
    "done=off",
    "done=off&usage=in_finish",
    "chunked=off",
    "chunked=off&done=off",
    "crlf=on",
    "comments=on",
    "bom=on",
    "ids=on",
    "multiline=on",
    "burst=3",
    "burst=100",
    "split=1",
    "split=7",
    "split=char",
    "crlf=on&comments=on&bom=on&ids=on&multiline=on&split=5",
    "fault=noise@0",
    "fault=noise@4",
    f"fault=noise@{FINISHED}",
    "fault=bad_length",
    f"fault=cut@{REPORTED}",
    f"fault=reset@{REPORTED}",
    f"fault=stall@{REPORTED}",
]
SILENT = [
    "usage=missing",
    "usage=missing&done=off",
    f"fault=cut@{FINISHED}",
    f"fault=end@{FINISHED}",
    f"fault=stall@{FINISHED}",  # the ending waits for usage, but not for long
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Running]:
    """One router for all oddities: the prompt says which one is asked for."""
    async with running({"sim": f"tokens={TOKENS}&prompt_tokens=20"}) as router:
        yield router


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("oddity", [*REPORTING, *SILENT])
async def test_whatever_the_provider_sends_the_client_gets_a_clean_whole_stream(shared, oddity):
    wallet = await shared.wallet("1.00")
    async with streaming(shared, wallet, chat(f"simulate:{oddity}", stream=True)) as stream:
        events = await stream.rest()  # each is checked to be one `data:` line and nothing else
        call = await settled(shared, wallet, await stream.request_id())
    assert content(events) == expected_text(TOKENS)
    assert finishes(events) == {0: "stop"}
    assert events.index(f"data: {DONE}") == len(events) - 1
    assert call["ended"] == "complete"
    await delivered(shared, wallet, call["id"])
    if oddity in REPORTING:
        assert call["charged"] == 20 * 1_000 + TOKENS * 10_000
        assert call["flags"] == []
    else:
        assert call["flags"] == ["usage_missing"]


WHOLE_AT_ONCE = chunk(content="Hi", finish="stop")


@pytest.mark.parametrize(
    "payloads",
    [
        [WHOLE_AT_ONCE, DONE],
        [WHOLE_AT_ONCE | {"usage": USAGE}],
        [chunk(role="assistant"), chunk(content="Hi"), chunk(finish="stop", content=None), DONE],
        [chunk(content="Hi"), chunk(content="", finish="stop"), {"choices": None, "usage": USAGE}, DONE],
        [{"choices": [], "prompt_filter_results": []}, chunk(content="Hi"), chunk(finish="stop"), DONE],
        [chunk(content="Hi"), chunk(finish="stop"), chunk(finish="stop"), DONE, "{broken", DONE],
        ["", chunk(content="Hi"), "", chunk(finish="stop"), "[DONE] "],
    ],
    ids=["one chunk", "one chunk, no done", "null content", "null choices", "filter first", "after done", "empty data"],
)
async def test_shapes_of_chunks_that_are_unusual_and_right(payloads):
    async with (
        RawServer(answering(sse(*payloads), type=EVENT_STREAM)) as raw,
        running(config=provider("raw", raw.url)) as router,
        streaming(router, await router.wallet("1.00"), chat(stream=True, model="raw/model")) as stream,
    ):
        events = await stream.rest()
        assert content(events) == "Hi"
        assert finishes(events) == {0: "stop"}
        assert events[-1] == f"data: {DONE}"


async def test_an_ordinary_event_is_relayed_byte_for_byte():
    odd = '{"id":"x" , "vendor":{"a":1.50,"a":2}, "choices":[{"index":0,"delta":{"content":"h\\u00e9"}}]}'
    body = sse(odd, chunk(finish="stop"), DONE)
    async with RawServer(answering(body, type=EVENT_STREAM)) as raw, running(config=provider("raw", raw.url)) as router:
        answer = await router.post(await router.wallet("1.00"), chat(stream=True, model="raw/model"))
        assert answer.text.split("\n\n")[0] == f"data: {odd}"


# --- headers, by allow-list, both ways

CALLERS = {
    "cookie": "session=1",
    "authorization": "Bearer sk-dummy",
    "x-payment": "payment",
    "payment-signature": "payment",
    "accept-encoding": "gzip, br",
    "user-agent": "their client",
    "x-request-id": "their-id",
    "x-forwarded-for": "10.0.0.1",
    "openai-organization": "org-theirs",
}
PROVIDERS = {
    "set_cookie": "id=1",
    "x_request_id": "req_theirs",
    "server": "internal-7",
    "openai_organization": "org-operator",
    "x_ratelimit_remaining_requests": "3",
    "x_tollway_cost_usd": "99",
}


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_provider_gets_the_operators_headers_and_none_of_the_callers(stream, tmp_path: Path):
    key = tmp_path / "key"
    key.write_text("sk-operator-0123456789")
    key.chmod(0o600)
    async with running(provider_extra=f'api_key_file = "{key}"') as router:
        async with streaming(router, await router.wallet("1.00"), chat(stream=stream), **CALLERS) as call:
            assert (await call.opened()).status == 200
        (attempt,) = router.simulator.log
        assert attempt.path == "/v1/chat/completions"
        headers = {name.lower(): value for name, value in attempt.headers}
        assert headers.keys() == {
            "host",
            "authorization",
            "content-type",
            "content-length",
            "accept",
            "accept-encoding",
            "user-agent",
        }
        assert headers["authorization"] == "Bearer sk-operator-0123456789"
        assert headers["accept-encoding"] == "identity"
        assert headers["user-agent"].startswith("tollway/")


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_client_gets_none_of_the_providers_headers(stream):
    if stream:
        script = answering(sse(chunk(content="Hi"), chunk(finish="stop"), DONE), type=EVENT_STREAM, **PROVIDERS)
        own = {"transfer-encoding", "cache-control", "x-accel-buffering"}
    else:
        script = answering(json.dumps(completion("Hi")).encode(), **PROVIDERS)
        own = {"content-length", "x-tollway-provider", "x-tollway-cost-usd"}
    async with RawServer(script) as raw, running(config=provider("raw", raw.url)) as router:
        answer = await router.post(await router.wallet("1.00"), chat(stream=stream, model="raw/model"))
        assert answer.status_code == 200
        assert set(answer.headers) == {"date", "content-type", "x-request-id"} | own
        assert answer.headers["x-request-id"] != "req_theirs"
        assert answer.headers.get("x-tollway-cost-usd") != "99"


async def test_the_routers_own_fields_never_reach_a_provider():
    async with running() as router:
        body = chat(provider={"order": ["sim"]}, models=["sim/model"], max_cost="0.5", top_k=7)
        assert (await router.post(await router.wallet("1.00"), body)).status_code == 200
        sent = json.loads(router.simulator.log[0].body)
        assert len(sent.pop("user")) == 32  # the router's own, which stands for the account
        assert sent == {"model": "sim?", "messages": body["messages"], "top_k": 7}
