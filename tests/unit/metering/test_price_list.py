"""Each configured model has its price when the router starts, from the configuration or from the book, or the start
stops and says what to write."""

from pathlib import Path

import pytest

from helpers.configs import BASE, PROVIDER, read
from helpers.price_books import book, row, size, tier
from tollway.config import ConfigError, Problem
from tollway.domain.price import Price, Rates
from tollway.metering.price_book import PriceBook
from tollway.metering.price_files import shipped, write_book
from tollway.metering.price_list import ListedModel, price_list, remarks

WRITTEN = 'price = { input = "2.50", output = "10.00" }'
GPT_4O = shipped().index()["openai", "gpt-4o"]


def with_price(text: str, *, id: str = "openai", host: str = "api.openai.com", model: str = "openai/gpt-4o") -> str:
    assert WRITTEN in PROVIDER
    changed = PROVIDER.replace(WRITTEN, text).replace("api.openai.com", host).replace("openai/gpt-4o", model)
    return changed.replace('id = "openai"', f'id = "{id}"')


def listed(text: str, base: Path = BASE) -> ListedModel:
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
    price = Price(rates=Rates(input=2_500_000, output=10_000_000))
    assert listed(with_price(WRITTEN)) == ListedModel(price=price, context_length=128_000, max_output_tokens=128_000)


def test_a_written_price_needs_no_book(tmp_path: Path) -> None:
    assert listed(OWN + with_price(WRITTEN), tmp_path).row is None


def test_a_model_without_a_price_has_the_books() -> None:
    found = listed(with_price(""))
    assert (found.price, found.row) == (GPT_4O.price, GPT_4O)


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


# --- sizes


def sized(text: str = "", *, price: str = WRITTEN, model: str = "openai/gpt-4o") -> str:
    """A model that says `text` of its size."""
    return with_price(price, model=model).replace("context_length = 128000", text)


@pytest.mark.parametrize("price", [WRITTEN, ""])
def test_a_model_that_says_no_size_has_the_books(price: str) -> None:
    known = shipped().size_index()["openai", "gpt-4o"]
    found = listed(sized(price=price))
    assert (found.context_length, found.max_output_tokens) == (known.context_length, known.max_output_tokens)
    assert found.max_output_tokens == 16_384


def test_what_is_written_of_a_size_counts() -> None:
    own = listed(sized("max_output_tokens = 1000"))
    assert (own.context_length, own.max_output_tokens) == (128_000, 1_000)
    own = listed(sized("context_length = 9000"))
    assert (own.context_length, own.max_output_tokens) == (9_000, 9_000)


def test_an_answer_of_unknown_length_may_fill_the_context() -> None:
    (known, *_) = (size for size in shipped().sizes if size.max_output_tokens is None)
    text = sized(model=f"x/{known.model}")
    found = listed(text.replace("[[providers.models]]", f'price_book = "{known.provider}"\n[[providers.models]]'))
    assert (found.context_length, found.max_output_tokens) == (known.context_length, known.context_length)


def test_a_size_that_nobody_knows_stops_the_start() -> None:
    found = problem(sized(model="openai/house"))
    assert found.key == "providers[0].models[0].context_length"
    assert "write context_length = 128000" in found.expected
    assert "'house' of openai" in found.expected


def test_an_unknown_price_and_an_unknown_size_are_both_told() -> None:
    with pytest.raises(ConfigError) as refused:
        price_list(read(sized(price="", model="openai/house")))
    assert [found.key for found in refused.value.problems] == [
        "providers[0].models[0].price",
        "providers[0].models[0].context_length",
    ]


def test_an_answer_fits_the_context_that_the_book_has() -> None:
    found = problem(sized("max_output_tokens = 128001"))
    assert (found.key, found.value) == ("providers[0].models[0].max_output_tokens", "128001")
    assert "128000" in found.expected


def test_the_operators_book_says_sizes_too(tmp_path: Path) -> None:
    mine = PriceBook(sizes=(size("gpt-4o", 5_000, 500), size("house", 6_000)))
    write_book(tmp_path / "prices.json", mine)
    found = listed(OWN + sized(), tmp_path)
    assert (found.context_length, found.max_output_tokens) == (5_000, 500)
    assert listed(OWN + sized(model="openai/house"), tmp_path).context_length == 6_000
