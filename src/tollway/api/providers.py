"""GET /providers: who stands behind this router, and how they have been doing."""

import msgspec
from starlette.requests import Request

from tollway.api.services import Answered, Services
from tollway.routing.health import Spread


class ProviderView(msgspec.Struct, kw_only=True):
    """Of the last five minutes: `uptime` a fraction, latency to the first token in ms, throughput in tokens/s."""

    id: str
    name: str
    status: str
    models: list[str]
    attempts: int
    uptime: float | None
    first_token_ms: Spread | None
    tokens_per_s: Spread | None


class ProviderList(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[ProviderView]


async def providers(services: Services, request: Request) -> Answered:
    catalog = services.snapshot.catalog
    disabled = await services.ledger.disabled()
    views = []
    for provider in catalog.providers:
        stats = services.health.stats(provider)
        views.append(
            ProviderView(
                id=provider,
                name=provider,
                status="disabled" if provider in disabled else stats.status,
                models=[candidate.model for candidate in catalog.served_by(provider)],
                attempts=stats.attempts,
                uptime=stats.uptime,
                first_token_ms=stats.first_token_ms,
                tokens_per_s=stats.tokens_per_s,
            )
        )
    return Answered(value=ProviderList(data=views))
