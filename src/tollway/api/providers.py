"""GET /providers: who stands behind this router, and how they have been doing."""

import msgspec
from starlette.requests import Request

from tollway.api.services import Answered, Services
from tollway.routing.breaker import State
from tollway.routing.health import Spread


class ProviderView(msgspec.Struct, kw_only=True):
    """Of the last five minutes: `uptime` a fraction, latency to the first token in ms, throughput in tokens/s.
    `breakers` by model, as they are now: closed, half_open or open."""

    id: str
    name: str
    status: str
    models: list[str]
    attempts: int
    uptime: float | None
    first_token_ms: Spread | None
    tokens_per_s: Spread | None
    breakers: dict[str, State]


class ProviderList(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[ProviderView]


async def providers(services: Services, request: Request) -> Answered:
    catalog = services.snapshot.catalog
    disabled = await services.ledger.disabled()
    views = []
    for provider in catalog.providers:
        stats = services.health.stats(provider)
        models = [candidate.model for candidate in catalog.served_by(provider)]
        views.append(
            ProviderView(
                id=provider,
                name=provider,
                status="disabled" if provider in disabled else stats.status,
                models=models,
                attempts=stats.attempts,
                uptime=stats.uptime,
                first_token_ms=stats.first_token_ms,
                tokens_per_s=stats.tokens_per_s,
                breakers={model: services.health.state(provider, model) for model in models},
            )
        )
    return Answered(value=ProviderList(data=views))
