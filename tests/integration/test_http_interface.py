"""The HTTP interface besides the chat itself: paths, methods, headers, listings, generations, health."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from helpers.refusals import UUID7, refused, unharmed
from helpers.running import Running, chat, running
from helpers.streaming import DONE, payload

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIXES = pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
EXTRA = """
[[providers.models]]
id = "plain"
upstream = "sim"
context_length = 5000
price = { input = "1", output = "2", cached_input = "0.1", features = { web_search = "0.01" } }
part_tokens = { image_url = 1000 }
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    config = '[billing]\nmarkup = "3%"\n'
    async with running({"sim": "tokens=5&prompt_tokens=20"}, config=config, model_extra=EXTRA) as router:
        yield router


# --- paths and methods

SERVED = {
    "chat/completions": "POST",
    "models": "GET, HEAD",
    "models/sim/model": "GET, HEAD",
    "providers": "GET, HEAD",
    "session": "DELETE",
    "session/balance": "GET, HEAD",
    "session/nonce": "GET, HEAD",
    "session/transactions": "GET, HEAD",
    "generations/x": "GET, HEAD",
}


@PREFIXES
@pytest.mark.parametrize("path", SERVED)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_a_method_that_is_not_served_is_a_405_that_names_those_that_are(
    router: Running, prefix: str, path: str, method: str
) -> None:
    allow = SERVED[path]
    if method in allow:
        return
    answer = await router.http.request(method, f"{prefix}/{path}")
    refused(answer, 405, "method_not_allowed", says=f"{method} is not served here: use {allow}.")
    assert answer.headers["allow"] == allow


async def test_a_wrong_method_costs_nothing(router: Running) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        answer = await router.http.request("PUT", "/v1/chat/completions", json=chat(), headers=router.headers(wallet))
        refused(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/chat/completions/",
        "/v1/chat/completions/x",
        "/api/v1/images/generations",
        "/api/v2/models",
        "/chat/completions",
        "/v1/generations",
        "/v1/session/x",
        "/metrics",
        "/V1/models",
        "/v1//models",
        "/v1/%2e%2e/healthz",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_any_other_path_is_a_404_that_says_what_is_served(router: Running, method: str, path: str) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        answer = await router.http.request(method, path, headers=router.headers(wallet))
        error = refused(answer, 404, "unsupported_endpoint", says="It serves ")
        for served in ("/v1/chat/completions", "/v1/models", "/v1/session/balance", "/v1/generations/{id}", "/healthz"):
            assert served in error["message"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/api/v1/providers"])
async def test_head_answers_as_get_without_a_body(router: Running, path: str) -> None:
    answer = await router.http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len((await router.http.get(path)).content))


# --- headers


@PREFIXES
@pytest.mark.parametrize("method_and_path", ["POST chat/completions", "GET models", "GET session/balance"])
async def test_headers_over_the_limit_are_refused(router: Running, prefix: str, method_and_path: str) -> None:
    method, path = method_and_path.split()
    wallet = await router.wallet("1.00")
    for headers in ({"x-large": "x" * 17_000}, {f"x-{number}": "y" * 100 for number in range(170)}):
        async with unharmed(router, wallet):
            answer = await router.http.request(
                method, f"{prefix}/{path}", json=chat(), headers=router.headers(wallet) | headers
            )
            refused(answer, 431, "headers_too_large", says="this router takes 16384 (server.max_header).")


async def test_a_large_header_under_the_limit_is_none_of_our_business(router: Running) -> None:
    assert (await router.post(await router.wallet("1.00"), chat(), **{"x-large": "x" * 9_000})).status_code == 200


async def test_every_answer_has_an_id_of_its_own_and_a_callers_id_is_recorded(router: Running) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, chat(), **{"x-request-id": "mine-1"})
    ours = answer.headers["x-request-id"]
    assert UUID7.match(ours)
    assert answer.json()["tollway"]["request_id"] == ours
    assert (await router.get(f"/generations/{ours}", wallet))["client_request_id"] == "mine-1"
    assert (await router.http.get("/v1/models", headers={"x-request-id": "mine-2"})).headers["x-request-id"] != "mine-2"


async def test_a_very_long_request_id_is_cut(router: Running) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, chat(), **{"x-request-id": "i" * 5_000})
    recorded = (await router.get(f"/generations/{answer.headers['x-request-id']}", wallet))["client_request_id"]
    assert recorded == "i" * 200


