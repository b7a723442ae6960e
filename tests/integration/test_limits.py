"""Limits of wallets and addresses, over HTTP: who is refused, what it says, and that it costs nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from helpers.official import official
from helpers.refusals import refused
from helpers.running import Running, chat, running
from helpers.settled import check_books, settled
from helpers.until import until
from tollway import answering
from tollway.client.wallet import Wallet, account_id

RATE_HEADERS = [f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset")]
HELD = {"sim": "tokens=5&prompt_tokens=20&barrier=b"}


def limits(text: str) -> str:
    return f"[limits]\n{text}\n"


def left(answer: httpx2.Response, kind: str = "requests") -> tuple[str, str]:
    return answer.headers[f"x-ratelimit-limit-{kind}"], answer.headers[f"x-ratelimit-remaining-{kind}"]


async def leaves_nothing(router: Running) -> None:
    """Nobody has a place any more."""
    assert await router.router.services.pipeline.idle(10)
    counts = router.router.services.pipeline.snapshot.wallets._counts
    assert counts.arriving == {}
    assert all(count.inside == 0 for count in counts.limiter._store._counts.values())  # type: ignore[attr-defined]


# --- requests


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_wallet_over_its_requests_is_refused_and_every_answer_says_what_is_left(stream: bool) -> None:
    async with running(config=limits('requests = ["3/min", "1000/d"]')) as router:
        wallet = await router.wallet("1.00")
        served = await router.post(wallet, chat(stream=stream))
        assert (served.status_code, left(served)) == (200, ("3", "2"))
        assert served.headers["x-ratelimit-reset-requests"].startswith("1m")
        assert "x-ratelimit-limit-tokens" not in served.headers
        wrong = await router.post(wallet, chat(temperature=3))
        refused(wrong, 400, "invalid_request", param="temperature")
        assert left(wrong) == ("3", "1")
        poor = await router.wallet("0.000000001")
        unpaid = await router.post(poor, chat())
        refused(unpaid, 402, "insufficient_balance")
        assert left(unpaid) == ("3", "2")
        await router.post(wallet, chat())
        async with unharmed_later(router, wallet):
            error = refused(await router.post(wallet, chat(stream=stream)), 429, "rate_limited", says="(3/min): try")
        assert error["limit"] == {"of": "wallet", "kind": "requests", "rate": "3/min"}
        again = await router.post(wallet, chat())
        assert left(again) == ("3", "0")
        seconds, ms = int(again.headers["retry-after"]), int(again.headers["retry-after-ms"])
        assert 1 <= seconds <= 61
        assert seconds == -(-ms // 1000)
        assert (await router.post(poor, chat())).status_code == 402, "another wallet has requests of its own"


@contextlib.asynccontextmanager
async def unharmed_later(router: Running, wallet: Wallet) -> AsyncIterator[None]:
    """Nothing is held, charged or asked of a provider in here."""
    before, asked = await router.balance(wallet), len(router.simulator.log)
    yield
    assert await router.balance(wallet) == before
    assert len(router.simulator.log) == asked


async def test_one_wallet_may_have_limits_of_its_own() -> None:
    async with running() as unlimited:
        wallet, other = await unlimited.wallet(), await unlimited.wallet()
    own = f'requests = "1/min"\n[limits.accounts."{account_id(wallet)}"]\nrequests = []'
    async with running(config=limits(own)) as router:
        for one in (wallet, other):
            await router.credit(one, "1.00")
        answers = [await router.post(wallet, chat()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert not any(name in answers[0].headers for name in RATE_HEADERS)
        assert [(await router.post(other, chat())).status_code for _ in range(2)] == [200, 429]


async def test_the_official_client_waits_as_it_is_told_and_then_gets_its_answer() -> None:
    async with running({"sim": "tokens=5"}, config=limits('requests = "1/s"')) as router:
        wallet, statuses = await router.wallet("1.00"), list[int]()

        async def note(response: Any) -> None:
            statuses.append(response.status_code)

        http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [note]})
        async with official(
            "async", f"{router.url}/v1", api_key=router.sign_in(wallet), http_client=http, max_retries=5
        ) as client:
            for _ in range(2):
                await client.complete(**chat())
        assert [status for status in statuses if status == 200] == [200, 200]
        assert len(router.simulator.log) == 2
        await check_books(router)


async def test_the_official_client_raises_the_class_for_it() -> None:
    async with running(config=limits('requests = "1/h"')) as router:
        wallet = await router.wallet("1.00")
        async with official("sync", f"{router.url}/v1", api_key=router.sign_in(wallet), max_retries=0) as client:
            await client.complete(**chat())
            with pytest.raises(openai.RateLimitError) as raised:
                await client.complete(**chat())
        assert raised.value.code == "rate_limited"
        assert raised.value.response.headers["x-should-retry"] == "false", "nobody sleeps for an hour over it"


# --- at once


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_calls_that_race_are_never_more_at_once_than_they_may(stream: bool) -> None:
    async with running(HELD, config=limits("concurrency = 5")) as router:
        wallet = await router.wallet("10.00")
        headers, body = router.headers(wallet), chat(stream=stream, max_tokens=10)
        async with httpx2.AsyncClient(
            base_url=router.url, timeout=30.0, verify=False, limits=httpx2.Limits(max_connections=None)
        ) as http:
            racing = [
                asyncio.ensure_future(http.post("/v1/chat/completions", json=body, headers=headers)) for _ in range(40)
            ]
            await until(lambda: sum(task.done() for task in racing) == 35)
            await router.simulator.waiting("b", 5)
            other = await router.wallet("1.00")
            waiting = asyncio.ensure_future(router.post(other, body))
            await router.simulator.waiting("b", 6)
            router.simulator.release("b")
            statuses = [answer.status_code for answer in await asyncio.gather(*racing)]
            assert (await waiting).status_code == 200
        assert sorted(statuses) == [200] * 5 + [429] * 35
        await leaves_nothing(router)
        await check_books(router)


@pytest.mark.parametrize(
    "scenario",
    ["", "status=500", "cut=2", "tokens=3&usage=none", "status=429"],
    ids=["served", "failed", "cut", "no usage", "at the provider's limit"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_place_is_given_back_whatever_becomes_of_the_call(scenario: str, stream: bool) -> None:
    async with running({"sim": scenario}, config=limits("concurrency = 1"), provider_extra=ONE_AT_ONCE) as router:
        wallet = await router.wallet("1.00")
        statuses = {(await router.post(wallet, chat(stream=stream))).status_code for _ in range(3)}
        assert len(statuses) == 1, "the second fares as the first did"
        assert 429 not in statuses
        await leaves_nothing(router)


ONE_AT_ONCE = "limits = { concurrency = 1 }"


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_place_is_given_back_when_the_client_leaves(stream: bool) -> None:
    async with running(
        {"sim": "tokens=5&barrier=b"}, config=limits("concurrency = 1"), provider_extra=ONE_AT_ONCE
    ) as router:
        wallet = await router.wallet("1.00")
        call = asyncio.ensure_future(router.post(wallet, chat(stream=stream)))
        await router.simulator.waiting("b", 1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        router.simulator.release("b")
        await leaves_nothing(router)
        assert (await router.post(wallet, chat(stream=stream))).status_code == 200


async def test_a_place_is_given_back_when_the_handler_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(config=limits("concurrency = 1"), provider_extra=ONE_AT_ONCE) as router:
        wallet = await router.wallet("1.00")

        def broken(*args: object, **fields: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(answering, "_post", broken)
            for _ in range(2):
                refused(await router.post(wallet, chat()), 500, "internal_error")
        await leaves_nothing(router)
        assert (await router.post(wallet, chat())).status_code == 200


async def test_calls_are_cut_by_a_drain_and_give_their_places_back() -> None:
    async with running(HELD, config=limits("concurrency = 1"), provider_extra=ONE_AT_ONCE) as router:
        wallet = await router.wallet("1.00")
        call = asyncio.ensure_future(router.post(wallet, chat()))
        await router.simulator.waiting("b", 1)
        await router.router.drain(0)
        refused(await call, 503, "shutting_down")
        await leaves_nothing(router)


# --- tokens


async def test_tokens_are_settled_at_what_the_call_came_to() -> None:
    async with running({"sim": "tokens=5&prompt_tokens=20"}, config=limits('tokens = "100/min"')) as router:
        wallet = await router.wallet("1.00")
        first = await router.post(wallet, chat("x" * 40, max_tokens=50))
        assert left(first, "tokens")[0] == "100"
        second = await router.post(wallet, chat(temperature=3))
        assert left(second, "tokens") == ("100", "75"), "20 of the prompt and 5 of the answer"


async def test_a_call_that_was_not_charged_counts_for_no_tokens() -> None:
    async with running({"sim": "status=500"}, config=limits('tokens = "100/min"')) as router:
        wallet = await router.wallet("1.00")
        for _ in range(3):
            answer = await router.post(wallet, chat(max_tokens=80))
            assert answer.status_code == 502
        assert left(await router.post(wallet, chat(temperature=3)), "tokens") == ("100", "100")


async def test_what_no_waiting_makes_room_for_is_the_requests_mistake() -> None:
    async with running(config=limits('tokens = "100/min"')) as router:
        wallet = await router.wallet("1.00")
        async with unharmed_later(router, wallet):
            answer = await router.post(wallet, chat(max_tokens=101))
        refused(answer, 400, "invalid_request", param="max_tokens", says="this wallet may use 100/min")
        assert (await router.post(wallet, chat(max_tokens=90))).status_code == 200
        refused(await router.post(wallet, chat(max_tokens=97)), 429, "rate_limited", says="limit of tokens")


async def test_a_stream_is_told_what_is_left_of_its_tokens() -> None:
    async with running({"sim": "tokens=5&prompt_tokens=20"}, config=limits('tokens = "1k/min"')) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(stream=True, max_tokens=100))
        limit, remaining = left(answer, "tokens")
        assert limit == "1000"
        assert 880 <= int(remaining) < 900
        await settled(router, wallet)
        assert left(await router.post(wallet, chat(temperature=3)), "tokens")[1] == "975"


# --- addresses


async def slow(router: Running, wallet: Wallet | None) -> asyncio.StreamWriter:
    """A caller whose body doesn't come."""
    place = urlsplit(router.url)
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in router.headers(wallet).items())
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n{head}\r\n".encode())
    await writer.drain()
    return writer


