"""A new configuration for a router that runs: calls to come are served by it, calls in flight end by what they began
with, and one that can't be served changes nothing."""

import asyncio
import gc
import json
import logging
import weakref
from pathlib import Path

import pytest

from helpers.running import Running, chat, running
from helpers.settled import check_books, settled
from helpers.streaming import DONE, content, streaming
from tollway.client.wallet import account_id
from tollway.config.schema import Config

PRICE = 'input = "1", output = "10"'
DEARER = (PRICE, 'input = "100", output = "1000"')
LOCKSTEP = "lockstep=it,tokens=3"


async def ready(router: Running) -> bool:
    return (await router.http.get("/readyz")).status_code == 200


def alarms(router: Running, name: str) -> int:
    metrics: bytes = router.router.metrics.text()
    series = f'tollway_alarms_total{{alarm="{name}"}} '
    (line,) = [one for one in metrics.decode().splitlines() if one.startswith(series)]
    return int(float(line.split()[-1]))


def refused(router: Running) -> bool:
    return b"\ntollway_config_refused 1.0\n" in router.router.metrics.text()


async def test_a_new_price_is_for_new_calls_and_a_running_one_pays_what_it_began_with() -> None:
    async with running({"sim": LOCKSTEP}) as router:
        wallet = await router.wallet("1000")
        router.simulator.step("it", 2)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await stream.event()
            assert await router.reload(DEARER)
            router.simulator.free("it")
            assert (await stream.rest())[-1] == f"data: {DONE}"
            before = await settled(router, wallet, await stream.request_id())
        answer = await router.post(wallet, chat())
        after = await settled(router, wallet, answer.headers["x-request-id"])
    assert before["usage"] == after["usage"]
    assert after["charged"] == 100 * before["charged"] > 0


async def test_a_model_that_is_gone_finishes_its_calls_and_gets_no_new_ones() -> None:
    async with running({"sim": LOCKSTEP}) as router:
        wallet = await router.wallet("1000")
        router.simulator.step("it", 2)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await stream.event()
            assert await router.reload(("sim/model", "sim/newer"), ('aliases = ["model"]', "aliases = []"))
            gone = await router.post(wallet, chat())
            router.simulator.free("it")
            await stream.rest()
        assert content(stream.events[:-1])
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")
        assert [model["id"] for model in (await router.get("/models"))["data"]] == ["sim/newer"]
        assert (await settled(router, wallet, await stream.request_id()))["model"] == "sim/model"
        assert (await router.post(wallet, chat(model="sim/newer"))).status_code == 200
        await check_books(router)


async def test_a_provider_that_is_gone_finishes_its_calls() -> None:
    async with running({"a": LOCKSTEP}) as router:
        wallet = await router.wallet("1000")
        router.simulator.step("it", 2)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await stream.event()
            assert await router.reload(('id = "a"', 'id = "b"'))
            router.simulator.free("it")
            await stream.rest()
            ended = await settled(router, wallet, await stream.request_id())
        assert (ended["provider"], ended["charged"] > 0) == ("a", True)
        assert (await router.post(wallet, chat())).headers["x-tollway-provider"] == "b"
        assert [one["id"] for one in (await router.get("/providers"))["data"]] == ["b"]


async def test_a_broken_configuration_changes_nothing_and_every_mistake_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as router:
        wallet = await router.wallet("1000")
        before = router.router.services.snapshot
        with caplog.at_level(logging.INFO, "tollway"):
            assert not await router.reload(
                ("context_length = 100000", "context_lenght = 5"),
                ("max_output_tokens = 1000", "max_output_tokens = 0"),
                (PRICE, 'input = "free"'),
            )
        assert router.router.services.snapshot is before
        said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(said) == 3
        assert all(line.startswith("the configuration was not reloaded: providers[0].models[0].") for line in said)
        assert (refused(router), alarms(router, "config_reload_refused")) == (True, 1)
        assert await ready(router)
        assert (await router.post(wallet, chat())).status_code == 200
        assert await router.reload()
        assert (refused(router), alarms(router, "config_reload_refused")) == (False, 1)


