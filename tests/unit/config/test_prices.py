import pytest

from helpers.configs import PROVIDER, read, refusal, refusals
from tollway.domain.price import PartialPrice, Price, Rates, Tier

PLAIN = '{ input = "2.50", output = "10.00" }'


def with_price(text: str) -> str:
    assert PLAIN in PROVIDER
    return PROVIDER.replace(PLAIN, text)


def price(text: str) -> Price | PartialPrice | None:
    return read(with_price(text)).providers[0].models[0].price


def test_a_rate_is_written_in_usd_per_million_tokens() -> None:
    assert price(PLAIN) == Price(rates=Rates(input=2_500_000, output=10_000_000))


def test_every_kind_of_token_may_have_its_own_rate() -> None:
    text = (
        '{ input = "1", output = "2", cached_input = "3", cache_write = "4", reasoning = "5", audio_input = "6", '
        'audio_output = "0" }'
    )
    assert price(text).rates == Rates(
        input=10**6,
        output=2 * 10**6,
        cached_input=3 * 10**6,
        cache_write=4 * 10**6,
        reasoning=5 * 10**6,
        audio_input=6 * 10**6,
        audio_output=0,
    )


def test_free_is_written() -> None:
    assert price('{ input = "0", output = "0" }').rates == Rates(input=0, output=0)


def test_a_feature_is_priced_in_usd_per_call() -> None:
    assert price('{ input = "1", output = "1", features = { web_search = "0.01" } }').features == {"web_search": 10**10}


def test_tiers_are_ordered_by_their_threshold() -> None:
    text = (
        '{ input = "1", output = "2", tiers = [{ above = 500000, input = "5", output = "6" }, '
        '{ above = 200000, input = "3", output = "4" }] }'
    )
    assert price(text).tiers == (
        Tier(above=200_000, rates=Rates(input=3 * 10**6, output=4 * 10**6)),
        Tier(above=500_000, rates=Rates(input=5 * 10**6, output=6 * 10**6)),
    )


def test_a_model_may_have_a_selling_price_of_the_same_form() -> None:
    model = read(PROVIDER + 'sell = { input = "3", output = "12" }').providers[0].models[0]
    assert model.price.rates.input == 2_500_000
    assert model.sell == Price(rates=Rates(input=3 * 10**6, output=12 * 10**6))


def test_a_price_may_be_left_to_the_price_book() -> None:
    assert read(PROVIDER.replace(f"price = {PLAIN}", "")).providers[0].models[0].price is None


def test_a_price_with_one_way_is_laid_over_the_price_books() -> None:
    assert price('{ input = "1", reasoning = "5" }') == PartialPrice(input=10**6, reasoning=5 * 10**6)
    assert price('{ output = "0", tiers = [] }') == PartialPrice(output=0, tiers=())


def test_a_selling_price_needs_both_ways() -> None:
    problems = refusals(PROVIDER + 'sell = { cached_input = "1" }')
    assert [problem.key for problem in problems] == [
        "providers[0].models[0].sell.input",
        "providers[0].models[0].sell.output",
    ]
    assert "is missing" in problems[0].expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2.5", "write it as text"),
        ("2", "write it as text"),
        ('"-1"', "decimal"),
        ('"1e3"', "decimal"),
        ('"1.0000001"', "6 decimals"),
        ('"2000000"', "at most 1000000"),
    ],
)
def test_a_rate_is_plain_decimal_text(text: str, reason: str) -> None:
    problem = refusal(with_price(f'{{ input = {text}, output = "1" }}'))
    assert problem.key == "providers[0].models[0].price.input"
    assert problem.value is not None
    assert problem.value.strip("'") == text.strip('"')
    assert reason in problem.expected


def test_a_price_is_a_table() -> None:
    assert "write price = {" in refusal(with_price('"2.50"')).expected


def test_two_tiers_need_two_thresholds() -> None:
    tier = '{ above = 5, input = "1", output = "1" }'
    problem = refusal(with_price(f'{{ input = "1", output = "1", tiers = [{tier}, {tier}] }}'))
    assert problem.key == "providers[0].models[0].price.tiers[1].above"
    assert "each needs its own" in problem.expected


def test_a_tier_names_every_rate_of_its_price() -> None:
    text = (
        '{ input = "1", output = "1", cached_input = "0.5", reasoning = "2", '
        'tiers = [{ above = 5, input = "1", output = "1", reasoning = "3" }] }'
    )
    problem = refusal(with_price(text))
    assert problem.key == "providers[0].models[0].price.tiers[0].cached_input"
    assert "replaces the whole price" in problem.expected


def test_a_wrong_tier_does_not_hide_what_else_is_wrong() -> None:
    text = '{ input = "1", output = "1", tiers = [5, { above = 0, input = "1", output = "1" }] }'
    assert [problem.key for problem in refusals(with_price(text) + 'aliases = ["gpt-4o", 3]')] == [
        "providers[0].models[0].price.tiers[0]",
        "providers[0].models[0].price.tiers[1].above",
        "providers[0].models[0].aliases[1]",
    ]