async def test_no_header_of_the_caller_reaches_a_provider(router: Running) -> None:
    wallet = await router.wallet("1.00")
    sent = {"cookie": "c=1", "x-payment": "p", "authorization": "Bearer sk-mine", "x-other": "o", "user-agent": "me"}
    assert (await router.post(wallet, chat(), **sent)).status_code == 200
    seen = {name.lower(): value for name, value in router.simulator.log[-1].headers}
    assert seen.keys() <= {"host", "content-type", "accept", "accept-encoding", "user-agent", "content-length"}
    assert seen["user-agent"] != "me"
    assert seen["accept-encoding"] == "identity"


# --- the chat's answer has the official shape


@PREFIXES
async def test_a_batch_answer_is_a_chat_completion(router: Running, prefix: str) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.http.post(f"{prefix}/chat/completions", json=chat(n=2), headers=router.headers(wallet))
    completion = ChatCompletion.model_validate(answer.json(), strict=True)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 10
    assert answer.headers["x-tollway-provider"] == "sim"
    assert answer.headers["x-tollway-cost-usd"] == answer.json()["usage"]["cost"]
    assert set(answer.json()["tollway"]) == {"request_id", "provider", "model", "balance_usd", "attempts"}


@PREFIXES
async def test_a_stream_is_of_chat_completion_chunks(router: Running, prefix: str) -> None:
    wallet = await router.wallet("1.00")
    body = chat(stream=True, stream_options={"include_usage": True})
    answer = await router.http.post(f"{prefix}/chat/completions", json=body, headers=router.headers(wallet))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert UUID7.match(answer.headers["x-request-id"])
    events = [payload(event) for event in answer.text.removesuffix("\n\n").split("\n\n")]
    assert events[-1] == DONE
    chunks = [ChatCompletionChunk.model_validate(event, strict=True) for event in events[:-1]]
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []
    assert events[-2]["tollway"]["request_id"] == answer.headers["x-request-id"]


# --- GET /models


@PREFIXES
async def test_models_are_listed_in_the_official_shape_with_what_they_cost(router: Running, prefix: str) -> None:
    assert (await router.post(await router.wallet("1.00"), chat())).status_code == 200
    answer = (await router.http.get(f"{prefix}/models")).json()
    assert set(answer) == {"object", "data"}
    assert answer["object"] == "list"
    for entry in answer["data"]:
        Model.model_validate(entry, strict=True)
    model, plain = answer["data"]
    created = router.router.services.started_s
    assert model == {
        "id": "sim/model",
        "object": "model",
        "created": created,
        "owned_by": "sim",
        "name": "sim/model",
        "aliases": ["model"],
        "context_length": 100_000,
        "max_output_tokens": 1_000,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "pricing": {"input": "0.00000103", "output": "0.0000103"},
        "providers": [
            {"id": "sim", "pricing": {"input": "0.00000103", "output": "0.0000103"}, "status": "ok"},
        ],
    }
    assert plain["max_output_tokens"] == plain["context_length"] == 5_000
    assert plain["architecture"]["input_modalities"] == ["text", "image"]
    assert plain["pricing"]["cached_input"] == "0.000000103"
    assert plain["pricing"]["features"] == {"web_search": "0.0103"}


@PREFIXES
@pytest.mark.parametrize("name", ["sim/model", "sim%2Fmodel", "model"])
async def test_a_model_is_found_by_its_id_slash_and_all_and_by_its_alias(
    router: Running, prefix: str, name: str
) -> None:
    found = (await router.http.get(f"{prefix}/models/{name}")).json()
    Model.model_validate(found, strict=True)
    listed = (await router.http.get(f"{prefix}/models")).json()["data"]
    assert found == listed[0]


@PREFIXES
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sim/modle", "Did you mean sim/model?"),
        ("", "There is no model ''."),
        ("sim:nope", "Provider sim does not serve 'nope'."),
        ("sim:model", "is a pin: ask for 'sim/model'."),
        ("x" * 5_000, "There is no model 'xxx"),
    ],
)
async def test_an_unknown_model_is_a_404(router: Running, prefix: str, name: str, says: str) -> None:
    answer = await router.http.get(f"{prefix}/models/{name}")
    error = refused(answer, 404, "model_not_found", param="model", says=says)
    assert len(error["message"]) < 300


# --- GET /providers


