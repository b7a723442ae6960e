"""How each ending of a call is charged."""

import json
from typing import Any, get_args

import pytest

from helpers.metered import call, candidate, served, tariff
from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.price import Price, Rates, Tier
from tollway.domain.usage import Charge, Counted, Generated, Usage
from tollway.metering.meter import REFUSED_BYTES_MAX, Ending, meter

# A token of the prompt costs 1 nano-USD, one of the answer 10; the wallet pays half as much again.
AT = candidate(tariff(Rates(input=1_000, output=10_000), markup_bps=5_000))
HELD = 10**9
ASKED = call(text_bytes=400, max_tokens=50, stream=True)  # 100 tokens by our own count
SAID = Generated(text_bytes=80)  # 20 tokens
OWN = Usage(prompt=100, completion=20)
PARTIAL = ["client_left", "client_left_before_token", "cut_by_router"]
FREE = ["provider_failed", "refused", "ledger_failed"]


def reported(prompt: Any = 90, completion: Any = 30, **more: Any) -> bytes:
    return json.dumps({"prompt_tokens": prompt, "completion_tokens": completion} | more).encode()


def ended(how: Ending, asked: Call = ASKED, **seen: Any) -> Charge:
    return at(AT, how, asked, **seen)


def at(candidate: Candidate, how: Ending, asked: Call, held: int = HELD, **seen: Any) -> Charge:
    return meter(served(asked, candidate, **seen), ended=how, held=held)


def test_a_complete_call_pays_the_usage_that_the_provider_reports() -> None:
    charge = ended("complete", usage_raw=reported(), generated=SAID, finish_reasons=["stop"])
    assert charge == Charge(usage=Usage(prompt=90, completion=30), price=585, cost=390, own=OWN)


def test_a_complete_call_without_usage_pays_our_own_count() -> None:
    charge = ended("complete", generated=SAID, finish_reasons=["stop"])
    assert charge == Charge(usage=OWN, price=450, cost=300, own=OWN, estimated=True, flags=("usage_missing",))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{}", "malformed"),
        (reported(prompt="many"), "malformed"),
        (reported(prompt=-1), "negative"),
        (reported(prompt=7_000), "prompt_over_bound"),
        (reported(completion=51), "completion_over_limit"),
        (reported(cached_tokens=91), "cached_over_prompt"),
        (reported(completion_tokens_details={"reasoning_tokens": 31}), "reasoning_over_completion"),
    ],
)
def test_impossible_usage_is_refused_and_our_own_count_stands_in(raw: bytes, reason: str) -> None:
    charge = ended("complete", usage_raw=raw, generated=SAID, finish_reasons=["stop"])
    assert charge == Charge(
        usage=OWN,
        price=450,
        cost=300,
        own=OWN,
        estimated=True,
        flags=(f"usage_refused:{reason}",),
        refused=raw.decode(),
    )


def test_of_usage_that_was_refused_the_operator_is_shown_the_start() -> None:
    charge = ended("complete", usage_raw=b"[" * 5_000, generated=SAID)
    assert charge.refused == "[" * REFUSED_BYTES_MAX


def test_usage_over_a_limit_that_the_router_lowered_is_refused() -> None:
    kept = ended("complete", usage_raw=reported(completion=30), finish_reasons=["length"], max_tokens=30)
    assert (kept.estimated, kept.flags) == (False, ())
    broken = ended("complete", usage_raw=reported(completion=31), finish_reasons=["length"], max_tokens=30)
    assert broken.flags == ("usage_refused:completion_over_limit",)


@pytest.mark.parametrize("how", PARTIAL)
def test_a_stream_given_up_pays_its_prompt_and_what_was_read_of_the_answer(how: Ending) -> None:
    charge = ended(how, generated=SAID)
    assert charge == Charge(usage=OWN, price=450, cost=300, own=OWN, estimated=True, flags=(how,))


@pytest.mark.parametrize("how", PARTIAL)
@pytest.mark.parametrize(("so_far", "completion"), [(30, 30), (20, 20), (5, 20), (0, 20)])
def test_of_usage_so_far_and_our_own_count_the_larger_answer_is_paid(how: Ending, so_far: int, completion: int) -> None:
    charge = ended(how, usage_raw=reported(completion=so_far), generated=SAID)
    assert charge.usage == Usage(prompt=90, completion=completion)
    assert (charge.own, charge.estimated, charge.flags) == (OWN, True, (how,))


def test_details_of_usage_so_far_are_kept() -> None:
    charge = ended("client_left", usage_raw=reported(cached_tokens=50, completion=1), generated=SAID)
    assert charge.usage == Usage(prompt=90, completion=20, cached=50)


def test_a_prompt_that_is_reported_as_nothing_so_far_is_counted_by_us() -> None:
    assert ended("client_left", usage_raw=reported(0, 0), generated=SAID).usage == Usage(prompt=100, completion=20)


def test_impossible_usage_so_far_is_flagged_beside_the_ending() -> None:
    charge = ended("client_left", usage_raw=reported(-1), generated=SAID)
    assert charge.usage == Usage(prompt=100, completion=20)
    assert charge.flags == ("usage_refused:negative", "client_left")


