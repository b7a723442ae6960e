"""What a call may cost at each candidate of a plan, and what is said when that is too much."""

import pytest

from helpers.metered import call, candidate, tariff
from tollway.domain.commands import Insufficient
from tollway.domain.errors import InsufficientBalance, RequestError
from tollway.domain.plan import Candidate, Plan
from tollway.domain.price import Rates
from tollway.metering.bound import hold_bound
from tollway.metering.terms import insufficient, terms

PROMPT = 40 + 256 + 16  # the bound of helpers.metered.call()


def at(provider: str, input_nano: int, output_nano: int) -> Candidate:
    """A candidate priced in nano-USD a token."""
    return candidate(tariff(Rates(input=input_nano * 1_000, output=output_nano * 1_000)), provider=provider)


CHEAP, TWIN, DEAR = at("cheap", 1, 10), at("twin", 1, 10), at("dear", 2, 20)


def plan(*candidates: Candidate) -> Plan:
    return Plan(candidates=candidates, seed=1)


def test_the_amounts_are_the_distinct_bounds_largest_first() -> None:
    asked = call(max_tokens=100)
    offer = terms(asked, plan(CHEAP, DEAR, TWIN))
    assert offer.amounts == (hold_bound(asked, DEAR), hold_bound(asked, CHEAP))
    assert (offer.caps, offer.too_dear, offer.candidates) == ({}, (), (CHEAP, DEAR, TWIN))


def test_the_candidates_beyond_a_hold_are_those_with_a_larger_bound() -> None:
    offer = terms(call(max_tokens=100), plan(DEAR, CHEAP, TWIN))
    assert offer.beyond(PROMPT + 1_000) == (DEAR.key,)
    assert offer.beyond(2 * PROMPT + 2_000) == ()


def test_a_call_within_its_max_cost_is_not_capped() -> None:
    offer = terms(call(max_tokens=100, max_cost=PROMPT + 1_000), plan(CHEAP))
    assert (offer.caps, offer.amounts) == ({}, (PROMPT + 1_000,))


def test_max_cost_lowers_the_output_limit_to_fit() -> None:
    offer = terms(call(max_tokens=100, max_cost=PROMPT + 505), plan(CHEAP))
    assert (offer.caps, offer.amounts) == ({CHEAP.key: 50}, (PROMPT + 500,))


def test_more_output_than_a_model_has_is_lowered_to_what_it_has() -> None:
    asked = call(max_tokens=CHEAP.max_output_tokens + 1)
    assert terms(asked, plan(CHEAP)).caps == {CHEAP.key: CHEAP.max_output_tokens}
    assert terms(call(max_tokens=CHEAP.max_output_tokens), plan(CHEAP)).caps == {}


def test_a_candidate_that_fits_no_token_into_max_cost_is_left_out() -> None:
    offer = terms(call(max_tokens=100, max_cost=PROMPT + 300), plan(DEAR, CHEAP))
    assert (offer.too_dear, list(offer.bounds)) == ((DEAR.key,), [CHEAP.key])


def test_when_no_candidate_fits_max_cost_the_least_one_token_may_cost_is_named() -> None:
    with pytest.raises(RequestError, match=r"up to 0\.000000322 USD") as refused:
        terms(call(max_cost=PROMPT), plan(DEAR, CHEAP))
    assert refused.value.param == "max_cost"
    told = refused.value.details
    assert told["would_fit"] == {"max_cost": "0.000000322"}
    assert [(entry["candidate"], entry["reason"]) for entry in told["candidates"]] == [
        (DEAR.key, "beyond_max_cost"),
        (CHEAP.key, "beyond_max_cost"),
    ]


def test_a_balance_that_is_too_small_is_told_what_it_could_carry() -> None:
    asked = call(max_tokens=100)
    refused = insufficient(asked, terms(asked, plan(DEAR, CHEAP)), Insufficient(available=PROMPT + 500))
    assert isinstance(refused, InsufficientBalance)
    assert refused.details == {
        "balance_usd": "0.000000812",
        "hold_usd": "0.000001312",
        "max_tokens_affordable": 50,
    }
    assert "lower max_tokens to 50 or top up" in refused.message


def test_the_output_a_balance_could_carry_is_the_most_that_any_candidate_gives_for_it() -> None:
    asked = call(max_tokens=10)
    dear_prompt, dear_answer = at("dear-prompt", 3, 1), at("dear-answer", 1, 100)
    offer = terms(asked, plan(dear_prompt, dear_answer))
    assert hold_bound(asked, dear_prompt) < hold_bound(asked, dear_answer)
    assert insufficient(asked, offer, Insufficient(available=PROMPT + 500)).details["max_tokens_affordable"] == 5


@pytest.mark.parametrize("available", [0, -5, PROMPT])
def test_a_balance_that_carries_no_token_is_told_to_top_up(available: int) -> None:
    asked = call(max_tokens=100)
    refused = insufficient(asked, terms(asked, plan(CHEAP)), Insufficient(available=available))
    assert refused.message.endswith("USD free: top up.")
    assert refused.details["max_tokens_affordable"] == 0


def test_a_key_that_may_spend_too_little_is_told_so_and_is_no_matter_of_the_balance() -> None:
    refused = insufficient(
        call(max_tokens=10), terms(call(max_tokens=10), plan(CHEAP)), Insufficient(available=0, short="key")
    )
    assert (refused.status, refused.code) == (403, "key_limit_exceeded")
    assert refused.details["key_left_usd"] == "0.00"
    assert "balance_usd" not in refused.details
    assert "ask its owner for a new one" in refused.message
