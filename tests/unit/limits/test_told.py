"""How limits are written for callers: OpenAI's durations, and rates as the configuration has them."""

import pytest

from tollway.config.rates import rate
from tollway.domain.limit import Level, Rate
from tollway.limits.told import duration_text, rate_text, tightest


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0001, "1ms"),
        (0.02, "20ms"),
        (0.9991, "1s"),
        (1, "1s"),
        (1.001, "2s"),
        (59.5, "1m0s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (90_061, "25h1m1s"),
    ],
)
def test_a_duration_is_written_as_openai_writes_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize("text", ["60/min", "1/s", "7/90s", "100/15min", "5/h", "5000000/d", "3/2d"])
def test_a_rate_is_written_as_the_configuration_takes_it(text: str) -> None:
    assert rate_text(rate(text)) == text


def test_the_tightest_has_least_left_and_then_lasts_longest() -> None:
    low, high = Level(Rate(5, 60), 1, 10.0), Level(Rate(9, 60), 2, 99.0)
    longer = Level(Rate(5, 3600), 1, 20.0)
    assert tightest([high, low]) is low
    assert tightest([low, longer, high]) is longer
