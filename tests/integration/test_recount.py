"""Recounts through real sockets: a provider's usage against our own tokenizer, in record, metrics and books."""

import sys
from pathlib import Path

import pytest

from helpers.counted import ALL, MODEL, alarms, metric, outcomes, tokens
from helpers.running import Running, chat, running
from helpers.settled import settled
from helpers.until import until
from tollway.client.wallet import Wallet, account_id
from tollway.domain.record import CallRecord
from tollway.ledger import operator
from tollway.metering.recount import JUDGED_FROM
from tollway.recount import recounts
from tollway.simulator import expected_text

WORDS = 40
TRUE = tokens(expected_text(WORDS))
LIE = TRUE * 13 // 10
PROMPT = "Tell me of rivers, mills and herons."
PROMPT_TRUE = tokens(PROMPT) + tokens("user")
HONEST = f"tokens={WORDS}&completion_tokens={TRUE}&prompt_tokens={PROMPT_TRUE + 7}"
OVER = f"tokens={WORDS}&completion_tokens={LIE}&prompt_tokens={PROMPT_TRUE + 7}"
SILENT = f"tokens={WORDS}&usage=missing"
INPUT, OUTPUT = 1_000, 10_000  # nano-USD a token, by helpers.running.PRICE


async def ask(router: Running, wallet: Wallet, *, stream: bool, content: str = PROMPT) -> str:
    answer = await router.post(wallet, chat(content, stream=stream))
    assert answer.status_code == 200
    return answer.headers["x-request-id"]


async def recounted(router: Running, wallet: Wallet, id: str) -> CallRecord:
    """The call's record, once our own count is in it."""
    found: list[CallRecord] = []

    async def noted() -> bool:
        record = await router.ledger.call(account_id(wallet), id)
        found.append(record)
        return record is not None and record.estimate_origin == "tokenizer"

    await until(noted)
    return found[-1]


