"""What a newer reading changes: figures of the same source, and nothing that came from elsewhere."""

from helpers.price_books import book, row, tier
from tollway.metering.price_book import PriceRow
from tollway.metering.price_changes import Change, changes, differences, flat

SOURCE = "genai-prices"


def only(before: PriceRow, after: PriceRow) -> Change:
    (change,) = changes(book(before), [after], SOURCE)
    return change


def test_the_same_figures_on_another_day_are_no_change() -> None:
    assert changes(book(row(date="2026-01-01")), [row(date="2026-02-01")], SOURCE) == ()


def test_a_rate_that_differs_is_a_change() -> None:
    change = only(row(input=1), row(input=2, date="2026-12-01"))
    assert (change.kind, change.row) == ("changed", row(input=2, date="2026-12-01"))
    assert differences(row(input=1), change.row) == {"input": (1, 2)}


def test_a_model_may_be_new_or_gone() -> None:
    gone, new = changes(book(row("a")), [row("b")], SOURCE)
    assert (gone.kind, gone.row, gone.after) == ("gone", row("a"), None)
    assert (new.kind, new.row, new.before) == ("new", row("b"), None)


def test_rows_of_an_operator_or_of_another_source_are_left_alone() -> None:
    mine, other = row("a", source="operator"), row("b", source="litellm")
    assert changes(book(mine, other), [row("a", input=9), row("b", input=9)], SOURCE) == ()


def test_rates_that_only_another_source_knows_are_kept() -> None:
    before = row(
        audio_input=7,
        reasoning=5,
        filled={"audio_input": "litellm", "reasoning": "litellm"},
        tiers=(tier(10, 1, 1, audio_input=8, reasoning=6),),
    )
    after = row(input=2, reasoning=4, tiers=(tier(10, 2, 2, reasoning=4), tier(20, 3, 3, reasoning=4)))
    assert only(before, after).after == row(
        input=2,
        audio_input=7,
        reasoning=4,
        filled={"audio_input": "litellm"},
        tiers=(tier(10, 2, 2, audio_input=8, reasoning=4), tier(20, 3, 3, audio_input=7, reasoning=4)),
    )


def test_a_disagreement_is_kept_while_its_rate_stands() -> None:
    said = {"litellm": 9, SOURCE: 1}
    before = row(input=1, output=1, disagreements={"input": said, "output": said})
    after = only(before, row(input=2, output=1)).after
    assert after is not None
    assert after.disagreements == {"output": said}


def test_tiers_are_named_by_their_threshold() -> None:
    with_tier = row(input=1, output=2, cached_input=3, tiers=(tier(10, 4, 5),))
    assert flat(with_tier) == {"input": 1, "output": 2, "cached_input": 3, "input>10": 4, "output>10": 5}
    assert differences(row(input=1, output=2, cached_input=3), with_tier) == {
        "input>10": (None, 4),
        "output>10": (None, 5),
    }
