"""A recorded decision made again from what `GET /v1/generations/{id}` says of it."""

from typing import Any

import msgspec

from helpers.running import Running
from tollway.domain.asked import Asked
from tollway.domain.plan import Verdict
from tollway.routing.replay import replay


class Route(msgspec.Struct):
    seed: int
    verdicts: tuple[Verdict, ...]
    asked: Asked


def replayed(router: Running, generation: dict[str, Any]) -> bool:
    """Whether the recorded decision comes out again."""
    route = msgspec.convert(generation["route"], Route)
    catalog = router.router.services.pipeline.snapshot.catalog
    asked = route.asked.call(generation["model_asked"])
    return replay(asked, catalog, route.verdicts, seed=route.seed).verdicts == route.verdicts
