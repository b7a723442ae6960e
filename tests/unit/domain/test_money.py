"""Money is integers, from text and back, without a float between."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.money import (
    AMOUNT_NANO_MAX,
    NANO_PER_USD,
    SHOWN_CHARS_MAX,
    format_usd,
    parse_rate,
    parse_usd,
)

AMOUNTS = st.integers(0, AMOUNT_NANO_MAX)


@given(AMOUNTS)
def test_an_amount_that_is_written_and_read_is_the_same(nano: int) -> None:
    assert parse_usd(format_usd(nano)) == nano


@given(st.integers(-(10**30), 10**30))
def test_an_amount_is_written_exactly_with_two_to_nine_decimals(nano: int) -> None:
    text = format_usd(nano)
    assert Fraction(Decimal(text)) == Fraction(nano, NANO_PER_USD)
    whole, _, fraction = text.removeprefix("-").partition(".")
    assert 2 <= len(fraction) <= 9
    assert len(fraction) == 2 or not fraction.endswith("0")
    assert whole == "0" or not whole.startswith("0")


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.00"), (1, "0.000000001"), (1_500_000, "0.0015"), (2_500_000_000, "2.50"), (-1_500_000_000, "-1.50")],
)
def test_amounts_look_like_money(nano: int, text: str) -> None:
    assert format_usd(nano) == text


@given(st.integers(0, 99_999_999), st.text("0123456789", min_size=1, max_size=9), st.integers(0, 9))
def test_any_plain_decimal_is_read_exactly(whole: int, fraction: str, zeros: int) -> None:
    text = f"{whole}.{fraction}{'0' * zeros}"
    assert parse_usd(text) == Fraction(Decimal(text)) * NANO_PER_USD


@pytest.mark.parametrize(("text", "nano"), [("0", 0), ("1", 10**9), ("007", 7 * 10**9), ("100000000", AMOUNT_NANO_MAX)])
def test_a_whole_number_is_an_amount(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1\n", "+1", "-1", "1e3", "1.", ".5", "1,50", "0x1", "NaN", "inf", "1_000", "\u0661", "1.\uff15"],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    for parse in (parse_usd, parse_rate):
        with pytest.raises(ValueError, match="decimal amount"):
            parse(text)


@given(st.text())
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        nano = parse_usd(text)
    except ValueError:
        return
    assert nano == Fraction(Decimal(text)) * NANO_PER_USD


def test_a_refusal_repeats_only_the_start_of_what_it_was_given() -> None:
    with pytest.raises(ValueError, match="decimal amount") as refused:
        parse_usd("9" * 10_000_000)
    assert len(str(refused.value)) < 2 * SHOWN_CHARS_MAX


@pytest.mark.parametrize("text", ["0.0000000001", "1.0000000005"])
def test_less_than_a_nano_is_refused_and_not_rounded(text: str) -> None:
    with pytest.raises(ValueError, match="more than 9 decimals"):
        parse_usd(text)


@pytest.mark.parametrize("text", ["100000000.000000001", "999999999999"])
def test_more_than_the_largest_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"largest amount, 100000000\.00 USD"):
        parse_usd(text)


@given(st.integers(0, 10**12 - 1))
def test_a_rate_per_million_tokens_is_pico_usd_a_token(micro: int) -> None:
    whole, fraction = divmod(micro, 10**6)
    assert parse_rate(f"{whole}.{fraction:06d}") == micro


def test_a_rate_finer_than_a_pico_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 6 decimals"):
        parse_rate("0.0000001")
