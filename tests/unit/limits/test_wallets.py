"""What one call takes of its wallet's allowance, and what the caller is told."""

import pytest

from helpers.ledgers import record
from helpers.limiting import WALLET, Limiting, Reply, a_minute
from helpers.metered import call, candidate
from tollway.domain.errors import Overloaded, RateLimited, RequestError
from tollway.domain.limit import Rate
from tollway.domain.usage import Usage
from tollway.limits.allowances import Allowance

CANDIDATE = candidate(provider="p", part_tokens={"image_url": 50}, max_output_tokens=500)


def used(prompt: int, completion: int, **fields: object) -> object:
    return record("call-1", usage=Usage(prompt=prompt, completion=completion), **fields)


async def enters(limits: Limiting, times: int = 1, **wallet: object) -> None:
    """Calls that come and go."""
    for _ in range(times):
        with limits.share(**wallet) as share:
            await share.enter()


# --- requests


async def test_a_wallet_over_its_requests_is_told_when_to_come_back() -> None:
    limits, reply = Limiting(), Reply()
    await enters(limits, 2, requests=a_minute(2))
    with limits.share(reply, requests=a_minute(2)) as share, pytest.raises(RateLimited) as refused:
        await share.enter()
    error = refused.value
    assert error.message == "This wallet is over its limit of requests (2/min): try again in 1m1s."
    assert error.details == {"limit": {"of": "wallet", "kind": "requests", "rate": "2/min"}}
    assert error.retry_after_ms is not None
    assert 60_000 <= error.retry_after_ms <= 61_000
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    assert limits.observer.said == [("wallet", "requests", "")]
    limits.pass_time(error.retry_after_ms / 1000)
    await enters(limits, 2, requests=a_minute(2))


async def test_the_headers_are_those_of_the_tightest_rate() -> None:
    limits, reply = Limiting(), Reply()
    with limits.share(reply, requests=(Rate(10, 60), Rate(3, 3600))) as share:
        await share.enter()
        assert reply.headers == {
            "x-ratelimit-limit-requests": "3",
            "x-ratelimit-remaining-requests": "2",
            "x-ratelimit-reset-requests": reply.headers["x-ratelimit-reset-requests"],
        }
        assert reply.headers["x-ratelimit-reset-requests"].startswith("1h")


async def test_a_wallet_without_limits_is_told_none_and_nothing_is_counted() -> None:
    limits, reply = Limiting(), Reply()
    with limits.share(reply) as share:
        await share.enter()
        await share.spend(call(), CANDIDATE)
        share.ended(record("call-1"))
    assert reply.headers == {}
    assert len(limits.store) == 0


async def test_a_wallet_of_its_own_allowance_has_that_alone() -> None:
    limits = Limiting()
    own = {WALLET: Allowance(requests=a_minute(3))}
    await enters(limits, 3, requests=a_minute(1), accounts=own)
    await enters(limits, 1, requests=a_minute(1), accounts=own, account="eip155:0x01")
    with pytest.raises(RateLimited):
        await enters(limits, 1, requests=a_minute(1), accounts=own, account="eip155:0x01")


# --- at once


async def test_a_call_has_its_place_until_it_ends_whatever_ends_it() -> None:
    limits = Limiting()
    with pytest.raises(KeyError), limits.share(concurrency=1) as first:
        await first.enter()
        with limits.share(concurrency=1) as second, pytest.raises(RateLimited) as refused:
            await second.enter()
        assert refused.value.message == (
            "This wallet is at its limit of calls at once (1): try again when one has ended."
        )
        assert refused.value.retry_after_ms == 1_000
        assert limits.observer.said == [("wallet", "concurrency", "")]
        raise KeyError
    await enters(limits, 3, concurrency=1)
    assert len(limits.store) == 0, "nobody is inside: nothing is kept"


async def test_who_was_refused_a_place_leaves_none() -> None:
    limits = Limiting()
    with limits.share(concurrency=1) as first:
        await first.enter()
        for _ in range(3):
            with pytest.raises(RateLimited):
                await enters(limits, concurrency=1)


# --- tokens


async def test_tokens_are_taken_by_a_guess_and_put_right_at_the_end() -> None:
    limits, reply = Limiting(), Reply()
    with limits.share(reply, tokens=a_minute(1000)) as share:
        await share.enter()
        assert reply.headers["x-ratelimit-remaining-tokens"] == "1000"
        await share.spend(call(text_bytes=400, max_tokens=300, n=2), CANDIDATE)
        assert reply.headers["x-ratelimit-remaining-tokens"] == "300"
        assert reply.headers["x-ratelimit-limit-tokens"] == "1000"
        share.ended(used(100, 50))
    with limits.share(reply, tokens=a_minute(1000)) as share:
        await share.enter()
        assert reply.headers["x-ratelimit-remaining-tokens"] == "850"


