"""Who is asked, and who first: the caller's preferences, and how providers have been doing."""

import json
from typing import Any

import httpx2
import pytest

from helpers.running import Running, chat, running
from helpers.settled import settled
from helpers.until import until
from tollway.domain.answer import AttemptRecord
from tollway.simulator import parse_scenario

# By price the first is drawn first in all but one of 10^8 calls; the second serves when the first is not well.
CHEAP_FIRST = {"cheap": '{ input = "0.01", output = "0.01" }', "dear": '{ input = "100", output = "100" }'}
FINE = "tokens=2"


async def served(router: Running, **preferences: Any) -> httpx2.Response:
    return await router.post(await router.wallet("5.00"), chat(provider=preferences, max_tokens=10))


def asked(router: Running) -> list[str]:
    """Who was asked, in order."""
    attempts = [(attempt.at, name) for name, simulator in router.simulators.items() for attempt in simulator.log]
    return [name for _, name in sorted(attempts)]


@pytest.mark.parametrize("order", [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]])
async def test_order_is_tried_as_it_was_said(order):
    async with running({"a": "status=503", "b": "status=503", "c": "status=503"}) as router:
        assert (await served(router, order=order)).status_code == 503
        assert asked(router) == order


async def test_who_is_not_in_order_comes_after_it():
    async with running({"a": FINE, "b": "status=503"}) as router:
        assert (await served(router, order=["b"])).status_code == 200
        assert asked(router) == ["b", "a"]


async def test_only_and_ignore_leave_providers_out():
    async with running({"a": FINE, "b": "status=503", "c": "status=503"}) as router:
        assert (await served(router, only=["b"])).status_code == 503
        assert (await served(router, ignore=["a", "b"])).status_code == 503
        assert asked(router) == ["b", "c"]


async def test_without_fallbacks_only_the_first_is_asked():
    async with running({"a": "status=503", "b": FINE}) as router:
        answer = await served(router, order=["a"], allow_fallbacks=False)
        assert answer.status_code == 503
        assert asked(router) == ["a"]


async def test_a_pinned_provider_is_asked_alone():
    async with running({"a": "status=503", "b": FINE}) as router:
        answer = await router.post(await router.wallet("1.00"), chat(model="a:sim/model"))
        assert answer.status_code == 503
        assert asked(router) == ["a"]


async def test_a_name_that_is_no_provider_is_told_and_holds_nothing():
    async with running({"a": FINE}) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(provider={"only": ["b"]}))
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "provider_not_found")
        assert (await router.balance(wallet)).debits_pending == 0
        assert asked(router) == []


# --- sorts, caps, what a provider can take


async def test_sorted_by_throughput_or_latency_the_fastest_stream_is_asked_first():
    # What streams were like is told to the router's health, not measured: a busy machine is slow with both.
    async with running({"slow": FINE, "quick": FINE}) as router:
        wallet = await router.wallet("5.00")
        for name, first_token_ms, tokens_per_s in (("slow", 900.0, 5.0), ("quick", 1.0, 500.0)):
            router.router.services.health.observe(
                AttemptRecord(
                    provider=name,
                    model="sim/model",
                    outcome="ok",
                    first_token_ms=first_token_ms,
                    tokens_per_s=tokens_per_s,
                    duration_ms=first_token_ms,
                )
            )
        for wish in ({"sort": "latency"}, {"sort": "throughput"}, {"preferred_max_latency": 0.05}):
            assert (await served(router, **wish)).headers["x-tollway-provider"] == "quick"
        answer = await router.post(wallet, chat(model="sim/model:nitro", max_tokens=10))
        assert answer.headers["x-tollway-provider"] == "quick"
        found = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)
        verdicts = {verdict["candidate"]: verdict for verdict in found["route"]["verdicts"]}
        medians = [verdicts[f"{name}:sim/model"]["performance"]["tokens_per_s"]["p50"] for name in ("quick", "slow")]
        assert medians[0] > medians[1]
        assert found["route"]["asked"]["text_bytes"] > 0


async def test_a_price_cap_leaves_out_the_dear_and_says_what_would_fit():
    async with running({"cheap": FINE, "dear": FINE}, price=CHEAP_FIRST) as router:
        assert (await served(router, max_price={"prompt": 1}, ignore=["cheap"])).status_code == 503
        error = (await served(router, max_price={"prompt": 0.005})).json()["error"]
        assert error["code"] == "no_provider_available"
        assert [entry["reason"] for entry in error["candidates"]] == ["over_max_price", "over_max_price"]
        assert error["would_fit"]["lowest_price"] == {
            "candidate": "cheap:sim/model",
            "prompt": "0.01",
            "completion": "0.01",
        }
        assert asked(router) == []