@PREFIXES
async def test_providers_are_listed_with_how_they_have_been_doing(prefix: str) -> None:
    async with running({"a": "tokens=5", "b": ""}) as router:
        unused = {
            "status": "unknown",
            "models": ["sim/model"],
            "attempts": 0,
            "uptime": None,
            "first_token_ms": None,
            "tokens_per_s": None,
            "breakers": {"sim/model": "closed"},
        }
        assert (await router.http.get(f"{prefix}/providers")).json() == {
            "object": "list",
            "data": [{"id": name, "name": name, **unused} for name in ("a", "b")],
        }
        wallet = await router.wallet("1.00")
        only = {"provider": {"only": ["a"]}}
        for stream in (False, True):
            assert (await router.post(wallet, chat(stream=stream, **only))).status_code == 200
        await router.post(wallet, chat("simulate:status=500", **only))
        first, second = (await router.http.get(f"{prefix}/providers")).json()["data"]
        assert first["attempts"] > 2
        assert first["uptime"] == pytest.approx(2 / first["attempts"])
        assert first["first_token_ms"].keys() == {"p50", "p75", "p90", "p99"}
        assert first["breakers"] == {"sim/model": "open"}
        assert second == {"id": "b", "name": "b", **unused}


# --- GET /generations/{id}


@PREFIXES
async def test_a_generation_is_found_by_our_id_and_by_the_providers(router: Running, prefix: str) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, chat(user="u-1"))
    ours, theirs = answer.headers["x-request-id"], answer.json()["id"]
    headers = router.headers(wallet)
    found = [(await router.http.get(f"{prefix}/generations/{name}", headers=headers)).json() for name in (ours, theirs)]
    assert found[0] == found[1]
    assert (found[0]["id"], found[0]["response_id"], found[0]["user"]) == (ours, theirs, "u-1")


async def test_a_generation_tells_all_about_its_call(router: Running) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, chat(), **{"x-request-id": "mine"})
    found = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)
    times = {name: found.pop(name) for name in ("created_at", "ended_at")}
    assert 0 < times["created_at"] <= times["ended_at"]
    (attempt,) = found.pop("attempts")
    assert attempt.pop("duration_ms") > 0
    assert attempt == {"provider": "sim", "model": "sim/model", "outcome": "ok", "status": 200}
    route = found.pop("route")
    assert isinstance(route["seed"], int)
    assert [(verdict["candidate"], verdict["kept"]) for verdict in route["verdicts"]] == [("sim:sim/model", True)]
    estimate, held = found.pop("estimate"), found.pop("held_usd")
    assert estimate["completion"] > 0
    assert float(held) > float(found["cost_usd"])
    details = ("audio_input", "audio_output", "image_input", "image_output")
    nothing = dict.fromkeys(("cached", "cache_write", "reasoning", *details), 0)
    assert found == {
        "id": answer.headers["x-request-id"],
        "object": "generation",
        "response_id": answer.json()["id"],
        "model_asked": "sim/model",
        "model": "sim/model",
        "provider": "sim",
        "stream": False,
        "ended": "complete",
        "delivery": "complete",
        "error_code": None,
        "usage": {"prompt": 20, "completion": 5, **nothing},
        "usage_origin": "provider",
        "estimate_origin": "bytes",
        "cost_usd": "0.0000721",
        "flags": [],
        "user": None,
        "client_request_id": "mine",
        "key": None,
        "receipt": None,
    }


async def test_another_wallets_generation_is_not_found(router: Running) -> None:
    wallet, other = await router.wallet("1.00"), await router.wallet("1.00")
    answer = await router.post(wallet, chat())
    for name in (answer.headers["x-request-id"], answer.json()["id"]):
        found = await router.http.get(f"/v1/generations/{name}", headers=router.headers(other))
        refused(found, 404, "not_found", param="id", says="This wallet has no finished call of that id.")


@pytest.mark.parametrize("name", ["x", "i" * 5_000, "%00", "..%2fx", "\u00e9"])
async def test_an_unknown_generation_is_not_found(router: Running, name: str) -> None:
    answer = await router.http.get(f"/v1/generations/{name}", headers=router.headers(await router.wallet("1.00")))
    code: Any = "unsupported_endpoint" if "%2f" in name else "not_found"
    refused(answer, 404, code, param=None if "%2f" in name else "id")


# --- health


async def test_a_router_that_runs_is_healthy_and_ready(router: Running) -> None:
    for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
        answer = await router.http.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": status})
        assert UUID7.match(answer.headers["x-request-id"])