@pytest.mark.parametrize(("parts", "tokens"), [((("image_url", 2),), 110), ((("file", 1),), 1010), ((), 10)], ids=str)
async def test_parts_are_guessed_at_their_ceiling(parts: tuple[tuple[str, int], ...], tokens: int) -> None:
    limits, reply = Limiting(), Reply()
    with limits.share(reply, tokens=a_minute(5000)) as share:
        await share.enter()
        await share.spend(call(text_bytes=40, parts=parts), CANDIDATE)
        assert reply.headers["x-ratelimit-remaining-tokens"] == str(5000 - tokens)


@pytest.mark.parametrize(
    "ended",
    [
        record("call-1"),
        used(5, 0, ended="provider_failed"),
        used(5, 5, ended="ledger_failed"),
        used(5, 0, flags=("zero_completion",)),
        used(5, 2, flags=("finish_error",)),
    ],
    ids=["never asked", "provider failed", "ledger failed", "nothing answered", "finished with an error"],
)
async def test_a_call_that_nobody_is_charged_for_uses_no_tokens(ended: object) -> None:
    limits, reply = Limiting(), Reply()
    for _ in range(2):
        with limits.share(reply, tokens=a_minute(100)) as share:
            await share.enter()
            assert reply.headers["x-ratelimit-remaining-tokens"] == "100"
            await share.spend(call(text_bytes=400), CANDIDATE)
            share.ended(ended)


async def test_more_than_was_guessed_is_waited_for_by_the_next_call() -> None:
    limits = Limiting()
    with limits.share(tokens=a_minute(100)) as share:
        await share.enter()
        await share.spend(call(), CANDIDATE)
        share.ended(used(10, 400))
    with limits.share(tokens=a_minute(100)) as share, pytest.raises(RateLimited) as refused:
        await share.enter()
    assert refused.value.details["limit"] == {"of": "wallet", "kind": "tokens", "rate": "100/min"}
    limits.pass_time(61)
    with limits.share(tokens=a_minute(100)) as share:
        await share.enter()
        await share.spend(call(), CANDIDATE)


async def test_what_is_left_but_not_enough_is_waited_for() -> None:
    limits = Limiting()
    with limits.share(tokens=a_minute(100)) as first, limits.share(tokens=a_minute(100)) as second:
        await first.enter()
        await first.spend(call(text_bytes=320), CANDIDATE)
        await second.enter()
        with pytest.raises(RateLimited):
            await second.spend(call(text_bytes=320), CANDIDATE)
    assert limits.observer.said == [("wallet", "tokens", "")]


@pytest.mark.parametrize(
    ("fields", "param", "cure"),
    [
        ({"text_bytes": 40, "max_tokens": 200}, "max_tokens", "lower max_tokens, or shorten the prompt"),
        ({"text_bytes": 800, "max_tokens": 200}, "messages", "shorten the prompt"),
        ({"text_bytes": 800}, "messages", "shorten the prompt"),
    ],
    ids=["the answer", "both", "the prompt"],
)
async def test_a_call_that_no_waiting_makes_room_for_is_told_so(fields: dict[str, int], param: str, cure: str) -> None:
    limits = Limiting()
    with limits.share(tokens=(Rate(10**6, 86_400), Rate(100, 60))) as share, pytest.raises(RequestError) as refused:
        await share.enter()
        await share.spend(call(**fields), CANDIDATE)
    assert refused.value.param == param
    assert refused.value.message.endswith(f"this wallet may use 100/min: {cure}.")
    assert refused.value.should_retry is False


# --- reads


async def test_a_wallet_may_have_some_reads_at_once() -> None:
    limits = Limiting()
    wallets = limits.wallets(reads=2)
    with wallets.read(WALLET), wallets.read(WALLET):
        with pytest.raises(RateLimited), wallets.read(WALLET):
            pass
        with wallets.read("eip155:0x01"):
            pass
    with pytest.raises(KeyError), wallets.read(WALLET):
        raise KeyError
    assert limits.counts.reading == {}
    assert limits.observer.said == [("wallet", "reads", "")]


# --- a store that is lost


async def test_while_the_store_is_lost_everything_passes_where_that_is_wished() -> None:
    limits, reply = Limiting(lost="open"), Reply()
    with limits.share(reply, concurrency=1, requests=a_minute(1), tokens=a_minute(100)) as share:
        await share.enter()
        await share.spend(call(), CANDIDATE)
        share.ended(used(1, 1))
    assert reply.headers == {}
    assert limits.observer.passed == ["wallet", "wallet"]  # the request, and its tokens


async def test_while_the_store_is_lost_nothing_passes_otherwise() -> None:
    limits = Limiting(lost="closed")
    with limits.share(concurrency=1) as share, pytest.raises(Overloaded) as refused:
        await share.enter()
    assert refused.value.retry_after_ms == 1_000
    with pytest.raises(Overloaded):
        await limits.gate(requests=a_minute(1)).wait_ms(call(), CANDIDATE)
    assert limits.observer.passed == []
