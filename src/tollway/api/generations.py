"""GET /generations/{id}: one call of the wallet that made it, by our id or by the provider's; its signed receipt, and
the keys that vouch for it."""

import msgspec
from starlette.requests import Request

from tollway.api.services import Answered, Services, reading
from tollway.domain.answer import AttemptRecord
from tollway.domain.asked import Asked
from tollway.domain.errors import NotFound, RecordPruned, RequestError
from tollway.domain.money import format_usd
from tollway.domain.plan import Verdict
from tollway.domain.record import CallRecord
from tollway.domain.usage import Usage
from tollway.egress.reply import Header

ID_LENGTH_MAX = 200
KEYS_CACHED: Header = (b"cache-control", b"public, max-age=300")  # a new key is seen within minutes


class Route(msgspec.Struct, kw_only=True):
    """Why this provider: the plan's seed, what was said of every candidate, and what was asked: enough for
    `tollway route --replay` to make the decision again."""

    seed: int
    verdicts: tuple[Verdict, ...]
    asked: Asked | None


class GenerationView(msgspec.Struct, kw_only=True):
    """Times in Unix milliseconds, amounts in decimal USD."""

    id: str
    object: str = "generation"
    response_id: str | None
    created_at: int
    ended_at: int
    model_asked: str
    model: str | None
    provider: str | None
    stream: bool
    ended: str
    delivery: str
    error_code: str | None
    usage: Usage | None
    usage_origin: str | None
    estimate: Usage | None
    estimate_origin: str | None
    cost_usd: str
    held_usd: str
    flags: tuple[str, ...]
    attempts: tuple[AttemptRecord, ...]
    route: Route
    user: str | None
    client_request_id: str | None
    key: str | None  # id of the delegated key that it came by
    receipt: str | None  # with `?receipt=true`: a compact JWS


def generation_view(record: CallRecord, receipt: str | None = None) -> GenerationView:
    return GenerationView(
        id=record.id,
        response_id=record.response_id,
        created_at=record.created_ms,
        ended_at=record.ended_ms,
        model_asked=record.model_asked,
        model=record.model,
        provider=record.provider,
        stream=record.stream,
        ended=record.ended,
        delivery=record.delivery,
        error_code=record.error_code,
        usage=record.usage,
        usage_origin=record.usage_origin,
        estimate=record.estimate,
        estimate_origin=record.estimate_origin if record.estimate is not None else None,
        cost_usd=format_usd(record.price),
        held_usd=format_usd(record.held),
        flags=record.flags,
        attempts=record.attempts,
        route=Route(seed=record.seed, verdicts=record.verdicts, asked=record.asked),
        user=record.user,
        client_request_id=record.client_request_id,
        key=record.key,
        receipt=receipt,
    )


async def generation(services: Services, request: Request) -> Answered:
    wanted = _flag(request, "receipt")
    name = request.path_params["id"]
    async with reading(services, request) as caller:
        try:
            record = await services.ledger.call(caller.account, name) if len(name) <= ID_LENGTH_MAX else None
        except RecordPruned:
            if caller.key is None:
                raise
            record = None  # whose call it was isn't known any more
    if record is None or (caller.key is not None and record.key != caller.key.id):
        raise NotFound("This wallet has no finished call of that id.", param="id")
    now_s = services.clock.now_ms() // 1000
    receipt = services.pipeline.snapshot.receipts.receipt(record, now_s) if wanted else None
    return Answered(value=generation_view(record, receipt))


async def key_set(services: Services, request: Request) -> Answered:
    """GET /.well-known/jwks.json: the keys that receipts are signed with."""
    return Answered(value=services.pipeline.snapshot.receipts.keys, headers=[KEYS_CACHED])


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise RequestError("receipt is true or false.", param=name)
    return text == "true"
