"""Quantities as operators write them, with their unit, made into plain numbers. Pure; ValueErrors say what is right."""

import re

from tollway.domain.money import BASIS_POINTS, PICO_PER_NANO, parse_rate, parse_usd

DURATION_MAX_S = 366 * 86_400  # a longer wait is a mistake in the unit
RETENTION_MIN_S = 2 * 86_400
RETENTION_MAX_S = 36_500 * 86_400  # a hundred years: a longer one is a mistake in the unit
SIZE_MAX = 4 * 1024**3  # bodies and answers are held in memory
PERCENT_MAX = 1_000  # a markup of ten times the cost is a misplaced point
RATE_MAX = 1_000_000 * 10**6  # pico-USD a token: 1 USD. Hold bounds stay far below what 64 bits count
FEATURE_MAX = 1_000 * 10**12  # pico-USD a call: 1,000 USD

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s?(ms|s|m|h|d)\Z")
_SIZE = re.compile(r"([0-9]{1,12})\s?(B|[KMG]i?B)\Z")
_PERCENT = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,2}))?\s?%\Z")


def duration(text: str) -> float:
    """Seconds of "500ms", "5s", "1.5s", "5m", "1h" or "1d"."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError('expected a number and its unit: ms, s, m, h or d, such as "500ms" or "5m"')
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > DURATION_MAX_S:
        raise ValueError(f"at most {DURATION_MAX_S // 86_400}d")
    return seconds


def wait(text: str) -> float:
    """A duration that can't be zero."""
    seconds = duration(text)
    if seconds == 0:
        raise ValueError('must be over zero, such as "5s"')
    return seconds


def retention(text: str) -> float:
    """Seconds of "90d": how long something is kept. At least 2 days, since what refers to it lives for one."""
    match = _DURATION.match(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match is not None else 0.0
    if not RETENTION_MIN_S <= seconds <= RETENTION_MAX_S:
        raise ValueError(f'expected days, from "2d" to "{RETENTION_MAX_S // 86_400}d"')
    return seconds


def size(text: str) -> int:
    """Bytes of "512B", "64KiB" (1,024 each) or "20MB" (1,000,000 each)."""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError('expected a whole number and its unit: B, KB, MB, GB, KiB, MiB or GiB, such as "20MB"')
    count = int(match[1]) * _BYTES[match[2]]
    if not 0 < count <= SIZE_MAX:
        raise ValueError(f"must be over zero and at most {SIZE_MAX // 2**30}GiB")
    return count


def percent(text: str) -> int:
    """Basis points of "3%" (300) or "2.25%" (225)."""
    match = _PERCENT.match(text)
    if match is None:
        raise ValueError('expected a percentage with at most two decimals, such as "3%" or "2.5%"')
    points = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if points > PERCENT_MAX * 100:
        raise ValueError(f'at most "{PERCENT_MAX}%"')
    return points


def share(text: str) -> int:
    """Basis points of a part of the whole: "1%" (100)."""
    points = percent(text)
    if points > BASIS_POINTS:
        raise ValueError('at most "100%"')
    return points


def usd(text: str) -> int:
    """Nano-USD of "12.50"."""
    return parse_usd(text)


def rate(text: str) -> int:
    """Pico-USD per token of "2.50", which is USD per million tokens."""
    pico = parse_rate(text)
    if pico > RATE_MAX:
        raise ValueError("expected USD per million tokens, at most 1000000 (1 USD a token)")
    return pico


def feature_rate(text: str) -> int:
    """Pico-USD per call of "0.01", which is USD per call."""
    pico = parse_usd(text) * PICO_PER_NANO
    if pico > FEATURE_MAX:
        raise ValueError("expected USD per call, at most 1000")
    return pico
