"""Candidates, catalogs and calls for tests of what routing decides."""

from collections.abc import Mapping, Sequence

from tollway.domain.call import Call, Preferences, PromptSize
from tollway.domain.plan import Candidate
from tollway.domain.price import Price, Rates, Tariff
from tollway.routing.catalog import Catalog

USD_PER_MILLION = 1_000_000  # in pico-USD per token


def price(usd: int = 1, *, features: Sequence[str] = ()) -> Price:
    """`usd` per million tokens, all of it on the input."""
    rates = Rates(input=usd * USD_PER_MILLION, output=0)
    return Price(rates=rates, features=dict.fromkeys(features, 10**10))


def candidate(
    provider: str, model: str = "acme/m", *, usd: int = 1, upstream: str | None = None, features: Sequence[str] = ()
) -> Candidate:
    return Candidate(
        provider=provider,
        model=model,
        upstream=upstream or model.partition("/")[2] or model,
        tariff=Tariff(buy=price(usd, features=features)),
        context_length=8192,
        max_output_tokens=1024,
    )


def catalog(*candidates: Candidate, aliases: Mapping[str, str] = {}, providers: Sequence[str] = ()) -> Catalog:
    """With the candidates' providers, and those of `providers` that serve nothing."""
    names = dict.fromkeys([*(c.provider for c in candidates), *providers])
    return Catalog(candidates, aliases, list(names))


def call(
    model: str = "acme/m",
    *fallbacks: str,
    order: Sequence[str] = (),
    only: Sequence[str] = (),
    ignore: Sequence[str] = (),
    allow_fallbacks: bool = True,
    features: Sequence[str] = (),
) -> Call:
    preferences = Preferences(
        order=tuple(order), only=tuple(only), ignore=tuple(ignore), allow_fallbacks=allow_fallbacks
    )
    return Call(
        id="0192-call",
        model=model,
        fallbacks=fallbacks,
        preferences=preferences,
        features=frozenset(features),
        prompt=PromptSize(text_bytes=1, messages=1),
        fields={},
        request_hash="",
    )
