"""Rates as operators write them, "60/min" or several of them, made into values. Must not know what is counted."""

import re
from typing import Any

from tollway.config.read import Spot
from tollway.domain.limit import Rate

COUNT_MAX = 10**12
PERIOD_MAX_S = 31 * 86_400  # what was counted is kept for this long
RATES_MAX = 8  # each is looked at for every call

_COUNT = {"": 1, "k": 1_000, "M": 1_000_000}
_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_RATE = re.compile(r"([0-9]{1,12})(k|M)?\s?/\s?([1-9][0-9]{0,5})?\s?(s|min|h|d)\Z")


def rate(text: str) -> Rate:
    """ "60/min", "200k/min", "1M/d" or "100/15min"."""
    match = _RATE.match(text)
    if match is None:
        raise ValueError('expected a count and a period: s, min, h or d, such as "60/min", "200k/min" or "100/15min"')
    most = int(match[1]) * _COUNT[match[2] or ""]
    period_s = int(match[3] or 1) * _SECONDS[match[4]]
    if not 0 < most <= COUNT_MAX:
        raise ValueError(f"must be over zero and at most {COUNT_MAX}")
    if period_s > PERIOD_MAX_S:
        raise ValueError(f"a period of at most {PERIOD_MAX_S // 86_400}d")
    return Rate(most, period_s)


class Rates:
    """One rate as text, or an array of them: all have to be kept. An empty array is no limit; the environment may write
    several between commas."""

    expected = 'write a rate such as "60/min", or an array of them'

    def read(self, raw: object, at: Spot) -> Any:
        written = raw
        if isinstance(raw, str):
            written = [part.strip() for part in raw.split(",")] if at.from_environment and "," in raw else [raw]
        if not isinstance(written, list):
            return at.wrong(raw, self.expected)
        if len(written) > RATES_MAX:
            return at.wrong(raw, f"write at most {RATES_MAX} rates")
        found: dict[int, Rate] = {}
        for index, text in enumerate(written):
            spot = at / index if isinstance(raw, list) else at
            if not isinstance(text, str):
                return spot.wrong(text, self.expected)
            try:
                read = rate(text)
            except ValueError as error:
                return spot.wrong(text, str(error))
            if read.period_s in found:
                return spot.wrong(text, "is a second rate for the same period: keep the lower")
            found[read.period_s] = read
        return tuple(found.values())
