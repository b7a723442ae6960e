"""The price book: what it knows is found, what it doesn't know stays unknown."""

from typing import Any

import pytest

from helpers.price_books import book, row, size, tier
from tollway.domain.price import PartialPrice, Price, Rates
from tollway.metering.price_book import (
    IncompletePrice,
    ModelSize,
    PriceBook,
    Source,
    checked,
    dump,
    laid_over,
    over,
    parse,
    provider_of,
)


def test_a_model_is_found_whatever_the_case_of_its_letters() -> None:
    listed = row("Meta-Llama/Llama-4", provider="together")
    assert book(listed).index()["together", "meta-llama/llama-4"] == listed
    assert ("together", "meta-llama/llama-5") not in book(listed).index()


def test_a_row_is_a_price_with_its_origin() -> None:
    listed = row(cached_input=50, tiers=(tier(1000, 3, 4, cached_input=1),), source="litellm", date="2026-01-02")
    assert listed.price == Price(rates=Rates(input=100, output=200, cached_input=50), tiers=listed.tiers)
    assert listed.origin == "litellm, 2026-01-02"


def test_a_book_reads_as_it_was_written_and_lists_a_row_a_line_in_a_stable_order() -> None:
    rows = row("b", tiers=(tier(5, 1, 1),)), row("a", reasoning=7, filled={"reasoning": "litellm"}), row(provider="xai")
    sources = {"genai-prices": Source(version="1", date="2026-11-01", provides={"openai": "openai"})}
    listed = PriceBook(sources=sources, hosts={"b.example": "b", "a.example": "a"}, rows=rows)
    text = dump(listed)
    assert parse(text) == PriceBook.of(rows, PriceBook(sources=sources, hosts={"a.example": "a", "b.example": "b"}))
    assert dump(parse(text)) == text
    assert [line.split(b'"model":"')[1][:1] for line in text.splitlines() if b'"model"' in line] == [b"a", b"b", b"g"]
    assert b"null" not in text


