"""Each configured model has its price when the router starts, from the configuration or from the book, or the start
stops and says what to write."""

from pathlib import Path

import pytest

from helpers.configs import BASE, PROVIDER, read
from helpers.price_books import book, row, tier
from tollway.config import ConfigError, Problem
from tollway.domain.price import Price, Rates
from tollway.metering.price_files import shipped, write_book
from tollway.metering.price_list import ListedPrice, price_list, remarks

WRITTEN = 'price = { input = "2.50", output = "10.00" }'
GPT_4O = shipped().index()["openai", "gpt-4o"]


def with_price(text: str, *, id: str = "openai", host: str = "api.openai.com", model: str = "openai/gpt-4o") -> str:
    assert WRITTEN in PROVIDER
    changed = PROVIDER.replace(WRITTEN, text).replace("api.openai.com", host).replace("openai/gpt-4o", model)
    return changed.replace('id = "openai"', f'id = "{id}"')


def listed(text: str, base: Path = BASE) -> ListedPrice:
    (found,) = price_list(read(text, base=base)).values()
    return found


def problem(text: str, base: Path = BASE) -> Problem:
    with pytest.raises(ConfigError) as refused:
        price_list(read(text, base=base))
    (found,) = refused.value.problems
    return found


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a price book of the operator's own."""
    tiers = (tier(1000, 30, 40),)
    write_book(tmp_path / "prices.json", book(row("house", provider="openai", input=10, output=20, tiers=tiers)))
    return tmp_path


OWN = '[billing]\nprice_book = "prices.json"\n'


def test_a_written_price_with_both_ways_is_the_whole_price() -> None:
    assert listed(with_price(WRITTEN)) == ListedPrice(price=Price(rates=Rates(input=2_500_000, output=10_000_000)))


def test_a_written_price_needs_no_book(tmp_path: Path) -> None:
    assert listed(OWN + with_price(WRITTEN), tmp_path).row is None


def test_a_model_without_a_price_has_the_books() -> None:
    assert listed(with_price("")) == ListedPrice(price=GPT_4O.price, row=GPT_4O)


def test_a_rate_that_is_written_is_laid_over_the_books() -> None:
    found = listed(with_price('price = { output = "9" }'))
    assert found.price.rates == Rates(input=2_500_000, output=9_000_000, cached_input=GPT_4O.rates.cached_input)
    assert found.row == GPT_4O


def test_the_selling_price_stays_apart() -> None:
    config = read(with_price('sell = { input = "1", output = "1" }'))
    assert price_list(config)["openai", "openai/gpt-4o"].price == GPT_4O.price
    assert config.providers[0].models[0].sell == Price(rates=Rates(input=10**6, output=10**6))


@pytest.mark.parametrize(
    ("id", "host", "extra"),
    [
        ("mine", "api.openai.com", ""),
        ("openai", "proxy.example", ""),
        ("mine", "proxy.example", 'price_book = "openai"\n'),
        ("mine", "openrouter.ai", 'price_book = "openai"\n'),
    ],
    ids=["its host", "its id", "its key", "its key before its host"],
)
def test_the_books_provider_is_known_by_key_then_host_then_id(id: str, host: str, extra: str) -> None:
    text = with_price("", id=id, host=host).replace("[[providers.models]]", extra + "[[providers.models]]")
    assert listed(text).row == GPT_4O


def test_the_model_is_looked_up_by_its_upstream_name() -> None:
    found = listed(with_price('upstream = "gpt-4o-mini"'))
    assert found.row is not None
    assert found.row.model == "gpt-4o-mini"


def test_a_model_that_the_book_does_not_know_stops_the_start_and_says_what_to_write() -> None:
    found = problem(with_price("", model="openai/gpt-4oo"))
    assert found.key == "providers[0].models[0].price"
    assert "the price book has no 'gpt-4oo' of openai" in found.expected
    assert 'it knows "gpt-4o"' in found.expected
    assert 'price = { input = "2.50", output = "10.00" }' in found.expected
    assert 'what is free is written as "0"' in found.expected


def test_a_model_like_no_other_is_said_without_a_guess() -> None:
    assert "it knows" not in problem(with_price("", model="openai/q")).expected


def test_a_provider_that_the_book_does_not_know_stops_the_start_and_is_told_which_there_are() -> None:
    found = problem(with_price("", id="mine", host="proxy.example"))
    assert found.key == "providers[0].models[0].price"
    assert "say in price_book" in found.expected
    assert "anthropic, " in found.expected


def test_a_rate_that_is_neither_written_nor_known_is_said_by_name() -> None:
    found = problem(with_price('price = { input = "1" }', model="openai/q"))
    assert found.key == "providers[0].models[0].price.output"


def test_a_misspelt_provider_of_the_book_is_told_the_near_one_once() -> None:
    models = with_price("").replace("[[providers.models]]", 'price_book = "opnai"\n[[providers.models]]', 1)
    found = problem(models + '[[providers.models]]\nid = "openai/o1"\ncontext_length = 1000\n')
    assert (found.key, found.value) == ("providers[0].price_book", "'opnai'")
    assert found.expected == 'did you mean "openai"?'


def test_every_model_without_a_price_is_said_at_once() -> None:
    text = with_price("", model="openai/q") + '[[providers.models]]\nid = "openai/z"\ncontext_length = 1000\n'
    with pytest.raises(ConfigError) as refused:
        price_list(read(text))
    assert [found.key for found in refused.value.problems] == [
        "providers[0].models[0].price",
        "providers[0].models[1].price",
    ]


def test_the_operators_book_is_asked_first(own: Path) -> None:
    assert listed(OWN + with_price("", model="openai/house"), own).price.rates == Rates(input=10, output=20)


def test_a_written_rate_that_the_books_tiers_lack_needs_tiers_too(own: Path) -> None:
    found = problem(OWN + with_price('price = { reasoning = "1" }', model="openai/house"), own)
    assert found.key == "providers[0].models[0].price.tiers"
    assert "the book's tier above 1000 tokens lacks it" in found.expected


def test_an_operators_book_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    found = problem(OWN + with_price(""), tmp_path)
    assert found.key == "billing.price_book"
    assert "can't be read" in found.expected


def test_an_operator_is_told_what_the_book_priced_and_where_its_sources_disagree(own: Path) -> None:
    doubt = {"input": {"genai-prices": 10, "litellm": 11}}
    write_book(own / "prices.json", book(row("house", disagreements=doubt), row("other")))
    text = OWN + with_price("", model="openai/house")
    text += '[[providers.models]]\nid = "openai/other"\ncontext_length = 1000\n'
    text += f'[[providers.models]]\nid = "openai/mine"\n{WRITTEN}\ncontext_length = 1000\n'
    assert remarks(price_list(read(text, base=own))) == (
        "openai:openai/house is priced by the book (openai/house: genai-prices, 2026-11-01; "
        "the sources disagree about input)",
        "openai:openai/other is priced by the book (openai/other: genai-prices, 2026-11-01)",
    )
