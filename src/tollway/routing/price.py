"""A candidate's price as its caller pays it, compared exactly: integers of 1e-16 USD, in which every price with its
markup is whole. Must not know balances, or what a call came to.
"""

from decimal import Decimal

from tollway.domain.call import Call, MaxPrice
from tollway.domain.parameters import PART_NEEDS
from tollway.domain.plan import Candidate
from tollway.domain.price import Price, Rates, Tariff

_UNIT_DECIMALS = 16  # pico-USD, and basis points of it
_MILLION_DECIMALS = 6


def blended(tariff: Tariff) -> int:
    """What one token in and one out cost, in 1e-16 USD: what `sort` by price compares."""
    price, factor = tariff.selling
    return (price.rates.input + price.rates.output) * factor


def exceeded(limits: MaxPrice, call: Call, candidate: Candidate) -> list[str]:
    """Which of the caller's `max_price` the candidate is over, by name. Of a price with tiers the dearest counts that
    the prompt may come to."""
    price, factor = candidate.tariff.selling
    rates = _reachable(price, call, candidate)
    dearest = max(some.input for some in rates)
    asked = {
        "prompt": (limits.prompt, dearest, _MILLION_DECIMALS),
        "completion": (limits.completion, max(some.output for some in rates), _MILLION_DECIMALS),
        "request": (limits.request, sum(price.features.get(name, 0) for name in call.features), 0),
        "image": (limits.image, dearest * _image_tokens(call, candidate), 0),
    }
    return [
        name
        for name, (most, pico, per) in asked.items()
        if most is not None and pico * factor > _floor(most, _UNIT_DECIMALS - per)
    ]


def per_million(tariff: Tariff) -> dict[str, str]:
    """USD per million tokens, exact: what `max_price` would have to be for the first tier."""
    price, factor = tariff.selling
    return {"prompt": _usd(price.rates.input * factor), "completion": _usd(price.rates.output * factor)}


def _usd(units: int) -> str:
    scaled = Decimal(units).scaleb(_MILLION_DECIMALS - _UNIT_DECIMALS)
    text = f"{scaled:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _floor(text: str, decimals: int) -> int:
    """What a limit has beyond the unit is cut off, which changes no comparison with a whole number of units."""
    return int(Decimal(text).scaleb(decimals))


def _reachable(price: Price, call: Call, candidate: Candidate) -> list[Rates]:
    most = most_tokens(call, candidate)
    return [price.rates, *(tier.rates for tier in price.tiers if most is None or tier.above < most)]


def most_tokens(call: Call, candidate: Candidate) -> int | None:
    """The most tokens that the prompt can have: a byte of text is at most one token. None when it has parts whose
    ceiling nobody has said."""
    prompt = call.prompt
    tokens = prompt.text_bytes + candidate.template_tokens + candidate.message_tokens * prompt.messages
    for kind, count in prompt.parts:
        ceiling = candidate.part_tokens.get(kind)
        if ceiling is None:
            return None
        tokens += count * ceiling
    return tokens


def _image_tokens(call: Call, candidate: Candidate) -> int:
    """The most tokens that one of the call's images can have; 0 when it has none."""
    kinds = [kind for kind, _ in call.prompt.parts if PART_NEEDS.get(kind) == "vision"]
    return max((candidate.part_tokens.get(kind, candidate.context_length) for kind in kinds), default=0)