def test_a_client_that_left_before_the_first_token_pays_the_prompt() -> None:
    charge = ended("client_left_before_token")
    assert (charge.usage, charge.price, charge.estimated) == (Usage(prompt=100, completion=0), 150, True)


def test_a_batch_cut_by_the_router_is_free_and_its_cost_is_recorded() -> None:
    charge = ended("cut_by_router", call(text_bytes=400))
    assert (charge.price, charge.cost, charge.flags) == (0, 100, ("cut_by_router",))


@pytest.mark.parametrize("how", FREE)
def test_an_answer_that_failed_is_free_and_its_cost_is_recorded(how: Ending) -> None:
    counted = ended(how, generated=SAID)
    assert (counted.price, counted.cost, counted.flags) == (0, 300, (how,))
    known = ended(how, usage_raw=reported(), generated=SAID, finish_reasons=["stop"])
    assert (known.price, known.cost) == (0, 390)


@pytest.mark.parametrize("raw", [None, reported(completion=0)])
@pytest.mark.parametrize("reasons", [(), (None,), (None, None), ("",)])
def test_no_token_and_no_finish_reason_is_free(raw: bytes | None, reasons: tuple[str | None, ...]) -> None:
    charge = ended("complete", usage_raw=raw, finish_reasons=reasons)
    assert charge.price == 0
    assert charge.cost > 0
    assert "zero_completion" in charge.flags


def test_no_token_with_a_finish_reason_pays_the_prompt() -> None:
    charge = ended("complete", usage_raw=reported(completion=0), finish_reasons=["stop"])
    assert (charge.price, charge.flags) == (135, ())


def test_tokens_without_a_finish_reason_are_paid() -> None:
    assert ended("complete", usage_raw=reported(), finish_reasons=[None]).price == 585


@pytest.mark.parametrize("how", ["complete", *PARTIAL])
def test_a_choice_that_finished_with_an_error_makes_the_call_free(how: Ending) -> None:
    charge = ended(how, usage_raw=reported(), generated=SAID, finish_reasons=["stop", "error"])
    assert charge.price == 0
    assert charge.cost == 390
    assert "finish_error" in charge.flags


@pytest.mark.parametrize("how", ["complete", *PARTIAL])
def test_our_own_count_is_never_charged_beyond_the_hold(how: Ending) -> None:
    charge = ended(how, generated=SAID, finish_reasons=["stop"], held=200)
    assert (charge.price, charge.cost) == (200, 300)


def test_a_reported_usage_may_cost_more_than_the_hold() -> None:
    assert ended("complete", usage_raw=reported(), finish_reasons=["stop"], held=200).price == 585


def test_features_are_paid_with_the_tokens_and_not_without() -> None:
    searching = candidate(tariff(Rates(input=1_000, output=10_000), features={"web_search": 7_000}))
    asked = call(text_bytes=400, features=frozenset({"web_search"}), parts=[("web_search", 1)])
    paid = at(searching, "complete", asked, usage_raw=reported(), finish_reasons=["stop"])
    assert (paid.price, paid.cost) == (397, 397)
    free = at(searching, "provider_failed", asked, usage_raw=reported())
    assert (free.price, free.cost) == (0, 397)


def test_the_tier_is_that_of_the_reported_prompt() -> None:
    tier = Tier(above=89, rates=Rates(input=2_000, output=20_000))
    tiered = candidate(tariff(Rates(input=1_000, output=10_000), tiers=(tier,)))
    for prompt, price in ((89, 89 + 300), (90, 180 + 600)):
        raw = reported(prompt)
        assert at(tiered, "complete", ASKED, usage_raw=raw, finish_reasons=["stop"]).price == price


def test_what_the_wallet_pays_and_what_the_provider_is_owed_may_be_set_apart() -> None:
    apart = candidate(tariff(Rates(input=1_000, output=10_000), sell=Price(rates=Rates(input=0, output=1_000))))
    charge = at(apart, "complete", ASKED, usage_raw=reported(), finish_reasons=["stop"])
    assert (charge.price, charge.cost) == (30, 390)


def test_every_ending_has_been_charged_above() -> None:
    endings = {name for part in get_args(Ending) for name in (get_args(part) or (part,))}
    assert endings == {"complete", *PARTIAL, *FREE}


def test_a_charge_by_our_tokenizer_is_estimated_and_never_over_the_hold() -> None:
    counted = Counted(vocabulary="o200k_base", prompt=10, completion=20)
    read = served(call(), candidate(), generated=Generated(text_bytes=4), finish_reasons=["stop"])
    charge = meter(read, ended="complete", held=10**9, counted=counted)
    assert (charge.usage, charge.price, charge.estimated) == (Usage(prompt=10, completion=20), 225_000, True)
    assert charge.own == charge.usage
    capped = meter(read, ended="complete", held=200, counted=counted)
    assert (capped.price, capped.cost) == (200, 225_000)