@pytest.mark.parametrize("stream", [False, True])
async def test_both_counts_are_kept_with_the_call(stream: bool) -> None:
    async with running({"sim": OVER}, config=ALL, upstream=MODEL) as router:
        wallet = await router.wallet("1.00")
        record = await recounted(router, wallet, await ask(router, wallet, stream=stream))
        assert record.usage is not None and record.estimate is not None
        assert (record.usage.prompt, record.usage.completion) == (PROMPT_TRUE + 7, LIE)
        assert (record.estimate.prompt, record.estimate.completion) == (PROMPT_TRUE, TRUE)
        shown = await settled(router, wallet, record.id)
        assert (shown["estimate"]["completion"], shown["estimate_origin"]) == (TRUE, "tokenizer")
        assert shown["charged"] == (PROMPT_TRUE + 7) * INPUT + LIE * OUTPUT
        assert outcomes(router) == {"counted": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_reports_30_percent_too_much_is_flagged_once(stream: bool, tmp_path: Path) -> None:
    async with running({"sim": OVER}, config=ALL, upstream=MODEL, ledger=tmp_path / "books.db") as router:
        wallet = await router.wallet("5.00")
        for count in range(1, JUDGED_FROM + 3):
            await recounted(router, wallet, await ask(router, wallet, stream=stream))
            assert alarms(router) == (count >= JUDGED_FROM)
        counted = metric(router, "tollway_recounted_tokens_total")
        assert counted["own", "completion", "sim"] == TRUE * count
        assert counted["reported", "completion", "sim"] == (LIE - 4) * count  # what an ending may have, taken off
        (sums,) = operator.recounts(router.books, 1)
        assert (sums.provider, sums.model, sums.calls, sums.completions) == ("sim", "sim/model", count, count)
        assert (sums.completion.reported, sums.completion.own) == ((LIE - 4) * count, TRUE * count)


async def test_a_provider_that_counts_as_we_do_is_not_flagged() -> None:
    async with running({"sim": HONEST}, config=ALL, upstream=MODEL) as router:
        wallet = await router.wallet("5.00")
        for number in range(JUDGED_FROM + 3):
            await recounted(router, wallet, await ask(router, wallet, stream=bool(number % 2)))
        assert alarms(router) == 0
        counted = metric(router, "tollway_recounted_tokens_total")
        assert counted["reported", "completion", "sim"] == counted["own", "completion", "sim"]
        assert counted["reported", "prompt", "sim"] == counted["own", "prompt", "sim"]


async def test_an_answer_without_usage_is_charged_by_our_tokenizer() -> None:
    async with running({"sim": SILENT}, upstream=MODEL) as router:
        wallet = await router.wallet("1.00")
        call = await settled(router, wallet, await ask(router, wallet, stream=False))
        assert (call["usage_origin"], call["estimate_origin"]) == ("estimated", "tokenizer")
        assert (call["usage"]["prompt"], call["usage"]["completion"]) == (PROMPT_TRUE, TRUE)
        assert call["charged"] == PROMPT_TRUE * INPUT + TRUE * OUTPUT
        assert outcomes(router) == {"counted": 1}


async def test_the_streams_of_a_provider_that_gives_no_usage_are_kept_from_the_second_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recounts, "chosen", lambda *_: False)  # by its id a call in a hundred is, and then kept at once
    async with running({"sim": SILENT}, upstream=MODEL) as router:
        wallet = await router.wallet("1.00")
        first = await settled(router, wallet, await ask(router, wallet, stream=True))
        second = await settled(router, wallet, await ask(router, wallet, stream=True))
        assert [call["estimate_origin"] for call in (first, second)] == ["bytes", "tokenizer"]
        assert first["usage"]["completion"] == -(-len(expected_text(WORDS).encode()) // 4)
        assert second["usage"]["completion"] == TRUE
        assert outcomes(router) == {"not_kept": 1, "counted": 1}


async def test_a_share_of_0_turns_it_off() -> None:
    async with running({"sim": SILENT}, config='[billing]\nrecount = "0%"\n', upstream=MODEL) as router:
        wallet = await router.wallet("1.00")
        call = await settled(router, wallet, await ask(router, wallet, stream=False))
        assert call["estimate_origin"] == "bytes"
        assert outcomes(router) == {}


async def test_a_model_whose_vocabulary_is_not_known_is_counted_by_bytes() -> None:
    async with running({"sim": SILENT}, config=ALL) as router:
        wallet = await router.wallet("1.00")
        call = await settled(router, wallet, await ask(router, wallet, stream=False))
        assert call["estimate_origin"] == "bytes"
        assert outcomes(router) == {"no_vocabulary": 1}


async def test_a_router_without_the_extra_starts_and_counts_by_bytes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "splintr", None)
    caplog.set_level("INFO")
    async with running({"sim": SILENT}, config=ALL, upstream=MODEL) as router:
        wallet = await router.wallet("1.00")
        call = await settled(router, wallet, await ask(router, wallet, stream=False))
        assert call["estimate_origin"] == "bytes"
        assert outcomes(router) == {"no_tokenizer": 1}
        assert "pip install 'tollway[tokens]'" in caplog.text


async def test_a_request_over_the_limit_is_not_recounted() -> None:
    async with running(
        {"sim": HONEST}, config=ALL, upstream=MODEL, price='{ input = "0.001", output = "1" }'
    ) as router:
        wallet = await router.wallet("5.00")
        asked = await ask(router, wallet, stream=False, content="a " * 550_000)
        assert (await settled(router, wallet, asked))["estimate_origin"] == "bytes"
        assert outcomes(router) == {"too_large": 1}


async def test_a_reload_takes_the_share_and_the_threshold_over() -> None:
    async with running({"sim": OVER}, config=ALL + 'recount_threshold = "10%"\n', upstream=MODEL) as router:
        wallet = await router.wallet("5.00")
        assert await router.reload(('recount_threshold = "10%"', 'recount_threshold = "50%"'))
        for _ in range(JUDGED_FROM):
            await recounted(router, wallet, await ask(router, wallet, stream=False))
        assert alarms(router) == 0
        assert await router.reload(('recount_threshold = "50%"', 'recount_threshold = "20%"'))
        await recounted(router, wallet, await ask(router, wallet, stream=False))
        assert alarms(router) == 1
        assert await router.reload(('recount = "100%"', 'recount = "0%"'))
        await settled(router, wallet, await ask(router, wallet, stream=False))
        assert outcomes(router) == {"counted": JUDGED_FROM + 1}
