"""What follows a failed attempt, decided by what failed; and what a caller is told of it. Batch and stream alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from helpers.providers import answering, provider
from helpers.raw_server import Connection, RawServer
from helpers.running import Running, chat, running
from helpers.settled import settled
from tollway.cli.serve import free_address
from tollway.simulator import Simulator, expected_text, parse_scenario

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
TOKENS = 3
FINE = f"tokens={TOKENS}"
SHORT = 'timeouts = { connect = "5s", first_byte = "200ms", batch = "200ms" }'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Running]:
    """One router for whatever needs no timeouts or providers of its own. `order` overrules health, so that no test is
    left with what another did to a provider's standing."""
    async with running({"a": "", "b": ""}) as router:
        yield router


def behaving(router: Running, a: str, b: str = FINE) -> Running:
    """Both providers as new, and as they are told to be."""
    for name, scenario in (("a", a), ("b", b)):
        router.simulators[name].clear()
        router.simulators[name].scenario = parse_scenario(scenario)
    return router


def ordered(*providers: str, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """A request that asks these first, in this order."""
    options = {"stream_options": {"include_usage": True}} if stream else {}
    return chat(stream=stream, provider={"order": list(providers)}, **options, **fields)


def only_a(stream: bool) -> dict[str, Any]:
    return ordered("a", stream=stream) | {"provider": {"only": ["a"]}}


async def attempts(router: Running, body: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    """Provider, outcome and status of every attempt of a call that was answered, as the answer itself tells them."""
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, body)
    assert answer.status_code == 200, answer.text
    if body["stream"]:
        *chunks, usage, done = [event.removeprefix("data: ") for event in answer.text.rstrip("\n").split("\n\n")]
        assert done == "[DONE]"
        told = json.loads(usage)["tollway"]
        content = "".join(json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    else:
        told = answer.json()["tollway"]
        content = answer.json()["choices"][0]["message"]["content"]
        assert answer.headers["x-tollway-provider"] == told["provider"]
    assert content == expected_text(TOKENS)
    call = await settled(router, wallet, answer.headers["x-request-id"])
    assert call["attempts"] == told["attempts"]
    assert told["provider"] == told["attempts"][-1]["provider"] == call["provider"]
    return [(attempt["provider"], attempt["outcome"], attempt.get("status")) for attempt in told["attempts"]]


async def refused(router: Running, body: dict[str, Any], status: int, code: str) -> Any:
    """The error of a call that nobody could answer. It is final, and free."""
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert answer.headers["x-should-retry"] == "false"
    assert (await settled(router, wallet, answer.headers["x-request-id"]))["charged"] == 0
    return {**answer.json()["error"], "headers": answer.headers}


def asked(router: Running) -> dict[str, int]:
    """How many attempts each provider saw."""
    return {name: len(simulator.log) for name, simulator in router.simulators.items()}


# --- the next provider

NEXT = {
    "status=429": ("rate_limited", 429),
    "status=429&retry_after=5": ("rate_limited", 429),
    "status=503": ("overloaded", 503),
    "status=529": ("overloaded", 529),
    "status=401": ("refused_by_provider", 401),
    "status=402": ("refused_by_provider", 402),
    "status=403": ("refused_by_provider", 403),
    "status=404": ("refused_by_provider", 404),
    "fault=reset": ("connect_failed", None),
    "fault=close": ("connect_failed", None),
    "fault=redirect": ("malformed", 307),
    "fault=huge_headers": ("connect_failed", None),
    "fault=error": ("error_event", None),
    "fault=cut@1": ("cut", 200),
}


@BOTH
@pytest.mark.parametrize("scenario", NEXT)
async def test_a_failed_provider_is_followed_by_the_next_at_once(shared, scenario, stream):
    router = behaving(shared, scenario)
    tried = await attempts(router, ordered("a", "b", stream=stream))
    if tried[0][1] == "stale_connection":  # it broke on one that an earlier test had used
        tried[0] = ("a", "connect_failed", None)
    assert tried == [("a", *NEXT[scenario]), ("b", "ok", 200)]
    assert asked(router) == {"a": 1, "b": 1}


@BOTH
async def test_a_silent_provider_is_followed_by_the_next_after_its_limit(stream):
    outcome = "first_byte_timeout" if stream else "batch_timeout"
    async with running({"a": "fault=silence", "b": FINE}, provider_extra=SHORT) as router:
        tried = await attempts(router, ordered("a", "b", stream=stream))
        assert tried == [("a", outcome, None), ("b", "ok", 200)]


async def test_a_stream_that_never_comes_to_a_token_is_followed_by_the_next_after_its_limit():
    async with running({"a": "fault=stall@1", "b": FINE}, provider_extra=SHORT) as router:
        tried = await attempts(router, ordered("a", "b", stream=True))
        assert tried == [("a", "first_byte_timeout", None), ("b", "ok", 200)]


@BOTH
async def test_a_provider_that_nobody_listens_for_is_followed_by_the_next(stream):
    place = free_address("127.0.0.1:0")
    dead = provider("dead", f"http://{place}/v1", model="sim/model")
    async with running({"b": FINE}, config=dead) as router:
        tried = await attempts(router, ordered("dead", "b", stream=stream))
        assert tried == [("dead", "connect_failed", None), ("b", "ok", 200)]


@BOTH
async def test_a_500_is_asked_once_more_and_may_then_answer(shared, stream):
    router = behaving(shared, f"status=500&fault_times=1&{FINE}")
    tried = await attempts(router, ordered("a", "b", stream=stream))
    assert tried == [("a", "server_error", 500), ("a", "ok", 200)]


@BOTH
async def test_a_second_500_moves_on_to_the_next_provider(shared, stream):
    router = behaving(shared, "status=500")
    tried = await attempts(router, ordered("a", "b", stream=stream))
    assert tried == [("a", "server_error", 500), ("a", "server_error", 500), ("b", "ok", 200)]


@pytest.mark.parametrize("fault", ["unstreamed", "not_json", "truncated@0", "damaged@0"])
async def test_a_stream_that_turns_out_to_be_none_is_followed_by_the_next(shared, fault):
    tried = await attempts(behaving(shared, f"fault={fault}"), ordered("a", "b", stream=True))
    assert [name for name, _, _ in tried] == ["a", "b"]


@pytest.mark.parametrize("fault", ["not_json", "end", "cut", "reset@50", "bad_length"])
async def test_a_batch_answer_that_is_no_chat_completion_is_followed_by_the_next(shared, fault):
    tried = await attempts(behaving(shared, f"fault={fault}"), ordered("a", "b"))
    assert [name for name, _, _ in tried] == ["a", "b"]


# --- the same provider again


@BOTH
async def test_the_only_provider_that_says_when_is_waited_for(shared, stream):
    router = behaving(shared, f"status=429&retry_after_ms=50&fault_times=1&{FINE}")
    tried = await attempts(router, only_a(stream))
    assert tried == [("a", "rate_limited", 429), ("a", "ok", 200)]


@BOTH
async def test_nobody_waits_longer_than_a_caller_would(shared, stream):
    router = behaving(shared, "status=429&retry_after=11")
    error = await refused(router, only_a(stream), 503, "no_provider_available")
    assert error["headers"]["retry-after"] == "11"
    assert error["headers"]["retry-after-ms"] == "11000"
    assert asked(router) == {"a": 1, "b": 0}


@BOTH
async def test_a_limit_without_a_word_of_when_is_not_waited_for(shared, stream):
    router = behaving(shared, "status=429")
    await refused(router, only_a(stream), 503, "no_provider_available")
    assert asked(router) == {"a": 1, "b": 0}


@BOTH
async def test_a_silent_provider_is_never_asked_again_for_this_call(stream):
    async with await Simulator.start(scenario=parse_scenario("fault=silence")) as silent:
        two_models = provider("silent", silent.base_url, model="silent/one", upstream="one") + (
            '[[providers.models]]\nid = "silent/two"\ncontext_length = 1000\nprice = { input = "1", output = "1" }\n'
        )
        config = two_models.replace("[[providers.models]]", f"{SHORT}\n[[providers.models]]", 1)
        async with running({"b": FINE}, config=config) as router:
            body = ordered(stream=stream) | {"model": "silent/one", "models": ["silent/two", "sim/model"]}
            tried = await attempts(router, body)
            assert [name for name, _, _ in tried] == ["silent", "b"]
            assert len(silent.log) == 1


# --- when nobody could answer


@BOTH
@pytest.mark.parametrize("status", [401, 402, 403, 404])
async def test_what_a_provider_refuses_the_operator_is_never_shown_as_the_callers(shared, status, stream, caplog):
    router = behaving(shared, f"status={status}")
    error = await refused(router, only_a(stream), 502, "provider_error")
    assert error["message"] == "Every provider of this model failed. Tried: a (refused_by_provider)."
    assert "www-authenticate" not in error["headers"]
    alarms = [record.getMessage() for record in caplog.records if '"alarm"' in record.getMessage()]
    assert ["provider_refuses_us" in alarm for alarm in alarms] == [True]


@BOTH
async def test_providers_that_are_all_silent_are_a_timeout(stream):
    async with running({"a": "fault=silence", "b": "fault=silence"}, provider_extra=SHORT) as router:
        error = await refused(router, ordered("a", "b", stream=stream), 504, "provider_timeout")
        assert [attempt["provider"] for attempt in error["attempts"]] == ["a", "b"]


@BOTH
async def test_providers_that_are_all_at_their_limit_are_a_503_that_says_when(shared, stream):
    router = behaving(shared, "status=503&retry_after=40", "status=429&retry_after=20")
    error = await refused(router, ordered("a", "b", stream=stream), 503, "no_provider_available")
    assert error["headers"]["retry-after"] == "20"


# --- what is about the request


@BOTH
async def test_a_providers_400_is_passed_on_with_its_reason_redacted_and_nobody_else_is_asked(stream):
    said = (
        "Bad `seed` for org-a1b2c3d4e5f6 with key sk-live-0123456789abcdef at https://node-7.internal/v1: use a number."
    )
    body = json.dumps({"error": {"message": said, "code": "invalid_value", "type": "invalid_request_error"}}).encode()
    async with (
        RawServer(answering(body, status=400)) as raw,
        running({"b": FINE}, config=provider("raw", raw.url, model="sim/model")) as router,
    ):
        error = await refused(router, ordered("raw", "b", stream=stream), 400, "invalid_request")
        redacted = "Bad `seed` for [redacted] with key [redacted] at [redacted] use a number."
        assert error["message"] == f"The provider refused this request: {redacted}"
        assert error["type"] == "invalid_request_error"
        assert asked(router) == {"b": 0}


@BOTH
@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        ("status=400", 400, "invalid_request"),
        ("status=422", 400, "invalid_request"),
        ("status=413", 413, "request_too_large"),
        ("status=400&code=content_filter", 400, "content_filtered"),
        ("status=400&code=context_length_exceeded", 400, "context_length_exceeded"),
    ],
)
async def test_a_refusal_of_the_request_is_final(shared, scenario, status, code, stream):
    router = behaving(shared, scenario)
    await refused(router, ordered("a", "b", stream=stream), status, code)
    assert asked(router) == {"a": 1, "b": 0}


