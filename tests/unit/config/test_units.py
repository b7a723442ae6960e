from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.config.units import duration, feature_rate, percent, rate, share, size, usd, wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("0s", 0.0),
        ("2 s", 2.0),
        ("366d", 366 * 86400.0),
    ],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5.0", "s", "-5s", "5S", "5 sec", "1h30m", "1e3s", "٥s", "5s\n", ".5s"])
def test_a_duration_has_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="ms, s, m, h or d"):
        duration(text)


def test_a_duration_is_at_most_a_year() -> None:
    with pytest.raises(ValueError, match="at most 366d"):
        duration("367d")


def test_a_wait_is_over_zero() -> None:
    assert wait("1ms") == 0.001
    with pytest.raises(ValueError, match="over zero"):
        wait("0ms")


@pytest.mark.parametrize(
    ("text", "count"),
    [("512B", 512), ("1KB", 1000), ("64KiB", 65_536), ("20MB", 20_000_000), ("1MiB", 2**20), ("1 GB", 10**9)],
)
def test_a_size_is_bytes(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "20", "20M", "20mb", "1.5MB", "-1MB", "MB", "1TB", "1BiB", "1iB"])
def test_a_size_has_a_whole_number_and_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="KiB, MiB or GiB"):
        size(text)


@pytest.mark.parametrize("text", ["0MB", "5GiB"])
def test_a_size_is_over_zero_and_fits_memory(text: str) -> None:
    with pytest.raises(ValueError, match="over zero and at most 4GiB"):
        size(text)


@pytest.mark.parametrize(
    ("text", "points"), [("0%", 0), ("3%", 300), ("2.5%", 250), ("2.25%", 225), ("0.01%", 1), ("1000%", 100_000)]
)
def test_a_percentage_is_basis_points(text: str, points: int) -> None:
    assert percent(text) == points


@pytest.mark.parametrize("text", ["3", "-3%", "2.555%", "%", ".5%", "3.%", "3%%"])
def test_a_percentage_has_a_sign_and_at_most_two_decimals(text: str) -> None:
    with pytest.raises(ValueError, match="at most two decimals"):
        percent(text)


def test_a_share_is_a_percentage_of_at_most_the_whole() -> None:
    assert [share("0%"), share("1%"), share("100%")] == [0, 100, 10_000]
    with pytest.raises(ValueError, match='at most "100%"'):
        share("100.01%")


def test_a_percentage_is_at_most_a_thousand() -> None:
    with pytest.raises(ValueError, match="1000%"):
        percent("1000.01%")


def test_usd_is_nano_usd() -> None:
    assert usd("12.5") == 12_500_000_000


def test_a_rate_is_pico_usd_a_token() -> None:
    assert rate("2.50") == 2_500_000
    assert rate("1000000") == 10**12
    with pytest.raises(ValueError, match="per million tokens"):
        rate("1000000.01")


def test_a_features_rate_is_pico_usd_a_call() -> None:
    assert feature_rate("0.01") == 10_000_000_000
    with pytest.raises(ValueError, match="USD per call"):
        feature_rate("1001")


@pytest.mark.parametrize("parse", [duration, wait, size, percent, share, usd, rate, feature_rate])
@given(text=st.text() | st.from_regex(r"[0-9.]{1,20} ?[a-zA-Z%]{0,3}"))
def test_any_text_is_a_quantity_or_a_value_error(parse: Callable[[str], float], text: str) -> None:
    try:
        assert parse(text) >= 0
    except ValueError as error:
        assert str(error)
