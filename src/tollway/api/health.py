"""/healthz: the process runs. /readyz: it takes calls."""

import msgspec
from starlette.requests import Request

from tollway.api.services import Answered, Services


class HealthView(msgspec.Struct):
    status: str


async def healthz(services: Services, request: Request) -> Answered:
    return Answered(value=HealthView("ok"))


async def readyz(services: Services, request: Request) -> Answered:
    why = unready(services)
    return Answered(value=HealthView("ready")) if why is None else Answered(status=503, value=HealthView(why))


def unready(services: Services) -> str | None:
    """Why no call is taken at the moment; None when calls are."""
    if services.pipeline.draining:
        return "draining"
    if not services.ledger.ready:
        return "ledger unavailable"
    return None