async def test_who_sends_slowly_has_a_place_among_its_wallets_calls_before_the_body_is_read() -> None:
    async with running(config=limits("concurrency = 2")) as router:
        pipeline = router.router.services.pipeline
        wallet = await router.wallet()  # an empty one
        senders = [await slow(router, wallet) for _ in range(2)]
        await until(lambda: len(pipeline.running) == 2)
        refused(await router.post(wallet, chat()), 429, "rate_limited", says="limit of calls at once (2)")
        assert (await router.post(await router.wallet("1.00"), chat())).status_code == 200
        for sender in senders:
            sender.transport.abort()
        await leaves_nothing(router)


async def test_one_address_leaves_places_for_others_whatever_wallets_it_has() -> None:
    async with running(config="[limits.address]\narriving = 2\n") as router:
        pipeline = router.router.services.pipeline
        senders = [await slow(router, await router.wallet()) for _ in range(2)]
        await until(lambda: len(pipeline.running) == 2)
        refused(
            await router.post(await router.wallet("1.00"), chat()),
            429,
            "rate_limited",
            says="This address is at its limit of requests on their way at once (2)",
        )
        for sender in senders:
            sender.transport.abort()
        await leaves_nothing(router)


async def test_an_address_gets_so_many_nonces() -> None:
    async with running(config='[limits.address]\nnonces = "2/min"\n') as router:
        answers = [await router.http.get("/v1/session/nonce") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        refused(answers[2], 429, "rate_limited", says="This address is over its limit of nonces (2/min)")


async def test_an_address_that_fails_to_sign_in_too_often_is_heard_again_only_from_those_it_knows() -> None:
    async with running(config='[limits.address]\nfailed_sign_ins = "3/min"\n') as router:
        wallet = await router.wallet("1.00")
        known = router.headers(wallet)
        assert (await router.http.get("/v1/session/balance", headers=known)).status_code == 200
        statuses = [
            (await router.http.get("/v1/session/balance", headers={"sign-in-with-x": "bad"})).status_code
            for _ in range(5)
        ]
        assert statuses == [401, 401, 401, 429, 429]
        body = chat()
        answer = await router.http.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer bad"})
        refused(answer, 429, "rate_limited", says="failed sign-ins")
        assert (await router.http.post("/v1/chat/completions", json=body, headers=known)).status_code == 200


async def test_a_wallet_may_have_some_reads_at_once_and_the_others_are_not_kept_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(config=limits("reads = 2")) as router:
        wallet, other = await router.wallet("1.00"), await router.wallet("1.00")
        go, asked = asyncio.Event(), 0
        statement = router.ledger.statement

        async def held(account: str, **fields: Any) -> Any:
            nonlocal asked
            asked += 1
            if account == account_id(wallet):
                await go.wait()
            return await statement(account, **fields)

        monkeypatch.setattr(router.ledger, "statement", held)
        headers = router.headers(wallet)
        reads = [asyncio.ensure_future(router.http.get("/v1/session/transactions", headers=headers)) for _ in range(2)]
        await until(lambda: asked == 2)
        for path in ("/v1/session/transactions", "/v1/session/usage", "/v1/generations/unknown"):
            refused(
                await router.http.get(path, headers=headers), 429, "rate_limited", says="limit of reads at once (2)"
            )
        assert (await router.get("/session/transactions", other))["object"] == "list"
        go.set()
        assert [answer.status_code for answer in await asyncio.gather(*reads)] == [200, 200]
        assert (await router.http.get("/v1/session/usage", headers=headers)).status_code == 200
        await leaves_nothing(router)


async def test_what_was_limited_is_counted_for_the_operator() -> None:
    async with running(config=limits('requests = "1/min"')) as router:
        wallet = await router.wallet("1.00")
        for _ in range(3):
            await router.post(wallet, chat())
        text = b""

        async def send(message: Any) -> None:
            nonlocal text
            text += message.get("body", b"")

        await router.router.operator({"path": "/metrics", "method": "GET"}, None, send)  # type: ignore[arg-type]
        assert b'tollway_limited_total{kind="requests",provider="",who="wallet"} 2.0' in text
        assert account_id(wallet).encode() not in text


# --- a new configuration


async def test_a_new_rate_finds_what_was_used_under_the_old_one_and_places_are_given_back_across_it() -> None:
    async with running(HELD, config=limits('requests = "2/min"\nconcurrency = 1')) as router:
        wallet = await router.wallet("1.00")
        waiting = asyncio.ensure_future(router.post(wallet, chat()))
        await router.simulator.waiting("b", 1)
        assert await router.reload(('"2/min"', '"3/min"'))
        refused(await router.post(wallet, chat()), 429, "rate_limited", says="limit of calls at once (1)")
        router.simulator.release("b")
        assert (await waiting).status_code == 200
        answers = [await router.post(wallet, chat()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert left(answers[0]) == ("3", "1")
        await leaves_nothing(router)