async def test_a_model_without_a_known_price_is_kept_out(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as router:
        assert not await router.reload(("price = { " + PRICE + " }", ""))
        assert "no known price" in caplog.text
        assert (await router.get("/models"))["data"][0]["pricing"]["input"] == "0.000001"


async def test_reading_that_fails_in_an_unforeseen_way_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> Config:
        raise MemoryError

    async with running() as router:
        assert not await router.router.reloader.reload(read)
        assert "could not be read (MemoryError)" in caplog.text
        assert await router.reload()


async def test_a_key_file_is_read_again_so_that_a_key_is_rotated_without_a_restart(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-first")
    async with running(provider_extra=f'api_key_file = "{key}"') as router:
        wallet = await router.wallet("1000")
        for written, expected in (("sk-first", "sk-first"), ("sk-second\n", "sk-second")):
            key.write_text(written)
            assert await router.reload()
            assert (await router.post(wallet, chat())).status_code == 200
            assert ("authorization", f"Bearer {expected}") in router.simulator.log[-1].headers
        key.unlink()
        assert not await router.reload()
        assert (await router.post(wallet, chat())).status_code == 200


async def test_connections_to_providers_are_kept() -> None:
    async with running() as router:
        wallet = await router.wallet("1000")
        for _ in range(3):
            assert (await router.post(wallet, chat())).status_code == 200
            assert await router.reload()
        assert len(router.simulator._connections) == 1


async def test_an_account_that_is_denied_now_is_refused_though_its_sign_in_is_known() -> None:
    async with running(config="[auth]\ndeny = []\n") as router:
        wallet = await router.wallet("1000")
        headers = router.headers(wallet)

        async def asked() -> int:
            answer = await router.http.post("/api/v1/chat/completions", json=chat(), headers=headers)
            return int(answer.status_code)

        assert await asked() == 200
        assert await router.reload(("deny = []", f'deny = ["{account_id(wallet)}"]'))
        assert await asked() == 403
        assert await router.reload((f'["{account_id(wallet)}"]', "[]"))
        assert await asked() == 200


async def test_a_sign_in_that_was_revoked_stays_so() -> None:
    async with running() as router:
        headers = router.headers(await router.wallet("1"))
        assert (await router.http.delete("/api/v1/session", headers=headers)).status_code == 204
        assert await router.reload()
        answer = await router.http.post("/api/v1/chat/completions", json=chat(), headers=headers)
        assert answer.json()["error"]["code"] == "sign_in_revoked"


async def test_limits_change_also_for_connections_that_are_open() -> None:
    async with running(config='[server]\nmax_header = "16KiB"\n') as router:
        headers = {"x-padding": "x" * 8_000}
        assert (await router.http.get("/healthz", headers=headers)).status_code == 200
        assert await router.reload(('max_header = "16KiB"', 'max_header = "4KiB"'))
        assert (await router.http.get("/healthz", headers=headers)).status_code == 431
        assert await router.reload(('max_header = "4KiB"', 'max_header = "16KiB"'))
        assert (await router.http.get("/healthz", headers=headers)).status_code == 200


async def test_pages_that_may_call_change() -> None:
    page = {"origin": "https://app.example"}
    async with running(config="[server]\ncors_origins = []\n") as router:
        assert "access-control-allow-origin" not in (await router.http.get("/healthz", headers=page)).headers
        assert await router.reload(("cors_origins = []", 'cors_origins = ["https://app.example"]'))
        answer = await router.http.get("/healthz", headers=page)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert await router.reload(('["https://app.example"]', "[]"))
        assert "access-control-allow-origin" not in (await router.http.get("/healthz", headers=page)).headers


async def test_what_needs_a_restart_is_named_and_the_rest_is_served(caplog: pytest.LogCaptureFixture) -> None:
    async with running({"sim": ""}, config='[ops]\nlisten = ""\n') as router:
        wallet = await router.wallet("1000")
        with caplog.at_level(logging.INFO, "tollway"):
            assert await router.reload(('[ops]\nlisten = ""', '[ops]\nlisten = "127.0.0.1:9"'), DEARER)
        assert "only a restart applies it: ops.listen" in caplog.text
        assert "the configuration was reloaded: models: 1, providers: 1" in caplog.text
        assert (await router.post(wallet, chat())).status_code == 200
        assert (await router.get("/models"))["data"][0]["pricing"]["input"] == "0.0001"


async def test_an_old_snapshot_is_garbage_once_its_calls_have_ended() -> None:
    async with running({"sim": LOCKSTEP}) as router:
        wallet = await router.wallet("1000")
        router.simulator.step("it", 2)
        old = weakref.ref(router.router.services.snapshot)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await stream.event()
            assert await router.reload(DEARER)
            gc.collect()
            assert old() is not None
            router.simulator.free("it")
            await stream.rest()
            await settled(router, wallet, await stream.request_id())
        gc.collect()
        assert old() is None


async def test_health_forgets_what_is_no_longer_served_and_keeps_the_rest() -> None:
    async with running({"a": "status=503", "b": ""}) as router:
        wallet = await router.wallet("1000")
        for _ in range(30):
            await router.post(wallet, chat())
            if router.simulators["a"].log:
                break
        health = router.router.services.health
        assert health.stats("a").attempts > 0
        assert await router.reload()
        assert health.stats("a").attempts > 0
        assert await router.reload(('id = "a"', 'id = "c"'))
        assert health.stats("a").attempts == 0


async def test_reloads_at_once_are_taken_in_turn_and_the_last_one_stays() -> None:
    async with running() as router:
        under_way, most = 0, 0

        def reading(text: str) -> Config:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            config = router.read(text)
            under_way -= 1
            return config

        texts = [router.text.replace("max_output_tokens = 1000", f"max_output_tokens = {n}") for n in range(1, 9)]
        reload = router.router.reloader.reload
        assert all(await asyncio.gather(*(reload(lambda text=text: reading(text)) for text in texts)))
        assert most == 1
        assert (await router.get("/models"))["data"][0]["max_output_tokens"] == 8


async def test_calls_under_way_and_to_come_are_all_served_while_reloads_come() -> None:
    async with running({"a": "tokens=20", "b": "tokens=20"}) as router:
        wallet = await router.wallet("10")

        async def caller(stream: bool) -> None:
            for _ in range(10):
                answer = await router.post(wallet, chat(stream=stream))
                assert answer.status_code == 200, answer.text
                assert not stream or answer.text.endswith("data: [DONE]\n\n")
                assert stream or json.loads(answer.text)["usage"]["completion_tokens"] == 20

        calls = [asyncio.ensure_future(caller(stream)) for stream in (True, False) * 3]
        price, other = PRICE, 'input = "2", output = "20"'
        while not all(call.done() for call in calls):
            assert await router.reload((price, other))
            assert await ready(router)
            price, other = other, price
        await asyncio.gather(*calls)
        await check_books(router)
        assert (await router.ledger.statement(account_id(wallet), limit=500)).entries
