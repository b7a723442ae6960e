"""The operator's listener (`ops.listen`): what it serves while the router works, drains and stops."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.commands import complaint, configure, here, started
from helpers.running import Running, chat, running
from helpers.until import until
from tollway.cli.serve import free_address
from tollway.ops.listener import PATHS
from tollway.ops.metrics import Metrics

FIVE_TOKENS = "tokens=5&prompt_tokens=20"  # 20,000 + 50,000 nano-USD


class Operator:
    """What an operator asks of a running router."""

    def __init__(self, router: Running, http: httpx2.AsyncClient) -> None:
        self.router = router
        self.http = http

    async def metrics(self) -> dict[str, float]:
        """Every sample that isn't 0, as `name label=value ...`, labels in the order of their names."""
        answer = await self.http.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return {
            " ".join(
                [sample.name, *(f"{label}={value}" for label, value in sorted(sample.labels.items()))]
            ): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.value
        }

    async def ended(self, calls: int) -> dict[str, float]:
        """The metrics once so many calls have ended: a call is counted a moment after its answer."""

        async def counted() -> bool:
            found = await self.metrics()
            return sum(value for name, value in found.items() if name.startswith("tollway_calls_total")) == calls

        await until(counted)
        return await self.metrics()


@contextlib.asynccontextmanager
async def operated(scenario: str = FIVE_TOKENS, **options: Any) -> AsyncIterator[Operator]:
    """A router with a listener for its operator."""
    place = free_address("127.0.0.1:0")
    async with (
        running({"sim": scenario}, config=f'[ops]\nlisten = "{place}"\n', **options) as router,
        httpx2.AsyncClient(base_url=f"http://{place}", timeout=30.0, verify=False) as http,
    ):
        yield Operator(router, http)


# --- metrics


async def test_calls_are_counted_with_their_tokens_and_to_the_nano_usd(tmp_path: Path) -> None:
    async with operated(ledger=tmp_path / "ledger.db") as operator:
        router = operator.router
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat())
        await router.post(wallet, chat(stream=True))
        found = await operator.ended(2)
        assert found["tollway_calls_total code= ended=complete"] == 2
        assert found["tollway_tokens_total kind=prompt model=sim/model provider=sim"] == 40
        assert found["tollway_tokens_total kind=completion model=sim/model provider=sim"] == 10
        assert Decimal(answer.json()["usage"]["cost"]) * 2 == Decimal("0.00014")
        assert found["tollway_charged_usd_total model=sim/model provider=sim"] == 0.00014
        assert found["tollway_cost_usd_total model=sim/model provider=sim"] == 0.00014
        assert found["tollway_attempts_total outcome=ok provider=sim"] == 2
        assert found["tollway_call_duration_seconds_count mode=batch"] == 1
        assert found["tollway_call_duration_seconds_count mode=stream"] == 1
        assert found["tollway_first_token_seconds_count provider=sim"] == 1  # of the stream
        assert found["tollway_ledger_commit_seconds_count"] == found["tollway_ledger_commit_commands_count"]
        assert found["tollway_ledger_commit_commands_sum"] >= 5  # a credit, and a hold and a post for each call
        assert "tollway_calls_in_flight" not in found


async def test_a_call_is_in_flight_until_it_has_ended() -> None:
    async with operated("barrier=b") as operator:
        router = operator.router
        wallet = await router.wallet("1.00")
        calls = [asyncio.ensure_future(router.post(wallet, chat())) for _ in range(3)]
        await router.simulator.waiting("b", 3)
        assert (await operator.metrics())["tollway_calls_in_flight"] == 3
        router.simulator.release("b")
        assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200] * 3
        assert "tollway_calls_in_flight" not in await operator.ended(3)


async def test_a_failed_call_is_counted_by_its_error_and_its_attempts() -> None:
    async with operated("status=503") as operator:
        answer = await operator.router.post(await operator.router.wallet("1.00"), chat())
        assert answer.status_code == 503
        found = await operator.ended(1)
        assert found["tollway_calls_total code=no_provider_available ended=provider_failed"] == 1
        assert found["tollway_attempts_total outcome=overloaded provider=sim"] >= 1
        assert [name for name in found if name.startswith(("tollway_tokens", "tollway_charged"))] == []