def test_the_providers_of_a_book_are_listed_once() -> None:
    assert book(row(), row("o1"), row(provider="anthropic")).providers() == ("anthropic", "openai")


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{",
        b'{"rows":[{"provider":"a","model":"b","rates":{"input":1,"output":1}}]}',
        b'{"rows":[{"provider":"a","model":"b","rates":{"input":1.5,"output":1},"source":"s","date":"d"}]}',
        b'{"rows":[{"provider":"a","model":"b","rates":{"input":1},"source":"s","date":"d"}]}',
        b'{"rows":[{"provider":"a","model":"b","rates":{"input":1,"output":1},"source":"s","date":"d","sauce":"s"}]}',
    ],
    ids=["array", "no JSON", "no source", "a fraction", "one way", "an unknown key"],
)
def test_what_is_no_book_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"input": -1}, "input -1"),
        ({"input": 0}, "input 0"),
        ({"cached_input": 0}, "cached_input 0"),
        ({"output": 10**13}, "output 10000000000000"),
        ({"tiers": (tier(5, 1, 0),)}, "output 0"),
    ],
)
def test_no_rate_is_negative_or_enormous_or_zero_unless_the_model_is_free(rates: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked(book(row(**rates)))


def test_free_is_said() -> None:
    free = book(row(input=0, output=0, free=True))
    assert checked(free) is free


def test_a_model_has_one_row() -> None:
    with pytest.raises(ValueError, match=r"(?i)gpt-4o of openai has two rows"):
        checked(book(row("GPT-4O"), row("gpt-4o")))


def test_of_two_books_the_later_reading_counts_and_the_upper_one_on_one_day() -> None:
    lower = book(
        row("early", input=1, date="2026-01-01"), row("late", input=1, date="2026-03-01"), row("only", input=1)
    )
    upper = book(row("early", input=2, date="2026-01-01"), row("late", input=2, date="2026-02-01"), row("new", input=2))
    assert {row.model: row.rates.input for row in over(upper, lower).rows} == {
        "early": 2,
        "late": 1,
        "only": 1,
        "new": 2,
    }


def test_an_operators_row_counts_however_old_it_is() -> None:
    lower, upper = book(row(date="2026-12-01")), book(row(input=7, source="operator", date="2020-01-01"))
    assert over(upper, lower).rows == upper.rows


def test_two_books_know_what_either_knows_of_sources_and_hosts() -> None:
    source = Source(version="1", date="2026-01-01")
    lower = PriceBook(sources={"a": source, "b": source}, hosts={"a.example": "a"})
    newer = Source(version="2", date="2026-02-01")
    merged = over(PriceBook(sources={"b": newer}, hosts={"b.example": "b"}), lower)
    assert merged.sources == {"a": source, "b": newer}
    assert merged.hosts == {"a.example": "a", "b.example": "b"}


def test_a_provider_is_known_by_its_host_and_else_by_its_id() -> None:
    listed = book(row(), hosts={"api.openai.com": "openai"})
    assert provider_of(listed, "mine", "api.openai.com") == "openai"
    assert provider_of(listed, "openai", "proxy.example") == "openai"


# --- a price laid over another

KNOWN = Price(rates=Rates(input=100, output=200, cached_input=50), tiers=(tier(1000, 150, 300, cached_input=75),))


def test_what_is_not_written_is_what_is_known() -> None:
    assert laid_over(PartialPrice(), KNOWN) == KNOWN


def test_each_rate_that_is_written_counts_for_itself() -> None:
    found = laid_over(PartialPrice(output=1, cached_input=2), KNOWN)
    assert found == Price(rates=Rates(input=100, output=1, cached_input=2), tiers=KNOWN.tiers)


def test_free_can_be_written_over_a_known_rate() -> None:
    assert laid_over(PartialPrice(output=0), KNOWN).rates.output == 0


def test_written_tiers_stand_for_all_of_them() -> None:
    assert laid_over(PartialPrice(tiers=()), KNOWN).tiers == ()
    mine = (tier(7, 1, 2, cached_input=3),)
    assert laid_over(PartialPrice(tiers=mine), KNOWN).tiers == mine


def test_features_add_to_those_that_are_known() -> None:
    known = Price(rates=KNOWN.rates, features={"a": 1, "b": 1})
    assert laid_over(PartialPrice(features={"b": 2}), known).features == {"a": 1, "b": 2}
    assert laid_over(PartialPrice(input=1, output=1, features={"b": 2}), None).features == {"b": 2}


@pytest.mark.parametrize(("written", "rate"), [({}, "input"), ({"input": 1}, "output"), ({"output": 1}, "input")])
def test_a_rate_that_is_neither_written_nor_known_is_missing(written: dict[str, int], rate: str) -> None:
    with pytest.raises(IncompletePrice) as missing:
        laid_over(PartialPrice(**written), None)
    assert (missing.value.rate, missing.value.above) == (rate, None)


def test_a_tier_must_not_lack_a_rate_of_the_price() -> None:
    with pytest.raises(IncompletePrice, match="reasoning above 1000 tokens"):
        laid_over(PartialPrice(reasoning=5), KNOWN)


# --- sizes


def test_sizes_are_read_as_they_were_written_a_line_each_in_a_stable_order() -> None:
    sizes = (size("b", 2, others={"litellm": 1}), size("a", 3, 1))
    text = dump(PriceBook(sizes=sizes))
    assert parse(text).sizes == sizes[::-1]
    assert [line[:32] for line in text.splitlines()[-3:-1]] == [
        b'{"provider":"openai","model":"a"',
        b'{"provider":"openai","model":"b"',
    ]
    assert checked(parse(text)).size_index()["openai", "a"] == sizes[1]


def test_the_upper_books_size_counts_and_a_book_of_new_rows_keeps_its_sizes() -> None:
    upper, lower = PriceBook(sizes=(size("a", 1),)), PriceBook(sizes=(size("a", 9), size("b", 2)))
    assert over(upper, lower).sizes == (size("a", 1), size("b", 2))
    assert PriceBook.of([row()], upper).sizes == upper.sizes


@pytest.mark.parametrize(
    "wrong",
    [(size("a", 0),), (size("a", 10, 11),), (size("a", 10**10),), (size("a", -1),), (size("a", 1), size("A", 2))],
)
def test_a_size_is_a_number_of_tokens_and_stands_once(wrong: tuple[ModelSize, ...]) -> None:
    with pytest.raises(ValueError, match=r"tokens|two sizes"):
        checked(PriceBook(sizes=wrong))