async def test_what_a_provider_can_not_take_is_dropped_or_refused():
    async with running({"sim": FINE}, model_extra='unsupported = ["logprobs"]') as router:
        wallet = await router.wallet("5.00")
        body = chat(max_tokens=10, logprobs=True, top_logprobs=2, seed=1)
        assert (await router.post(wallet, body)).status_code == 200
        sent = json.loads(router.simulator.log[0].body)
        assert (sent.get("seed"), sent.get("logprobs"), sent.get("top_logprobs")) == (1, None, None)
        refused = await router.post(wallet, body | {"provider": {"require_parameters": True}})
        assert refused.status_code == 503
        (told,) = refused.json()["error"]["candidates"]
        assert (told["reason"], told["note"]) == ("lacks_parameters", "logprobs, seed, top_logprobs")


# --- health

TROUBLE = [
    "status=503",
    "status=500",
    "status=429",
    "status=429&retry_after=60",
    "status=401",
    "fault=reset",
    "fault=error",
    "fault=silence",
]


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_provider_with_trouble_goes_to_the_back(trouble):
    timeouts = 'timeouts = { batch = "200ms" }'
    scenarios = {"cheap": f"{trouble}&fault_times=2&{FINE}", "dear": FINE}
    async with running(scenarios, price=CHEAP_FIRST, provider_extra=timeouts) as router:
        assert (await served(router)).headers["x-tollway-provider"] == "dear"
        first = asked(router)
        assert first[0] == "cheap"
        assert (await served(router)).headers["x-tollway-provider"] == "dear"
        assert asked(router) == [*first, "dear"]


async def test_a_provider_that_answers_again_comes_back():
    async with running({"cheap": f"status=503&fault_times=1&{FINE}", "dear": FINE}, price=CHEAP_FIRST) as router:
        assert (await served(router)).headers["x-tollway-provider"] == "dear"
        assert (await served(router, only=["cheap"])).status_code == 200
        assert (await served(router)).headers["x-tollway-provider"] == "cheap"


async def test_a_caller_who_orders_a_troubled_provider_gets_it():
    async with running({"cheap": f"status=503&fault_times=1&{FINE}", "dear": FINE}, price=CHEAP_FIRST) as router:
        assert (await served(router)).headers["x-tollway-provider"] == "dear"
        assert (await served(router, order=["cheap"])).headers["x-tollway-provider"] == "cheap"


async def test_a_stream_that_breaks_off_is_trouble_too():
    async with running(
        {"cheap": "tokens=9&gap=1ms&fault=cut@6&fault_times=1", "dear": FINE}, price=CHEAP_FIRST
    ) as router:
        broken = await router.post(await router.wallet("5.00"), chat(stream=True, max_tokens=10))
        assert '"code":"provider_error"' in broken.text
        assert (await served(router)).headers["x-tollway-provider"] == "dear"


@pytest.mark.parametrize("scenario", ["status=400", "status=400&code=content_filter"])
async def test_a_refusal_of_the_request_is_no_trouble_of_the_provider(scenario):
    async with running({"cheap": f"{scenario}&fault_times=1&{FINE}", "dear": FINE}, price=CHEAP_FIRST) as router:
        assert (await served(router)).status_code == 400
        assert (await served(router)).headers["x-tollway-provider"] == "cheap"


async def test_a_client_that_leaves_is_no_trouble_of_the_provider():
    async with running({"cheap": "barrier=b", "dear": FINE}, price=CHEAP_FIRST) as router:
        wallet = await router.wallet("5.00")
        cheap = router.simulators["cheap"]
        with pytest.raises(httpx2.ReadTimeout):
            await router.http.post(
                "/api/v1/chat/completions",
                json=chat(stream=True, max_tokens=10),
                headers=router.headers(wallet),
                timeout=0.2,
            )
        await until(lambda: cheap.log[0].client_closed)
        await settled(router, wallet)
        cheap.release("b")
        cheap.scenario = parse_scenario(FINE)
        assert (await served(router)).headers["x-tollway-provider"] == "cheap"


async def test_trouble_is_shown_to_everybody():
    async with running({"cheap": "status=503", "dear": FINE}, price=CHEAP_FIRST) as router:
        await served(router)
        shown = {entry["id"]: entry for entry in (await router.get("/providers"))["data"]}
        assert shown["cheap"]["status"] == "degraded"
        assert shown["dear"]["status"] == "ok"
        (model,) = (await router.get("/models"))["data"]
        assert {entry["id"]: entry["status"] for entry in model["providers"]} == {"cheap": "degraded", "dear": "ok"}
