"""How a call ends, and what it costs: the ways an answer ends by itself, and the money of each. Over HTTP.

Prices are 1,000 nano-USD an input token and 10,000 an output token; where a provider reports usage, the prompt has 20.
"""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from helpers.running import Running, chat, running
from helpers.settled import account, check_books, delivered, lost, owed, settled
from helpers.streaming import DONE, payload, streaming
from tollway.client.wallet import Wallet
from tollway.domain.commands import Post
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable
from tollway.ledger import operator
from tollway.simulator import ABSURD_TOKENS, expected_text

INPUT, OUTPUT = 1_000, 10_000
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Path]:
    """Books on disk, which are proved from their rows when the router has closed them."""
    path = tmp_path / "ledger.db"
    yield path
    report = operator.audit(path)
    assert report.clean, report.differences
    assert report.pending == 0


async def answered(router: Running, wallet: Wallet, body: dict[str, Any]) -> dict[str, Any]:
    """The call's record, after an answer that came whole."""
    answer = await router.post(wallet, body)
    assert answer.status_code == 200, answer.text
    if body.get("stream"):
        assert answer.text.endswith(f"data: {DONE}\n\n")
    return await settled(router, wallet, answer.headers["x-request-id"])


def own_count(tokens: int) -> int:
    """Four bytes of the simulator's prose for a token, rounded up."""
    return -(-len(expected_text(tokens).encode()) // 4)


@STREAMED
async def test_a_complete_answer_costs_its_actual_usage_at_the_price_pinned_with_the_hold(ledger, stream):
    async with running({"sim": "tokens=5&prompt_tokens=20"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        call = await answered(router, wallet, chat(stream=stream))
        assert call["charged"] == 20 * INPUT + 5 * OUTPUT
        assert call["ended"] == "complete"
        await delivered(router, wallet, call["id"])
        assert call["usage_origin"] == "provider"
        assert call["flags"] == []
        assert await owed(router) == call["charged"]
        assert await lost(router) == 0


async def test_the_answer_says_what_the_books_say():
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat())
        call = await settled(router, wallet)
        told = answer.json()
        assert told["usage"]["cost"] == call["cost_usd"] == answer.headers["x-tollway-cost-usd"] == "0.00007"
        assert told["tollway"]["balance_usd"] == "0.99993"
        assert told["tollway"]["request_id"] == call["id"] == answer.headers["x-request-id"]
        assert (await router.get(f"/generations/{told['id']}", wallet))["id"] == call["id"]


async def test_the_markup_is_revenue_and_the_rest_is_owed_to_the_provider(ledger):
    config = '[billing]\nmarkup = "50%"\n'
    async with running({"sim": "tokens=5&prompt_tokens=20"}, config=config, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        call = await answered(router, wallet, chat())
        assert call["charged"] == 105_000
        assert await owed(router) == 70_000
        assert (await account(router, "router:revenue")).credits_posted == 35_000


@STREAMED
async def test_a_complete_answer_without_usage_costs_our_own_count_and_is_flagged(ledger, stream):
    async with running({"sim": "tokens=5&usage=missing"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        call = await answered(router, wallet, chat("x" * 400, stream=stream))
        assert call["usage_origin"] == "estimated"
        assert call["flags"] == ["usage_missing"]
        assert call["usage"] == call["estimate"]
        assert call["usage"]["completion"] == own_count(5)
        assert 100 <= call["usage"]["prompt"] <= 110  # 400 bytes of text, and the role
        assert call["charged"] == call["usage"]["prompt"] * INPUT + own_count(5) * OUTPUT
        assert call["charged"] <= call["held"]


@STREAMED
async def test_our_own_count_is_never_over_the_hold(ledger, stream):
    async with running({"sim": "text=" + "wordwordword" * 10 + "&usage=missing"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        call = await answered(router, wallet, chat(max_tokens=1, stream=stream))
        assert call["usage_origin"] == "estimated"
        assert 0 < call["charged"] <= call["held"]


@STREAMED
async def test_an_answer_served_by_a_fallback_costs_the_price_of_who_served(ledger, stream):
    prices = {"first": '{ input = "1", output = "10" }', "second": '{ input = "3", output = "30" }'}
    async with running(
        {"first": "status=503", "second": "tokens=5&prompt_tokens=20"}, price=prices, ledger=ledger
    ) as router:
        wallet = await router.wallet("1.00")
        call = await answered(router, wallet, chat(stream=stream, provider={"order": ["first", "second"]}))
        assert call["provider"] == "second"
        assert call["charged"] == 3 * (20 * INPUT + 5 * OUTPUT)
        assert (await owed(router, "first"), await owed(router, "second")) == (0, call["charged"])


@STREAMED
async def test_when_every_provider_fails_before_the_first_token_nothing_is_charged(ledger, stream):
    async with running({"a": "status=503", "b": "fault=reset"}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(stream=stream))
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "provider_error"
        call = await settled(router, wallet, answer.headers["x-request-id"])
        assert call["kinds"] == {"hold", "void"}
        assert call["ended"] == "provider_failed"
        assert call["delivery"] == "none"
        assert await owed(router, "a") == await owed(router, "b") == 0


async def broken_off(router: Running, wallet: Wallet) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stream whose client has read two tokens before the provider fails with the third. Its last event, and the
    call's record."""
    async with streaming(router, wallet, chat(stream=True)) as stream:
        router.simulator.step("k", 2)  # the role, and a token
        await stream.data()
        await stream.data()
        router.simulator.step("k")
        await stream.data()
        router.simulator.free("k")
        rest = await stream.rest()
        assert f"data: {DONE}" not in rest
        return payload(rest[-1]), await settled(router, wallet, await stream.request_id())


@pytest.mark.parametrize("fault", ["cut@4", "reset@4", "end@4", "truncated@4", "damaged@4", "error@4", "stall@4"])
async def test_a_provider_that_fails_mid_stream_is_paid_by_the_operator_and_not_by_the_caller(ledger, fault):
    timeouts = 'timeouts = { idle = "200ms" }'
    scenarios = {"sim": f"tokens=9&lockstep=k&fault={fault}"}
    async with running(scenarios, model_extra=timeouts, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        last, call = await broken_off(router, wallet)
        assert last["error"]["code"] == ("provider_timeout" if fault == "stall@4" else "provider_error")
        assert call["error_code"] == last["error"]["code"]
        assert "choices" not in last
        assert call["charged"] == 0
        assert call["ended"] == "provider_failed"
        assert call["flags"] == ["provider_failed"]
        assert call["delivery"] == "partial"
        cost = call["estimate"]["prompt"] * INPUT + own_count(3) * OUTPUT
        assert await owed(router) == await lost(router) == cost


async def test_what_a_provider_reported_before_it_failed_counts_for_the_operators_cost(ledger):
    scenario = "tokens=9&usage=cumulative&prompt_tokens=20&completion_tokens=50&lockstep=k&fault=cut@4"
    async with running({"sim": scenario}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        _, call = await broken_off(router, wallet)
        assert call["charged"] == 0
        assert await lost(router) == await owed(router) == 20 * INPUT + 50 * OUTPUT


@STREAMED
@pytest.mark.parametrize(
    ("scenario", "flag"),
    [("fault=empty&prompt_tokens=20", "zero_completion"), ("tokens=5&finish=error&prompt_tokens=20", "finish_error")],
)
async def test_an_answer_of_nothing_and_one_that_finished_with_error_cost_the_caller_nothing(
    ledger, stream, scenario, flag
):
    async with running({"sim": scenario}, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        call = await answered(router, wallet, chat(stream=stream))
        assert call["charged"] == 0
        assert call["flags"] == [flag]
        tokens = 0 if flag == "zero_completion" else 5
        assert await owed(router) == await lost(router) == 20 * INPUT + tokens * OUTPUT


IMPOSSIBLE = {
    "completion_over_limit": {"prompt_tokens": 20, "completion_tokens": ABSURD_TOKENS},
    "prompt_over_bound": {"prompt_tokens": 99_000, "completion_tokens": 5},
    "cached_over_prompt": {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 21},
    },
    "reasoning_over_completion": {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "completion_tokens_details": {"reasoning_tokens": 6},
    },
    "negative": {"prompt_tokens": -1, "completion_tokens": 5},
    "malformed": {"prompt_tokens": "NaN", "completion_tokens": 5},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Running]:
    """One router for all impossible usage: the prompt says which."""
    async with running({"sim": "tokens=5"}) as router:
        yield router


@STREAMED
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("reason", IMPOSSIBLE)
async def test_usage_beyond_what_is_possible_is_refused_for_our_own_count_and_raises_an_alarm(
    shared, stream, reason, caplog
):
    usage = quote(json.dumps(IMPOSSIBLE[reason]), safe="")
    owed_before, wallet = await owed(shared), await shared.wallet("1.00")
    call = await answered(shared, wallet, chat(f"simulate:usage_raw={usage}", stream=stream))
    assert call["flags"] == [f"usage_refused:{reason}"]
    assert call["usage_origin"] == "estimated"
    assert call["usage"] == call["estimate"]
    assert call["usage"]["completion"] == own_count(5)
    assert call["charged"] == call["usage"]["prompt"] * INPUT + own_count(5) * OUTPUT
    assert await owed(shared) - owed_before == call["charged"]
    alarms = [record.getMessage() for record in caplog.records if '"alarm"' in record.getMessage()]
    assert [reason in alarm and call["id"] in alarm for alarm in alarms] == [True]


@STREAMED
async def test_a_feature_without_a_rate_is_refused_before_any_hold(ledger, stream):
    async with running(ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(stream=stream, web_search_options={}))
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "unpriced_feature"
        assert router.simulator.log == ()
        assert [entry["kind"] for entry in (await router.get("/session/transactions", wallet))["data"]] == ["credit"]
        await check_books(router)


async def test_a_feature_with_a_rate_is_part_of_the_charge(ledger):
    price = '{ input = "1", output = "10", features = { web_search = "0.01" } }'
    async with running({"sim": "tokens=5&prompt_tokens=20"}, price=price, ledger=ledger) as router:
        wallet = await router.wallet("2.00")
        call = await answered(router, wallet, chat(web_search_options={}))
        assert call["charged"] == 20 * INPUT + 5 * OUTPUT + 10_000_000


# --- actual above the hold: images are bounded by the operator's ceiling, and a provider may count more

IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://images.example/1.png"}}]}]
CEILING = "part_tokens = { image_url = 100 }"
ABOVE = {"sim": "tokens=5&prompt_tokens=90000"}
ABOVE_PRICE = 90_000 * INPUT + 5 * OUTPUT


async def above(router: Running, wallet: Wallet, **fields: Any) -> dict[str, Any]:
    call = await answered(router, wallet, {"model": "sim/model", "messages": IMAGE, "max_tokens": 10, **fields})
    assert call["flags"] == []
    assert call["usage_origin"] == "provider"
    assert call["held"] < ABOVE_PRICE
    assert await owed(router) == ABOVE_PRICE
    return call


@STREAMED
async def test_what_is_above_the_hold_comes_from_the_free_balance(ledger, stream):
    async with running(ABOVE, model_extra=CEILING, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        call = await above(router, wallet, stream=stream)
        assert call["charged"] == ABOVE_PRICE
        assert await lost(router) == 0


@STREAMED
async def test_what_is_above_max_cost_is_the_operators_loss(ledger, stream):
    async with running(ABOVE, model_extra=CEILING, ledger=ledger) as router:
        wallet = await router.wallet("1.00")
        call = await above(router, wallet, stream=stream, max_cost="0.01")
        assert call["charged"] == 10_000_000
        assert await lost(router) == ABOVE_PRICE - 10_000_000


@STREAMED
async def test_what_is_above_the_balance_is_the_operators_loss_and_the_balance_ends_at_zero(ledger, stream):
    async with running(ABOVE, model_extra=CEILING, ledger=ledger) as router:
        wallet = await router.wallet("0.01")
        call = await above(router, wallet, stream=stream)
        assert call["charged"] == 10_000_000
        assert (await router.balance(wallet)).available == 0
        assert await lost(router) == ABOVE_PRICE - 10_000_000


# --- the ledger fails at the end of a call


@STREAMED
async def test_an_answer_whose_post_is_refused_by_the_ledger_is_an_uncharged_error(stream, monkeypatch):
    async with running({"sim": "tokens=5"}) as router:
        wallet = await router.wallet("1.00")
        book = router.ledger.apply

        async def refuse_posts(commands):
            if any(isinstance(command, Post) for command in commands):
                raise LedgerUnavailable("The ledger could not commit: nothing was booked.")
            return await book(commands)

        monkeypatch.setattr(router.ledger, "apply", refuse_posts)
        answer = await router.post(wallet, chat(stream=stream))
        if stream:
            events = answer.text.rstrip("\n").split("\n\n")
            assert payload(events[-1])["error"]["code"] == "ledger_unavailable"
            assert [chunk["choices"][0]["finish_reason"] for chunk in map(payload, events[:-1])] == [None] * 6
        else:
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "ledger_unavailable"
        call = await settled(router, wallet, answer.headers["x-request-id"])
        assert call["kinds"] == {"hold", "void"}
        assert call["ended"] == "ledger_failed"


@STREAMED
async def test_a_post_whose_outcome_is_unknown_is_asked_again_and_charged_once(stream, monkeypatch):
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        wallet = await router.wallet("1.00")
        book, posts = router.ledger.apply, []

        async def forget_to_say(commands):
            results = await book(commands)
            if any(isinstance(command, Post) for command in commands):
                posts.append(results)
                if len(posts) == 1:
                    raise LedgerOutcomeUnknown("the ledger can't tell whether this was booked")
            return results

        monkeypatch.setattr(router.ledger, "apply", forget_to_say)
        call = await answered(router, wallet, chat(stream=stream))
        assert call["charged"] == 20 * INPUT + 5 * OUTPUT
        assert len(posts) == 2
        assert posts[0] == posts[1]