async def test_what_a_caller_writes_makes_no_series() -> None:
    async with operated() as operator:
        router = operator.router
        wallet = await router.wallet("1.00")
        before = set(await operator.metrics())
        for number in range(5):
            answer = await router.post(wallet, chat() | {"model": f"made-up-{number}", "user": "somebody"})
            assert answer.status_code == 404
        assert (await router.post(None, chat())).status_code == 401
        series = {name for name in await operator.metrics() if " " in name}
        assert series - before == {
            "tollway_refusals_total code=model_not_found",
            "tollway_refusals_total code=missing_sign_in",
        }
        assert (await operator.metrics())["tollway_refusals_total code=model_not_found"] == 5


async def test_a_provider_that_refuses_our_key_is_an_alarm() -> None:
    async with operated("status=401") as operator:
        await operator.router.post(await operator.router.wallet("1.00"), chat())
        assert (await operator.ended(1))["tollway_alarms_total alarm=provider_refuses_us"] == 1


# --- health


async def test_a_router_that_takes_calls_is_healthy_and_ready() -> None:
    async with operated() as operator:
        for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
            answer = await operator.http.get(path)
            assert (answer.status_code, answer.text) == (200, text)
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_router_that_drains_is_healthy_and_not_ready_and_can_be_watched() -> None:
    async with operated("barrier=b") as operator:
        router = operator.router
        call = asyncio.ensure_future(router.post(await router.wallet("1.00"), chat()))
        await router.simulator.waiting("b", 1)
        draining = asyncio.ensure_future(router.router.drain(30))
        await until(lambda: router.router.services.pipeline.draining)
        ready = await operator.http.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "draining\n")
        assert (await operator.http.get("/healthz")).status_code == 200
        assert (await operator.metrics())["tollway_calls_in_flight"] == 1
        router.simulator.release("b")
        assert (await call).status_code == 200
        await draining


# --- what it doesn't serve


async def test_another_path_is_a_404_that_says_what_is_served() -> None:
    async with operated() as operator:
        for path in ("/", "/metrics/", "/v1/models"):
            answer = await operator.http.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
            assert answer.text == "Not here: this listener serves /metrics, /healthz, /readyz.\n"


async def test_another_method_is_a_405_that_says_which_to_use() -> None:
    async with operated() as operator:
        answer = await operator.http.post("/metrics", content=b"x" * 100_000)
        assert (answer.status_code, answer.text) == (405, "Use GET or HEAD.\n")
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_as_get_without_the_body(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    # Said once: what is measured between two requests may have another digit.
    monkeypatch.setattr(Metrics, "text", functools.cache(Metrics.text))
    async with operated() as operator:
        got, head = await operator.http.get(path), await operator.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert got.content
        assert {name: head.headers[name] for name in ("content-type", "content-length")} == {
            "content-type": got.headers["content-type"],
            "content-length": str(len(got.content)),
        }


async def test_headers_without_end_are_refused() -> None:
    async with operated() as operator:
        reader, writer = await asyncio.open_connection(operator.http.base_url.host, operator.http.base_url.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nx-long: " + b"x" * 20_000)
        assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
        writer.close()
        await writer.wait_closed()


async def test_callers_are_not_shown_metrics() -> None:
    async with operated() as operator:
        answer = await operator.router.http.get("/metrics")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unsupported_endpoint")


# --- start and stop


async def test_it_stops_with_the_router() -> None:
    async with operated() as operator:
        assert (await operator.http.get("/healthz")).status_code == 200
    async with httpx2.AsyncClient(base_url=operator.http.base_url, verify=False) as late:
        with pytest.raises(httpx2.ConnectError):
            await late.get("/healthz")


def test_serve_says_where_it_is(tmp_path: Path) -> None:
    configure(tmp_path)
    environment = {"TOLLWAY_OPS__LISTEN": "127.0.0.1:0"}
    with started(
        "serve", cwd=tmp_path, ready=r"operator's listener is at (http://\S+)", environment=environment
    ) as process:
        assert httpx2.get(f"{process.url}/readyz", verify=False).text == "ready\n"
        process.said("serving at")
        process.running.terminate()
        assert process.ended() == 0


def test_a_port_in_use_is_one_line_and_nothing_is_opened(tmp_path: Path) -> None:
    configure(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = here("serve", cwd=tmp_path, environment={"TOLLWAY_OPS__LISTEN": place})
    assert complaint(ran) == f"can't listen at {place}: Address already in use"
    assert [path.name for path in tmp_path.iterdir()] == ["tollway.toml"]


def test_it_can_not_share_the_callers_address(tmp_path: Path) -> None:
    listen = configure(tmp_path)
    ran = here("serve", cwd=tmp_path, environment={"TOLLWAY_OPS__LISTEN": listen})
    assert complaint(ran) == f"can't listen at {listen}: Address already in use"
