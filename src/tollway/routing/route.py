"""One candidate with all that planning reads of it, worked out once when the catalog is built.

A weight is a preference, never an amount: it is the only place where a price becomes a float. Must not know calls.
"""

import hashlib
from math import log

import msgspec

from tollway.domain.money import BASIS_POINTS
from tollway.domain.parameters import lacking, supported
from tollway.domain.plan import Candidate
from tollway.domain.price import Tariff
from tollway.routing.price import blended

# Input and output rate together, pico-USD a token; 1_000_000 is 1 USD per million tokens and weighs 1.
PRICE_OF_WEIGHT_ONE = 1_000_000
# 0.01 USD per million tokens: cheaper ones count alike, so that a free one is strongly preferred and yet not the only
# one ever drawn.
PRICE_FLOOR = 10_000

_MASK = (1 << 64) - 1


class Route(msgspec.Struct, frozen=True, kw_only=True):
    candidate: Candidate
    key: str  # Candidate.key
    provider: str
    weight: float  # over 0: 1 / price², price in USD per million tokens
    salt: int  # 64 bits that follow from the key alone
    features: frozenset[str]  # what costs beyond tokens, and has a rate here
    price: int  # one token in and one out, as the wallet pays them: 1e-16 USD, exact
    room: int  # tokens of context that the chat template leaves
    message_tokens: int  # that each message takes besides its text
    supports: frozenset[str]  # capabilities and fields that it is known to take
    lacks: frozenset[str]  # and not to take


def route_of(candidate: Candidate) -> Route:
    key = candidate.key
    lacks = lacking(candidate.unsupported)
    return Route(
        candidate=candidate,
        key=key,
        provider=candidate.provider,
        weight=weight_of(candidate.tariff),
        salt=int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big"),
        features=_priced_features(candidate.tariff),
        price=blended(candidate.tariff),
        room=candidate.context_length - candidate.template_tokens,
        message_tokens=candidate.message_tokens,
        supports=supported(candidate.supports) - lacks,
        lacks=lacks,
    )


def weight_of(tariff: Tariff) -> float:
    """1 / price², where the price is what the wallet pays for one token in and one out, and at least PRICE_FLOOR."""
    rates = (tariff.sell or tariff.buy).rates
    price = rates.input + rates.output
    if tariff.sell is None:
        price = price * (BASIS_POINTS + tariff.markup_bps) // BASIS_POINTS
    return (PRICE_OF_WEIGHT_ONE / max(price, PRICE_FLOOR)) ** 2


def draw(seed: int, salt: int) -> float:
    """A number in (0, 1], uniform over seeds: SplitMix64's finalizer (Steele, Lea, Flood 2014) over seed and salt.

    It follows from the seed and the candidate's own key, so that leaving one candidate out, or listing them another
    way, never reorders the others; and it costs a tenth of seeding a generator."""
    z = (seed ^ salt) * 0x9E3779B97F4A7C15 & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return ((z ^ z >> 31) >> 11) * 2.0**-53 + 2.0**-53


def arrival(route: Route, number: float) -> float:
    """When a route that drew `number` comes: exponential with its weight as the rate, and the first to come is tried
    first."""
    return -log(number) / route.weight


def _priced_features(tariff: Tariff) -> frozenset[str]:
    """Features whose cost to the operator and price to the wallet are both known."""
    bought = frozenset(tariff.buy.features)
    return bought if tariff.sell is None else bought & frozenset(tariff.sell.features)
