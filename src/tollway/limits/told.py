"""What a caller is told of its limits: OpenAI's headers, and the errors. Pure."""

from collections.abc import Sequence
from typing import Literal

from tollway.domain.errors import RateLimited, RequestError
from tollway.domain.limit import Level, Rate, Taken

Header = tuple[bytes, bytes]
Kind = Literal["requests", "tokens", "concurrency", "reads", "arriving", "nonces", "failed_sign_ins"]

CROWDED_MS = 1_000  # nobody knows when another of the caller's own calls ends

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def rate_text(rate: Rate) -> str:
    """As it is written in the configuration: 60/min, 1000/15min."""
    size, unit = next((size, unit) for size, unit in _UNITS if rate.period_s % size == 0)
    many = rate.period_s // size
    return f"{rate.most}/{'' if many == 1 else many}{unit}"


def duration_text(seconds: float) -> str:
    """As OpenAI writes it (Go's notation): 20ms, 1s, 6m0s, 1h0m5s. Rounded up."""
    ms = -int(-seconds * 1000 // 1)
    if 0 < ms < 1000:
        return f"{ms}ms"
    whole = -(-ms // 1000)
    hours, minutes = whole // 3600, whole % 3600 // 60
    text = f"{hours}h" if hours else ""
    return f"{text}{minutes}m{whole % 60}s" if hours or minutes else f"{whole}s"


def tightest(levels: Sequence[Level]) -> Level:
    """Of which the least is left; of equals the one that takes longest to be whole."""
    return levels[0] if len(levels) == 1 else min(levels, key=lambda level: (level.left, -level.whole_s))


def requests_headers(levels: Sequence[Level]) -> list[Header]:
    """By the tightest rate."""
    level = tightest(levels)
    return [
        (b"x-ratelimit-limit-requests", b"%d" % level.rate.most),
        (b"x-ratelimit-remaining-requests", b"%d" % level.left),
        (b"x-ratelimit-reset-requests", duration_text(level.whole_s).encode()),
    ]


def tokens_headers(levels: Sequence[Level]) -> list[Header]:
    """By the tightest rate."""
    level = tightest(levels)
    return [
        (b"x-ratelimit-limit-tokens", b"%d" % level.rate.most),
        (b"x-ratelimit-remaining-tokens", b"%d" % level.left),
        (b"x-ratelimit-reset-tokens", duration_text(level.whole_s).encode()),
    ]


def over_rate(who: str, kind: Kind, words: str, taken: Taken) -> RateLimited:
    """`words` name what there were too many of."""
    assert taken.short is not None, "something fell short"
    level = max(taken.levels[taken.short], key=lambda level: level.wait_s)
    rate = rate_text(level.rate)
    return RateLimited(
        f"This {who} is over its limit of {words} ({rate}): try again in {duration_text(level.wait_s)}.",
        retry_after_ms=max(1, -int(-level.wait_s * 1000 // 1)),
        details={"limit": {"of": who, "kind": kind, "rate": rate}},
    )


def crowded(who: str, kind: Kind, words: str, at_once: int) -> RateLimited:
    return RateLimited(
        f"This {who} is at its limit of {words} at once ({at_once}): try again when one has ended.",
        retry_after_ms=CROWDED_MS,
        details={"limit": {"of": who, "kind": kind, "at_once": at_once}},
    )


def never_fits(tokens: int, prompt: int, rate: Rate, param: str) -> RequestError:
    """A call that is larger than all that a period lets through: waiting doesn't help it."""
    what = "shorten the prompt" if prompt > rate.most else f"lower {param}, or shorten the prompt"
    return RequestError(
        f"This call may come to {tokens} tokens, and this wallet may use {rate_text(rate)}: {what}.",
        param="messages" if prompt > rate.most else param,
        details={"limit": {"of": "wallet", "kind": "tokens", "rate": rate_text(rate)}, "tokens": tokens},
    )
