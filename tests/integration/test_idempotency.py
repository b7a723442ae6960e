"""Idempotency-Key over HTTP: one call a key, whatever becomes of its client, and the same answer again. Real sockets,
with the simulated provider counting the calls that reached it.

Prices are 1,000 nano-USD an input token and 10,000 an output token; the prompt has 20.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from helpers.held_back import HeldBackPosts
from helpers.refusals import UUID7
from helpers.running import Running, chat, running
from helpers.settled import check_books, settled
from helpers.streaming import DONE, caught_up, streaming
from helpers.until import until
from tollway.client.wallet import Wallet, account_id
from tollway.domain.commands import Command, Disabled, Hold, Post, Result, SetProvider
from tollway.egress import replay
from tollway.ledger import operator

CHARGE = 20 * 1_000 + 5 * 10_000
SCENARIO = {"sim": "tokens=5&prompt_tokens=20"}
LOCKSTEP = {"sim": "tokens=5&prompt_tokens=20&lockstep=k"}
BODIES = {
    "batch": chat(),
    "stream": chat(stream=True),
    "stream with usage": chat(stream=True, stream_options={"include_usage": True}),
}
EACH = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Path]:
    """Books on disk, which are proved from their rows when the router has closed them."""
    path = tmp_path / "ledger.db"
    yield path
    report = operator.audit(path)
    assert report.clean, report.differences
    assert report.pending == 0


@pytest_asyncio.fixture
async def router() -> AsyncIterator[Running]:
    async with running(SCENARIO) as router:
        yield router


async def keyed(router: Running, wallet: Wallet, body: dict[str, Any], key: str = "a") -> httpx2.Response:
    """The bytes are those that `streaming` sends: a repeat is one to the byte."""
    headers = {**router.headers(wallet), "idempotency-key": key}
    return await router.http.post("/v1/chat/completions", content=json.dumps(body), headers=headers)


async def spent(router: Running, wallet: Wallet, credit: int = 10**9) -> int:
    return credit - (await router.balance(wallet)).total


def again(answer: httpx2.Response, first: httpx2.Response) -> None:
    """It is the first one's answer, and says so."""
    assert (answer.status_code, answer.content) == (first.status_code, first.content)
    assert answer.headers["idempotent-replayed"] == "true"
    assert answer.headers["x-tollway-original-request-id"] == first.headers["x-request-id"]
    assert UUID7.match(answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] != first.headers["x-request-id"]
    assert "idempotent-replayed" not in first.headers
    for name in ("content-type", "x-tollway-provider", "x-tollway-cost-usd", "cache-control"):
        assert answer.headers.get(name) == first.headers.get(name)


def conflict(answer: httpx2.Response, code: str, *, retry: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, code), answer.text
    assert answer.headers["x-should-retry"] == retry
    error: dict[str, Any] = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "Idempotency-Key")
    return error


# --- the answer again


