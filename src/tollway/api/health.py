"""/healthz: the process runs. /readyz: it takes calls."""

from starlette.requests import Request

from tollway.api.services import Answered, Services


async def healthz(services: Services, request: Request) -> Answered:
    return Answered(value={"status": "ok"})


async def readyz(services: Services, request: Request) -> Answered:
    if services.pipeline.draining:
        return Answered(status=503, value={"status": "draining"})
    if not services.ledger.ready:
        return Answered(status=503, value={"status": "ledger unavailable"})
    return Answered(value={"status": "ready"})
