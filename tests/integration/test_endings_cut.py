"""How a call ends when its client leaves, the router cuts it, or the router dies; and what it costs. Over HTTP.

Prices are 1,000 nano-USD an input token and 10,000 an output token; where a provider reports usage, the prompt has 20.
In lock-step a stream's events are the role, then tokens, the finish, the usage and [DONE].
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.held_back import HeldBackPosts
from helpers.raw_server import Connection, RawServer
from helpers.running import Running, chat, running
from helpers.settled import lost, owed, settled
from helpers.streaming import DONE, Stream, caught_up, payload, streaming
from helpers.until import until
from tollway.client.wallet import Wallet, account_id
from tollway.ledger import operator
from tollway.simulator import expected_reasoning, expected_text

INPUT, OUTPUT = 1_000, 10_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Path]:
    """Books on disk, which are proved from their rows when the router has closed them."""
    path = tmp_path / "ledger.db"
    yield path
    report = operator.audit(path)
    assert report.clean, report.differences
    assert report.pending == 0


def own_count(text: str) -> int:
    """Four bytes for a token, rounded up."""
    return -(-len(text.encode()) // 4)


async def read_tokens(router: Running, stream: Stream, tokens: int) -> None:
    """Let the role and so many tokens come, and read them."""
    router.simulator.step("k", 2)
    await stream.data()
    await stream.data()
    for _ in range(tokens - 1):
        router.simulator.step("k")
        await stream.data()


# --- the client leaves a stream


async def test_a_client_that_left_before_the_first_token_pays_for_the_input_by_our_own_count(ledger):
    async with running({"sim": "tokens=5&barrier=b"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat("x" * 400, stream=True)) as stream:
            await router.simulator.waiting("b", 1)
            stream.leave()
            call = await settled(router, wallet)
        assert 100 <= call["usage"]["prompt"] <= 110
        assert call["usage"]["completion"] == 0
        assert call["charged"] == call["usage"]["prompt"] * INPUT
        assert call["flags"] == ["client_left_before_token"]
        assert (call["ended"], call["delivery"]) == ("client_left", "none")
        assert [(attempt["provider"], attempt["outcome"]) for attempt in call["attempts"]] == [("sim", "cancelled")]
        await router.simulator.idle()
        assert router.simulator.log[0].client_closed


async def test_a_client_that_left_while_the_provider_was_being_connected_to_pays_nothing(ledger):
    async with running({"sim": "tokens=5"}, ledger=ledger) as router, RawServer(Connection.wait_dropped) as silent:
        assert await router.reload((router.simulator.base_url, f"https://127.0.0.1:{silent.port}"))
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat("x" * 400, stream=True)) as stream:
            await until(lambda: silent.connections)
            stream.leave()
            call = await settled(router, wallet)
        assert (call["charged"], call["ended"], call["attempts"]) == (0, "client_left", [])
        assert (await router.balance(wallet)).available == 10**9
        await silent.connections[0].dropped.wait()


async def test_a_role_alone_is_not_yet_a_token(ledger):
    async with running({"sim": "tokens=5&lockstep=k"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            router.simulator.step("k")
            await router.simulator.sent("k", 1)
            stream.leave()
            call = await settled(router, wallet)
        assert call["charged"] == call["usage"]["prompt"] * INPUT
        assert call["flags"] == ["client_left_before_token"]


async def test_a_client_that_left_while_no_provider_had_the_request_pays_nothing():
    async with running({"sim": "status=429&retry_after=9"}) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await router.simulator.seen(1)
            await router.simulator.idle()
            await caught_up(router)
            stream.leave()
            call = await settled(router, wallet)
        assert call["charged"] == 0
        assert call["ended"] == "client_left"
        assert len(router.simulator.log) == 1


async def test_when_the_client_leaves_mid_stream_the_provider_is_cancelled_and_what_was_delivered_is_charged(ledger):
    async with running({"sim": "tokens=50&lockstep=k"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 3)
            stream.leave()
            call = await settled(router, wallet, await stream.request_id())
        assert call["usage"]["completion"] == own_count(expected_text(3))
        assert call["charged"] == call["usage"]["prompt"] * INPUT + own_count(expected_text(3)) * OUTPUT
        assert call["usage_origin"] == "estimated"
        assert call["flags"] == ["client_left"]
        assert (call["ended"], call["delivery"]) == ("client_left", "partial")
        assert await owed(router) == call["charged"]
        await router.simulator.idle()
        assert router.simulator.log[0].client_closed
        assert router.simulator.log[0].events == 4


async def test_the_provider_is_cancelled_before_the_ledger_is_waited_for(monkeypatch):
    async with running({"sim": "tokens=50&lockstep=k"}) as router:
        wallet = await router.wallet("1.00")
        posts = HeldBackPosts(router.ledger.apply)
        monkeypatch.setattr(router.ledger, "apply", posts.apply)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 3)
            stream.leave()
            await posts.asked.wait()
            await until(lambda: router.simulator.log[0].client_closed)
            posts.let_go.set()
            await settled(router, wallet)


async def test_what_was_reported_so_far_is_charged_when_it_is_more_than_was_delivered(ledger):
    scenario = "tokens=50&lockstep=k&usage=cumulative&prompt_tokens=20&completion_tokens=40"
    async with running({"sim": scenario}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 3)
            stream.leave()
            call = await settled(router, wallet, await stream.request_id())
        assert call["charged"] == 20 * INPUT + 40 * OUTPUT
        assert call["flags"] == ["client_left"]


async def leave_and_drain(router: Running, wallet: Wallet, stream: Stream) -> dict[str, Any]:
    """The client leaves, the router notices, and the provider goes on to its end."""
    call_id = await stream.request_id()
    stream.leave()
    await caught_up(router)
    router.simulator.free("k")
    call = await settled(router, wallet, call_id)
    await router.simulator.idle()
    assert router.simulator.log[0].ended == "complete"
    assert (call["ended"], call["delivery"]) == ("client_left", "partial")
    return call


async def test_a_stream_left_after_a_finish_was_seen_is_drained_for_its_final_usage(ledger):
    scenario = "tokens=3&lockstep=k&prompt_tokens=20&completion_tokens=60"
    async with running({"sim": scenario}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        # Two choices: one has finished, so the other's end is worth waiting for.
        async with streaming(router, wallet, chat(stream=True, n=2)) as stream:
            router.simulator.step("k", 2 + 6 + 1)
            for _ in range(2 + 6):
                await stream.data()
            await router.simulator.sent("k", 9)
            await caught_up(router)
            call = await leave_and_drain(router, wallet, stream)
        assert call["charged"] == 20 * INPUT + 60 * OUTPUT
        assert call["usage_origin"] == "provider"


@pytest.mark.parametrize(
    ("scenario", "model"), [("reasoning=9&tokens=3", ""), ("tokens=12", "reasoning = true")], ids=["seen", "configured"]
)
async def test_a_stream_of_a_reasoning_model_is_drained_for_its_final_usage(ledger, scenario, model):
    scenarios = {"sim": f"{scenario}&lockstep=k&prompt_tokens=20&completion_tokens=60"}
    async with running(scenarios, model_extra=model, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 2)
            call = await leave_and_drain(router, wallet, stream)
        assert call["charged"] == 20 * INPUT + 60 * OUTPUT
        assert call["usage_origin"] == "provider"


async def test_a_drained_stream_without_usage_is_charged_by_our_own_count_of_all_that_was_generated(ledger):
    async with running({"sim": "reasoning=9&tokens=3&lockstep=k&usage=missing"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 2)
            call = await leave_and_drain(router, wallet, stream)
        assert call["usage"]["completion"] == own_count(expected_reasoning(9) + expected_text(3))
        assert call["charged"] == call["usage"]["prompt"] * INPUT + call["usage"]["completion"] * OUTPUT
        assert call["usage_origin"] == "estimated"


async def test_at_whatever_event_a_client_leaves_it_pays_for_no_more_than_came_and_no_hold_is_left(ledger):
    scenario = "tokens=4&prompt_tokens=20&usage=cumulative"
    events = 1 + 4 + 1 + 1  # the role, the tokens, the finish with its usage, [DONE]
    async with running({"sim": scenario}, ledger=ledger) as router:
        for sent in range(events + 1):
            name, wallet = f"after-{sent}", await router.wallet("1.00")
            async with streaming(router, wallet, chat(f"simulate:lockstep={name}", stream=True)) as stream:
                router.simulator.step(name, sent)
                await router.simulator.sent(name, sent)
                await router.simulator.seen(sent + 1)
                await caught_up(router)
                stream.leave()
                await caught_up(router)
                router.simulator.free(name)
                call = await settled(router, wallet)
            tokens = max(0, min(sent - 1, 4))
            # Reported is what the provider says, delivered what we count: the larger one is charged until the end.
            most = tokens if sent > 5 else max(tokens, own_count(expected_text(tokens)))
            assert call["usage"]["completion"] == most, name
            assert call["ended"] == ("complete" if sent > 5 else "client_left"), name


# --- the client leaves a batch call


async def test_a_batch_call_whose_client_left_runs_to_completion_and_costs_its_actual_usage(ledger):
    async with running({"sim": "tokens=5&prompt_tokens=20&barrier=b"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat()) as stream:
            await router.simulator.waiting("b", 1)
            stream.leave()
        await caught_up(router)
        router.simulator.release("b")
        call = await settled(router, wallet)
        assert call["charged"] == 20 * INPUT + 5 * OUTPUT
        assert (call["ended"], call["delivery"]) == ("complete", "unknown")
        assert not router.simulator.log[0].client_closed


async def test_a_client_that_left_before_it_had_the_end_of_a_whole_stream_pays_for_it(ledger, monkeypatch):
    async with running({"sim": "tokens=5&prompt_tokens=20"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        posts = HeldBackPosts(router.ledger.apply)
        monkeypatch.setattr(router.ledger, "apply", posts.apply)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await posts.asked.wait()
            stream.leave()
            await caught_up(router)
            posts.let_go.set()
            call = await settled(router, wallet)
        assert call["charged"] == 20 * INPUT + 5 * OUTPUT
        assert (call["ended"], call["delivery"]) == ("complete", "unknown")


# --- cut by the router

TOTAL = 'timeouts = { total = "400ms" }'


async def cut_stream(stream: Stream, code: str) -> None:
    """The rest of a stream that the router cut: an error frame, and no [DONE]."""
    *tokens, last = await stream.rest()
    assert payload(last)["error"]["code"] == code
    assert f"data: {DONE}" not in tokens


def charged_as_if_the_client_had_left(call: dict[str, Any], tokens: int) -> None:
    assert call["ended"] == "cut_by_router"
    assert call["flags"] == ["cut_by_router"]
    assert call["delivery"] == "partial"
    assert call["usage"]["completion"] == own_count(expected_text(tokens))
    assert call["charged"] == call["usage"]["prompt"] * INPUT + own_count(expected_text(tokens)) * OUTPUT


async def test_a_stream_over_its_total_deadline_is_charged_as_if_the_client_had_left(ledger):
    async with running({"sim": "tokens=50&lockstep=k"}, model_extra=TOTAL, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 3)
            await cut_stream(stream, "provider_timeout")
            charged_as_if_the_client_had_left(await settled(router, wallet, await stream.request_id()), 3)
        await router.simulator.idle()
        assert router.simulator.log[0].client_closed


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_call_over_its_total_deadline_before_any_answer_is_a_504_and_costs_nothing(ledger, stream):
    async with running({"sim": "barrier=b"}, model_extra=TOTAL, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(stream=stream))
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "provider_timeout"
        call = await settled(router, wallet, answer.headers["x-request-id"])
        assert call["charged"] == 0
        assert (call["ended"], call["delivery"]) == ("cut_by_router", "none")


async def test_a_stream_cut_by_a_drain_is_charged_as_if_the_client_had_left(ledger):
    async with running({"sim": "tokens=50&lockstep=k"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 3)
            await router.router.drain(0)
            await cut_stream(stream, "shutting_down")
            charged_as_if_the_client_had_left(await settled(router, wallet, await stream.request_id()), 3)


async def test_a_batch_call_cut_by_a_drain_costs_nothing(ledger):
    async with running({"sim": "barrier=b"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat()) as stream:
            await router.simulator.waiting("b", 1)
            await router.router.drain(0)
            assert (await stream.opened()).status == 503
            assert (await stream.body())["error"]["code"] == "shutting_down"
            call = await settled(router, wallet, await stream.request_id())
        assert call["charged"] == 0
        assert call["ended"] == "cut_by_router"
        assert (await router.post(wallet, chat())).json()["error"]["code"] == "shutting_down"


# 128 choices of 1,000 tokens are some 25 MB of events: far more than sockets hold.
LONG = chat(stream=True, n=128)
LONG_TOKENS = 128_000


async def test_a_stream_that_is_read_too_slowly_is_cut_and_charged_as_if_the_client_had_left(ledger):
    config = '[server]\nslow_reader = "300ms"\n'
    async with running({"sim": "tokens=1000"}, config=config, ledger=ledger) as router:
        wallet = await router.wallet("2.00")
        async with streaming(router, wallet, LONG, small_buffer=True):
            call = await settled(router, wallet)
        assert call["ended"] == "cut_by_router"
        assert call["flags"] == ["cut_by_router"]
        assert call["delivery"] == "partial"
        assert 0 < call["usage"]["completion"] < LONG_TOKENS / 2
        assert call["charged"] == call["usage"]["prompt"] * INPUT + call["usage"]["completion"] * OUTPUT
        await router.simulator.idle()
        assert router.simulator.log[0].client_closed


# --- the router dies


async def test_when_the_router_dies_before_the_post_the_hold_expires_and_nothing_is_charged(tmp_path):
    left_behind = tmp_path / "after" / "ledger.db"
    left_behind.parent.mkdir()
    books = tmp_path / "ledger.db"
    async with running({"sim": "tokens=50&lockstep=k"}, ledger=books) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await read_tokens(router, stream, 3)
            await until(lambda: operator.audit(books).pending == 1)
            for name in ("ledger.db", "ledger.db-wal"):  # what a kill would leave on the disk
                shutil.copy(tmp_path / name, left_behind.parent / name)
            router.simulator.free("k")
            await stream.rest()
    async with running({"sim": ""}, ledger=left_behind) as router:
        balance = await router.balance(wallet)
        assert (balance.available, balance.debits_pending) == (10**9, 0)
        page = await router.ledger.statement(account_id(wallet), limit=10)
        assert [entry.kind for entry in page.entries] == ["expire", "hold", "credit"]
        assert await owed(router) == await lost(router) == 0
        report = operator.audit(left_behind)
        assert report.clean
        assert report.unsettled == 1