@EACH
async def test_the_same_request_with_the_same_key_is_answered_alike_and_charged_once(ledger, body):
    async with running(SCENARIO, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        first = await keyed(router, wallet, body)
        assert first.status_code == 200
        for _ in range(3):
            again(await keyed(router, wallet, body), first)
        assert len(router.simulator.log) == 1
        assert await spent(router, wallet) == CHARGE
        await check_books(router)
        entries = (await router.ledger.statement(account_id(wallet), limit=10)).entries
        assert [entry.kind for entry in entries] == ["post", "hold", "credit"]


@EACH
async def test_a_restart_changes_nothing_of_it(ledger, body):
    async with running(SCENARIO, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        first = await keyed(router, wallet, body)
    async with running(SCENARIO, ledger=ledger) as router:
        again(await keyed(router, wallet, body), first)
        assert len(router.simulator.log) == 0


async def test_an_answer_that_was_estimated_or_capped_is_the_same_again():
    async with running({"sim": "tokens=50&usage=missing"}) as router:
        wallet = await router.wallet("1.00")
        for number, stream in enumerate((False, True)):
            body = chat(max_cost="0.0005", max_tokens=900, stream=stream, stream_options={"include_usage": True})
            body = body if stream else {name: value for name, value in body.items() if name != "stream_options"}
            first = await keyed(router, wallet, body, key=str(number))
            assert '"estimated":true' in first.text and '"max_tokens_applied":' in first.text
            again(await keyed(router, wallet, body, key=str(number)), first)
        assert len(router.simulator.log) == 2


async def test_text_of_every_kind_comes_back_byte_for_byte():
    async with running({"sim": "text=%E2%82%AC%20%00%F0%9F%98%80%20%5C%22%0A%0A%20data%3A%20x&split=3"}) as router:
        wallet = await router.wallet("1.00")
        for name, body in BODIES.items():
            first = await keyed(router, wallet, body, key=name)
            again(await keyed(router, wallet, body, key=name), first)


@EACH
async def test_neither_an_empty_balance_nor_providers_out_of_service_stand_in_the_way(router, body):
    wallet = await router.wallet("1.00")
    first = await keyed(router, wallet, body)
    left = (await router.balance(wallet)).available
    off = SetProvider(provider="sim", disabled=Disabled(since_ms=1))
    await router.ledger.apply([off, Hold(id="rest", account=account_id(wallet), bounds=(left,))])
    assert (await router.post(wallet, body)).status_code == 503
    again(await keyed(router, wallet, body), first)


async def test_a_long_answer_is_given_again_whole(router):
    wallet = await router.wallet("1.00")
    body = chat("simulate:tokens=800", stream=True, n=4)
    first = await keyed(router, wallet, body)
    assert len(first.content) > 2 * replay.PIECE_BYTES
    again(await keyed(router, wallet, body), first)


# --- what is no repeat


async def test_another_key_another_wallet_and_no_key_are_other_calls(router):
    wallet, other = await router.wallet("1.00"), await router.wallet("1.00")
    ids = {
        (await keyed(router, wallet, chat())).headers["x-request-id"],
        (await keyed(router, wallet, chat(), key="b")).headers["x-request-id"],
        (await keyed(router, other, chat())).headers["x-request-id"],
        (await router.post(wallet, chat())).headers["x-request-id"],
    }
    assert len(ids) == len(router.simulator.log) == 4


async def test_another_body_is_a_mistake_even_if_only_stream_differs(router):
    wallet = await router.wallet("1.00")
    await keyed(router, wallet, chat())
    for body in (chat("other"), chat(stream=True), chat(temperature=1)):
        answer = await keyed(router, wallet, body)
        conflict(answer, "idempotency_conflict", retry="false")
        assert "retry-after-ms" not in answer.headers
    assert len(router.simulator.log) == 1
    assert await spent(router, wallet) == CHARGE


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb"])
async def test_a_key_that_is_none_is_refused(router, key):
    wallet = await router.wallet("1.00")
    answer = await router.http.post(
        "/v1/chat/completions",
        json=chat(),
        headers=[
            *((name.encode(), value.encode()) for name, value in router.headers(wallet).items()),
            (b"Idempotency-Key", key.encode("latin-1")),
        ],
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert len(router.simulator.log) == 0


async def test_the_longest_key_is_taken(router):
    wallet = await router.wallet("1.00")
    first = await keyed(router, wallet, chat(), key="~" * 255)
    again(await keyed(router, wallet, chat(), key="~" * 255), first)


# --- in flight


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_while_the_call_is_in_flight_a_repeat_is_told_to_come_back(stream):
    async with running({"sim": "tokens=5&prompt_tokens=20&barrier=b"}) as router:
        wallet = await router.wallet("1.00")
        calling = asyncio.create_task(keyed(router, wallet, chat(stream=stream)))
        await router.simulator.waiting("b", 1)
        answer = await keyed(router, wallet, chat(stream=stream))
        conflict(answer, "idempotency_in_flight", retry="true")
        assert answer.headers["retry-after-ms"] == "1000"
        conflict(await keyed(router, wallet, chat("other")), "idempotency_conflict", retry="false")
        router.simulator.release("b")
        first = await calling
        again(await keyed(router, wallet, chat(stream=stream)), first)
        assert len(router.simulator.log) == 1


async def test_until_the_post_is_durable_a_repeat_is_told_to_come_back(router, monkeypatch):
    wallet = await router.wallet("1.00")
    posts = HeldBackPosts(router.ledger.apply)
    monkeypatch.setattr(router.ledger, "apply", posts.apply)
    calling = asyncio.create_task(keyed(router, wallet, chat()))
    await posts.asked.wait()
    conflict(await keyed(router, wallet, chat()), "idempotency_in_flight", retry="true")
    posts.let_go.set()
    again(await keyed(router, wallet, chat()), await calling)


@pytest.mark.parametrize("books", ["memory", "sqlite"])
async def test_64_equal_requests_at_once_are_one_call_and_one_charge(tmp_path, books):
    async with running(SCENARIO, ledger=tmp_path / "l.db" if books == "sqlite" else None) as router:
        wallet = await router.wallet("1.00")
        answers = await asyncio.gather(*(keyed(router, wallet, chat()) for _ in range(64)))
        good = [answer for answer in answers if answer.status_code == 200]
        for answer in answers:
            if answer.status_code != 200:
                conflict(answer, "idempotency_in_flight", retry="true")
        assert len({answer.content for answer in good}) == 1
        assert sum("idempotent-replayed" not in answer.headers for answer in good) == 1
        assert len(router.simulator.log) == 1
        assert await spent(router, wallet) == CHARGE


async def test_64_equal_requests_at_two_routers_on_one_postgresql_are_one_call_and_one_charge(postgres):
    with postgres().database() as books:
        async with running(SCENARIO, ledger=books) as one, running(SCENARIO, ledger=books) as other:
            wallet = await one.wallet("1.00")
            answers = await asyncio.gather(
                *(keyed(router, wallet, chat()) for _ in range(32) for router in (one, other))
            )
            good = [answer for answer in answers if answer.status_code == 200]
            for answer in answers:
                if answer.status_code != 200:
                    conflict(answer, "idempotency_in_flight", retry="true")
            assert sum("idempotent-replayed" not in answer.headers for answer in good) == 1
            assert len(one.simulator.log) + len(other.simulator.log) == 1
            for router in (one, other):
                answer = await keyed(router, wallet, chat())
                assert answer.headers["idempotent-replayed"] == "true"
                assert {answer.content} == {first.content for first in good}
                assert await spent(router, wallet) == CHARGE
        assert operator.audit(books).clean


# --- when a key is free again


async def test_a_call_that_failed_leaves_its_key_free(router):
    wallet = await router.wallet("1.00")
    await router.reload(("tokens=5", "status=400"))
    assert (await keyed(router, wallet, chat("one"))).status_code == 400
    await router.reload(("status=400", "tokens=5"))
    first = await keyed(router, wallet, chat("two"))
    again(await keyed(router, wallet, chat("two")), first)
    assert len(router.simulator.log) == 2


async def test_a_call_that_could_not_be_paid_leaves_its_key_free(router):
    wallet = await router.wallet()
    assert (await keyed(router, wallet, chat())).status_code == 402
    await router.credit(wallet, "1.00")
    assert (await keyed(router, wallet, chat())).status_code == 200


async def test_a_stream_that_broke_off_leaves_its_key_free(router):
    wallet = await router.wallet("1.00")
    broken = await keyed(router, wallet, chat("simulate:tokens=5,fault=cut@3", stream=True))
    assert "[DONE]" not in broken.text and '"error"' in broken.text
    assert "idempotent-replayed" not in broken.headers
    repeated = await keyed(router, wallet, chat("simulate:tokens=5,fault=cut@3", stream=True))
    assert "idempotent-replayed" not in repeated.headers
    assert len(router.simulator.log) == 2
    assert await spent(router, wallet) == 0


async def test_a_stream_that_the_router_cut_leaves_its_key_free():
    async with running(LOCKSTEP) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True), **{"idempotency-key": "a"}) as stream:
            router.simulator.step("k", 2)
            await stream.data()
            await stream.data()
            await router.router.drain(0)
            assert "shutting_down" in (await stream.rest())[-1]
        call = await settled(router, wallet)
        assert call["ended"] == "cut_by_router"
        router.router.services.pipeline.draining = False
        repeated = asyncio.create_task(keyed(router, wallet, chat(stream=True)))
        router.simulator.free("k")
        assert "idempotent-replayed" not in (await repeated).headers
        assert len(router.simulator.log) == 2


# --- a client that leaves


@pytest.mark.parametrize("tokens_read", [0, 2])
async def test_a_stream_whose_client_left_is_read_to_its_end_kept_and_charged_once(ledger, tokens_read):
    async with running(LOCKSTEP, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        body = BODIES["stream with usage"]
        async with streaming(router, wallet, body, **{"idempotency-key": "a"}) as stream:
            if tokens_read:
                router.simulator.step("k", 1 + tokens_read)
                for _ in range(1 + tokens_read):
                    await stream.data()
            await router.simulator.seen(1)
            stream.leave()
            await caught_up(router)
            router.simulator.free("k")
            call = await settled(router, wallet)
        assert (call["ended"], call["charged"]) == ("complete", CHARGE)
        assert call["delivery"] == ("partial" if tokens_read else "none")
        assert not router.simulator.log[0].client_closed
        answer = await keyed(router, wallet, body)
        assert answer.headers["idempotent-replayed"] == "true"
        assert answer.headers["x-tollway-original-request-id"] == call["id"]
        assert answer.text.endswith(f"data: {DONE}\n\n")
        assert answer.text.count('"finish_reason":"stop"') == 1
        assert len(router.simulator.log) == 1
        assert await spent(router, wallet) == CHARGE


async def test_a_stream_that_outlasts_its_time_is_paid_for_also_when_its_client_left_before_it_began(ledger):
    total = 'timeouts = { total = "600ms" }'
    async with running(LOCKSTEP, model_extra=total, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, BODIES["stream"], **{"idempotency-key": "a"}) as stream:
            await router.simulator.seen(1)
            stream.leave()
            await caught_up(router)
            router.simulator.step("k", 4)
            call = await settled(router, wallet)
        assert (call["ended"], call["delivery"]) == ("cut_by_router", "none")
        assert call["charged"] == await spent(router, wallet) > 20 * 1_000
        router.simulator.free("k")
        assert "idempotent-replayed" not in (await keyed(router, wallet, BODIES["stream"])).headers


async def test_a_batch_call_whose_client_left_is_kept_too(ledger):
    async with running({"sim": "tokens=5&prompt_tokens=20&barrier=b"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(), **{"idempotency-key": "a"}) as stream:
            await router.simulator.waiting("b", 1)
            stream.leave()
            router.simulator.release("b")
            call = await settled(router, wallet)
        assert call["charged"] == CHARGE
        answer = await keyed(router, wallet, chat())
        assert answer.headers["idempotent-replayed"] == "true"
        assert answer.json()["tollway"]["request_id"] == call["id"]
        assert len(router.simulator.log) == 1


async def test_a_reader_that_is_too_slow_is_left_and_the_answer_kept(ledger):
    config = '[server]\nslow_reader = "300ms"\n'
    async with running({"sim": "tokens=300"}, config=config, ledger=ledger) as router:
        wallet = await router.wallet("2.00")
        body = chat(stream=True, n=128)
        async with streaming(router, wallet, body, small_buffer=True, **{"idempotency-key": "a"}) as stream:
            await stream.opened()
            call = await settled(router, wallet)
        assert (call["ended"], call["delivery"]) == ("complete", "partial")
        assert call["usage"]["completion"] == 128 * 300
        assert not router.simulator.log[0].client_closed
        error = conflict(await keyed(router, wallet, body), "idempotent_answer_too_large", retry="false")
        assert error["call_id"] == call["id"]


# --- too large


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_an_answer_over_a_megabyte_is_not_kept_and_not_made_again(router, monkeypatch, stream):
    monkeypatch.setattr(replay, "ANSWER_BYTES_MAX", 500)
    wallet = await router.wallet("1.00")
    first = await keyed(router, wallet, chat("simulate:tokens=200", stream=stream))
    assert first.status_code == 200
    paid = await spent(router, wallet)
    error = conflict(
        await keyed(router, wallet, chat("simulate:tokens=200", stream=stream)),
        "idempotent_answer_too_large",
        retry="false",
    )
    assert error["call_id"] == first.headers["x-request-id"]
    assert (await router.get(f"/generations/{error['call_id']}", wallet))["id"] == error["call_id"]
    conflict(await keyed(router, wallet, chat(stream=stream)), "idempotency_conflict", retry="false")
    assert len(router.simulator.log) == 1
    assert await spent(router, wallet) == paid


async def test_what_is_over_a_wallets_room_for_a_day_is_answered_and_not_kept_and_a_reload_makes_room(ledger):
    async with running(SCENARIO, config='keep_answers = "700B"\n', ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        answers = {key: await keyed(router, wallet, chat(), key) for key in "abcdef"}
        assert {answer.status_code for answer in answers.values()} == {200}
        repeats = {key: await keyed(router, wallet, chat(), key) for key in answers}
        kept = [key for key, answer in repeats.items() if answer.status_code == 200]
        assert kept == list("abcdef")[: len(kept)] and 1 <= len(kept) < 6
        for key, answer in repeats.items():
            if key in kept:
                again(answer, answers[key])
            else:
                error = conflict(answer, "idempotent_answer_too_large", retry="false")
                assert error["call_id"] == answers[key].headers["x-request-id"]
        assert await spent(router, wallet) == 6 * CHARGE
        assert await router.reload(('keep_answers = "700B"', 'keep_answers = "1MB"'))
        first = await keyed(router, wallet, chat(), "g")
        again(await keyed(router, wallet, chat(), "g"), first)


# --- crashes


@EACH
async def test_a_crash_between_the_post_and_the_last_byte_costs_no_second_charge(tmp_path, monkeypatch, body):
    """What a kill would leave on the disk once the post is committed, taken before anything of the ending is sent."""
    books, left_behind = tmp_path / "ledger.db", tmp_path / "after" / "ledger.db"
    left_behind.parent.mkdir()
    async with running(SCENARIO, ledger=books) as router:
        wallet = await router.wallet("1.00")
        booked = router.ledger.apply

        async def apply(commands: Sequence[Command]) -> list[Result]:
            results: list[Result] = await booked(commands)
            if any(isinstance(command, Post) for command in commands):
                copy(books, left_behind)
            return results

        monkeypatch.setattr(router.ledger, "apply", apply)
        first = await keyed(router, wallet, body)
    async with running(SCENARIO, ledger=left_behind) as router:
        again(await keyed(router, wallet, body), first)
        assert len(router.simulator.log) == 0
        assert await spent(router, wallet) == CHARGE
    assert operator.audit(left_behind).clean


async def test_a_crash_after_the_hold_leaves_the_key_free(tmp_path):
    books, left_behind = tmp_path / "ledger.db", tmp_path / "after" / "ledger.db"
    left_behind.parent.mkdir()
    async with running({"sim": "tokens=5&prompt_tokens=20&barrier=b"}, ledger=books) as router:
        wallet = await router.wallet("1.00")
        calling = asyncio.create_task(keyed(router, wallet, chat()))
        await router.simulator.waiting("b", 1)
        await until(lambda: operator.audit(books).pending == 1)
        copy(books, left_behind)
        router.simulator.release("b")
        await calling
    async with running(SCENARIO, ledger=left_behind) as router:
        answer = await keyed(router, wallet, chat())
        assert answer.status_code == 200
        assert "idempotent-replayed" not in answer.headers
        assert len(router.simulator.log) == 1
        assert await spent(router, wallet) == CHARGE
    assert operator.audit(left_behind).clean


def copy(books: Path, to: Path) -> None:
    for suffix in ("", "-wal"):
        shutil.copy(f"{books}{suffix}", f"{to}{suffix}")
