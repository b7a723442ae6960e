"""GET /models and /models/{id}: OpenAI's list shape, with what a caller who pays wants to know besides."""

from collections.abc import Collection

import msgspec
from starlette.requests import Request

from tollway.api.services import Answered, Services
from tollway.domain.errors import ModelNotFound
from tollway.domain.pricing import Pricing, pricing
from tollway.routing.catalog import Model
from tollway.routing.price import blended


class Architecture(msgspec.Struct, kw_only=True):
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]


class ModelProvider(msgspec.Struct, kw_only=True):
    id: str
    pricing: Pricing
    status: str


class ModelView(msgspec.Struct, kw_only=True):
    """`pricing` is what the wallet pays, decimal USD per token, at the cheapest provider."""

    id: str
    object: str = "model"
    created: int
    owned_by: str
    name: str
    aliases: tuple[str, ...]
    context_length: int
    max_output_tokens: int
    architecture: Architecture
    pricing: Pricing
    providers: list[ModelProvider]


class ModelList(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[ModelView]


async def models(services: Services, request: Request) -> Answered:
    catalog = services.snapshot.catalog
    disabled = await services.ledger.disabled()
    return Answered(value=ModelList(data=[_view(services, model, disabled) for model in catalog.models.values()]))


async def model(services: Services, request: Request) -> Answered:
    """By id or alias. A pin names a provider's own copy and is no model of the list."""
    name = request.path_params["id"]
    found = services.snapshot.catalog.resolve(name)
    if found.pinned is not None:
        raise ModelNotFound(f"{name!r} is a pin: ask for {found.model.id!r}.", param="model")
    return Answered(value=_view(services, found.model, await services.ledger.disabled()))


def _view(services: Services, model: Model, disabled: Collection[str]) -> ModelView:
    offers = sorted(
        (
            ModelProvider(
                id=candidate.provider,
                pricing=pricing(candidate.tariff),
                status=(
                    "disabled"
                    if candidate.provider in disabled
                    else services.health.status(candidate.provider, candidate.model)
                ),
            )
            for candidate in model.candidates
        ),
        key=lambda offer: offer.id,
    )
    cheapest = min(model.candidates, key=lambda candidate: blended(candidate.tariff))
    modalities = {kind for candidate in model.candidates for kind in candidate.part_tokens}
    return ModelView(
        id=model.id,
        created=services.started_s,
        owned_by=model.id.split("/", 1)[0] if "/" in model.id else cheapest.provider,
        name=model.id,
        aliases=model.aliases,
        context_length=model.context_length,
        max_output_tokens=model.max_output_tokens,
        architecture=Architecture(
            input_modalities=("text", *sorted(_MODALITIES[kind] for kind in modalities if kind in _MODALITIES)),
            output_modalities=("text",),
        ),
        pricing=pricing(cheapest.tariff),
        providers=offers,
    )


_MODALITIES = {"image_url": "image", "input_audio": "audio", "file": "file", "video_url": "video"}