@BOTH
async def test_too_long_a_prompt_moves_on_to_a_larger_model_that_the_caller_named_and_to_no_other(stream):
    async with await Simulator.start(scenario=parse_scenario(FINE)) as other:
        small = provider("small", other.base_url, model="other/small", context_length=50_000)
        large = provider("large", other.base_url, model="other/large", context_length=200_000)
        scenarios = {"a": "status=400&code=context_length_exceeded", "b": FINE}
        async with running(scenarios, config=small + large) as router:
            body = ordered("a", "b", stream=stream) | {"models": ["other/small", "other/large"]}
            tried = await attempts(router, body)
            assert tried == [("a", "rejected", 400), ("large", "ok", 200)]
            await refused(router, body | {"models": ["other/small"]}, 400, "context_length_exceeded")
            assert asked(router) == {"a": 2, "b": 0}


# --- a connection that lay idle


@BOTH
async def test_a_connection_that_the_provider_had_closed_costs_the_caller_nothing_but_a_new_one(stream):
    """The only provider there is: without asking it again there would be no answer."""
    completion = (
        b'{"id":"c-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":'
        b'"assistant","content":"fine"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
    )
    events = (
        b'data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
        b'{"content":"fine"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
        b"\n\ndata: [DONE]\n\n"
    )
    body = events if stream else completion
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    async def one_answer_and_no_more(connection: Connection) -> None:
        if await connection.request():
            await connection.send(whole)
            await connection.request()

    async with (
        RawServer(one_answer_and_no_more) as raw,
        running(config=provider("raw", raw.url)) as router,
    ):
        wallet = await router.wallet("1.00")
        for outcomes in (["ok"], ["stale_connection", "ok"]):
            answer = await router.post(wallet, chat(stream=stream) | {"model": "raw/model"})
            assert (answer.status_code, "fine" in answer.text) == (200, True), answer.text
            call = await settled(router, wallet, answer.headers["x-request-id"])
            assert [attempt["outcome"] for attempt in call["attempts"]] == outcomes
        providers = (await router.http.get("/v1/providers")).json()["data"]
        assert {one["id"]: one["status"] for one in providers}["raw"] == "ok"


