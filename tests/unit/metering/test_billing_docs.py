"""docs/billing.md: every figure of its examples comes out of the code, and so does who pays in each row."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from helpers.configs import read
from helpers.metered import call, candidate, served, tariff
from tollway.assembly import catalog
from tollway.domain.call import Call
from tollway.domain.commands import Insufficient
from tollway.domain.errors import TollwayError
from tollway.domain.money import format_usd, parse_rate, parse_usd
from tollway.domain.plan import Candidate, Plan
from tollway.domain.price import Price, Rates, Tariff
from tollway.domain.usage import Charge, Generated, Usage
from tollway.egress.reply import error_object
from tollway.egress.stream import READ_ON_S, USAGE_GRACE_S
from tollway.intake.limits import Limits
from tollway.intake.parse import parse
from tollway.metering.bound import hold_bound, prompt_bound
from tollway.metering.cost import cost_of, sell_of
from tollway.metering.count import BYTES_PER_TOKEN
from tollway.metering.meter import meter
from tollway.metering.price_list import price_list
from tollway.metering.terms import insufficient, terms

PAGE = (Path(__file__).parents[3] / "docs" / "billing.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(toml|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOML = [match[2] for match in BLOCK.finditer(PAGE) if match[1] == "toml"]
JSON = [match[2] for match in BLOCK.finditer(PAGE) if match[1] == "json"]
STEPS, RATES, RESOLD = TOML[0], TOML[1], TOML[2]
PROVIDER = STEPS[: STEPS.index("[[providers.models]]")]


def configured(text: str) -> Candidate:
    """The only model of a configuration."""
    config = read(text)
    (found,) = catalog(config, price_list(config)).served_by("acme")
    return found


def asked(body: str) -> Call:
    return parse(body.encode(), id="call-1", limits=Limits())


def rows(first: str) -> list[list[str]]:
    """The rows of the table whose heading begins with `first`."""
    lines = PAGE.split(f"| {first} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


LARGE = configured(STEPS)
HELLO = asked(JSON[0])
USAGE = Usage(prompt=9, completion=120)


def test_the_call_step_by_step_moves_this_money() -> None:
    hold, post = hold_bound(HELLO, LARGE), sell_of(USAGE, (), LARGE.tariff)
    owed = cost_of(USAGE, (), LARGE.tariff)
    amounts = {
        "hold": hold,
        "post": post,
        "returned": hold - post,
        "owed to the provider": owed,
        "kept by the router": post - owed,
    }
    assert {step: usd for step, usd, _ in rows("Step")} == {step: format_usd(nano) for step, nano in amounts.items()}
    assert (
        prompt_bound(HELLO, LARGE)
        == 284
        == len("user") + len("hello") + 3 + LARGE.template_tokens + LARGE.message_tokens
    )


def test_without_a_limit_the_hold_is_for_all_that_the_model_can_put_out() -> None:
    unlimited = asked(JSON[0].replace('"max_tokens": 500, ', ""))
    assert f"here {format_usd(hold_bound(unlimited, LARGE))} USD" in PAGE


def test_the_refusal_is_what_a_balance_of_this_size_is_told() -> None:
    shown = json.loads(JSON[1])["error"]
    offer = terms(HELLO, Plan(candidates=(LARGE,), seed=0))
    error: TollwayError = insufficient(HELLO, offer, Insufficient(available=parse_usd(shown["balance_usd"])))
    assert shown == error_object(error)


def test_max_cost_lowers_the_answer_as_the_example_says() -> None:
    capped = asked(JSON[2])
    offer = terms(capped, Plan(candidates=(LARGE,), seed=0))
    (cap,), (bound,) = offer.caps.values(), offer.bounds.values()
    assert (
        f"{LARGE.max_output_tokens} possible tokens {cap} are asked for, and the hold is {format_usd(bound)} USD"
        in (PAGE.replace("\n", " "))
    )


@pytest.mark.parametrize("row", rows("Prompt | of it cached"), ids=" ".join)
def test_each_kind_of_token_is_billed_as_its_row_says(row: list[str]) -> None:
    prompt, cached, written, completion, reasoning = map(int, row[:5])
    usage = Usage(prompt=prompt, cached=cached, cache_write=written, completion=completion, reasoning=reasoning)
    features = [row[5].strip("`")] if row[5] else []
    bare = PROVIDER.replace('markup = "3%"', "")
    assert format_usd(sell_of(usage, features, configured(bare + RATES).tariff)) == row[6]


@pytest.mark.parametrize("row", rows("Prompt | Answer | Pays, USD"), ids=" ".join)
def test_sums_are_rounded_up_once(row: list[str]) -> None:
    found = re.search(r'input = "([0-9.]+)", output = "([0-9.]+)" \}` and', PAGE)
    assert found is not None
    rates = Rates(input=parse_rate(found[1]), output=parse_rate(found[2]))
    assert f"{rates.input:,} picodollars" in PAGE
    usage = Usage(prompt=int(row[0]), completion=int(row[1]))
    priced = tariff(rates, markup_bps=300)
    assert [format_usd(sell_of(usage, (), priced)), format_usd(cost_of(usage, (), priced))] == row[2:]


def test_buying_and_selling_are_apart() -> None:
    resold = configured(PROVIDER + RESOLD).tariff
    usage = Usage(prompt=1000, completion=500)
    pays, owed = format_usd(sell_of(usage, (), resold)), format_usd(cost_of(usage, (), resold))
    assert f"pay {pays} USD, of which {owed} are" in PAGE


def test_the_welcome_credit_is_enough_for_as_many_accounts() -> None:
    billing = read(TOML[3] + PROVIDER.split("\n\n", 1)[1] + RESOLD).billing
    assert f"the first {billing.welcome_credit_total_usd // billing.welcome_credit_usd} accounts" in PAGE


def test_the_numbers_in_the_text_are_the_codes() -> None:
    assert f"within {USAGE_GRACE_S:g} s |" in PAGE
    assert f"for up to {READ_ON_S:g} s" in PAGE
    assert f"a token for each {BYTES_PER_TOKEN} bytes" in PAGE


# Who pays: 40 bytes of prompt (10 tokens), 20 bytes of answer (5 tokens), USD 2.50 and 10.00.
TOKENS, COUNTED, PROMPT, NOTHING = "tokens", "our count", "our count of the prompt", "nothing"
OWED = {TOKENS: 9 * 2_500 + 4 * 10_000, COUNTED: 10 * 2_500 + 5 * 10_000, PROMPT: 10 * 2_500, NOTHING: 0}
REPORTED = b'{"prompt_tokens": 9, "completion_tokens": 4}'
ENDINGS: dict[str, dict[str, Any]] = {
    "a whole answer": {"ended": "complete"},
    "a whole answer, and no usage came": {"ended": "complete", "usage_raw": None},
    "usage that can't be true": {
        "ended": "complete",
        "usage_raw": b'{"prompt_tokens": 9, "completion_tokens": 1000000000}',
    },
    "the provider broke off": {"ended": "provider_failed"},
    "nothing was generated": {
        "ended": "complete",
        "usage_raw": b'{"prompt_tokens": 9, "completion_tokens": 0}',
        "generated": Generated(),
        "finish_reasons": (None,),
    },
    "the finish reason is `error`": {"ended": "complete", "finish_reasons": ("error",)},
    "the caller left a stream before": {
        "ended": "client_left_before_token",
        "usage_raw": None,
        "generated": Generated(),
    },
    "the caller left in the middle": {"ended": "client_left", "usage_raw": None},
    "the router cut a stream": {"ended": "cut_by_router", "usage_raw": None},
    "the router cut a call without": {"ended": "cut_by_router", "stream": False},
    "the books could not be written": {"ended": "ledger_failed"},
}


def charged(ending: dict[str, Any]) -> Charge:
    given = {"usage_raw": REPORTED, "generated": Generated(text_bytes=20), "finish_reasons": ("stop",), **ending}
    made = call(text_bytes=40, stream=given.pop("stream", True))
    how, at = given.pop("ended"), candidate(Tariff(buy=Price(rates=LARGE.tariff.buy.rates)))
    return meter(served(made, at, **given), ended=how, held=10**9)


@pytest.mark.parametrize("begins", ENDINGS)
def test_who_pays_is_as_the_row_says(begins: str) -> None:
    row = next(row for row in rows("What happened") if row[0].startswith(begins))
    words = re.match(r"our count of the prompt(?! and)|our count|tokens|nothing", row[1])
    assert words is not None, row
    assert charged(ENDINGS[begins]).price == OWED[words[0]], row