# --- a provider that was in trouble


async def test_a_provider_that_answers_again_serves_again_within_seconds_and_one_call_at_a_time_finds_out():
    prices = {"a": '{ input = "0", output = "0" }', "b": '{ input = "50", output = "50" }'}
    async with running({"a": "", "b": ""}, price=prices) as router:
        behaving(router, "status=500")
        wallet, a = await router.wallet("10.00"), router.simulators["a"]

        async def provider_of_a_call() -> str:
            answer = await router.post(wallet, chat())
            assert answer.status_code == 200
            return answer.headers["x-tollway-provider"]

        assert [await provider_of_a_call() for _ in range(5)] == ["b"] * 5
        assert len(a.log) == 2, "one call found out, and asked once more"
        a.scenario = parse_scenario(f"{FINE}&barrier=seen")
        async with asyncio.timeout(20):
            probe = asyncio.ensure_future(provider_of_a_call())
            while len(a.log) == 2:
                if probe.done():
                    probe = asyncio.ensure_future(provider_of_a_call())
                await asyncio.wait([probe], timeout=0.02)
        assert [await provider_of_a_call() for _ in range(5)] == ["b"] * 5, "somebody is finding out"
        a.release("seen")
        assert await probe == "a"
        a.scenario = parse_scenario(FINE)
        assert [await provider_of_a_call() for _ in range(5)] == ["a"] * 5


@BOTH
async def test_a_provider_in_trouble_is_still_asked_where_there_is_no_other_and_serves_at_once_when_it_can(stream):
    async with running({"a": ""}) as router:
        a = router.simulators["a"]
        wallet = await router.wallet("1.00")
        a.scenario = parse_scenario("status=503&retry_after=60")
        assert [(await router.post(wallet, chat(stream=stream))).status_code for _ in range(3)] == [503] * 3
        assert len(a.log) == 3
        (shown,) = (await router.get("/providers"))["data"]
        assert (shown["status"], shown["breakers"]) == ("down", {"sim/model": "open"})
        a.scenario = parse_scenario(FINE)
        assert (await router.post(wallet, chat(stream=stream))).status_code == 200
        await settled(router, wallet)
        (shown,) = (await router.get("/providers"))["data"]
        assert shown["breakers"] == {"sim/model": "closed"}
