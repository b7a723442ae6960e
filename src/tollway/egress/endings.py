"""How answers end: the last bytes of a whole one, and the error that stands for one that isn't. Pure."""

from tollway.domain.answer import Answer, Reading
from tollway.domain.call import Call
from tollway.domain.commands import Posted
from tollway.domain.errors import (
    InternalError,
    ProviderFailed,
    ProviderTimeout,
    RequestTimeout,
    ShuttingDown,
    TollwayError,
)
from tollway.domain.money import format_usd
from tollway.domain.plan import Plan
from tollway.domain.record import CallRecord, Ended
from tollway.domain.waiting import Interrupted, Reason
from tollway.egress.additions import Tollway, UsageObject, batch_body, usage_chunk, usage_object
from tollway.egress.reply import Header
from tollway.egress.stream import DONE, Relayed


def error_of(problem: TollwayError | Interrupted) -> TollwayError | None:
    """What the caller is told of a call that ended before its answer began; None when nobody is there to be told."""
    if isinstance(problem, TollwayError):
        return problem
    return None if problem.reason == "client_left" else cut_error(problem.reason)


def ended_by(problem: TollwayError | Interrupted) -> Ended:
    if isinstance(problem, TollwayError):
        return "provider_failed"
    return "client_left" if problem.reason == "client_left" else "cut_by_router"


def arrival_error(reason: Reason) -> TollwayError:
    """The router stopped waiting for a request to arrive."""
    if reason == "drain":
        return cut_error(reason)
    return RequestTimeout("The request came too slowly (server.slow_sender): send it again.")


def cut_error(reason: Reason) -> TollwayError:
    """The router itself ended a call."""
    if reason == "drain":
        return ShuttingDown("The router shut down before the answer was whole: try again.", retry_after_ms=1_000)
    if reason == "total":
        return ProviderTimeout("The answer took longer than the router allows one call (timeouts.total).")
    if reason == "slow_reader":
        return ProviderTimeout("The answer was read too slowly (server.slow_reader).")
    return InternalError(f"The call was interrupted ({reason}).")


def relay_error(relayed: Relayed) -> TollwayError:
    """What a stream that isn't whole ends with."""
    if relayed.fault is not None:
        if relayed.fault.outcome == "idle_timeout":
            return ProviderTimeout("The provider went silent in the middle of the answer: it is not whole.")
        return ProviderFailed("The provider broke off in the middle of the answer: it is not whole.")
    assert relayed.stop is not None, "a stream that isn't whole was broken or stopped"
    return cut_error(relayed.stop)


def batch(answer: Answer, record: CallRecord, posted: Posted, plan: Plan) -> tuple[bytes, list[Header]]:
    """Body and headers of a whole batch answer."""
    provider = record.provider or ""
    cost = format_usd(posted.charged)
    body = batch_body(answer.fields, _usage(answer.usage, record, cost), _tollway(record, posted, plan))
    return body, [(b"x-tollway-provider", provider.encode()), (b"x-tollway-cost-usd", cost.encode())]


def stream(
    call: Call, withheld: list[bytes], reading: Reading, record: CallRecord, posted: Posted, plan: Plan
) -> bytes:
    """The last bytes of a whole stream: what was withheld, the usage chunk when it was asked for, [DONE]."""
    parts = list(withheld)
    if call.include_usage:
        usage = _usage(reading.usage, record, format_usd(posted.charged))
        parts.append(usage_chunk(reading.first, usage, _tollway(record, posted, plan)))
    parts.append(DONE)
    return b"".join(parts)


def _usage(reported: bytes | None, record: CallRecord, cost: str) -> UsageObject:
    assert record.usage is not None, "a posted call has a usage"
    stands = record.usage_origin == "provider"
    return usage_object(reported if stands else None, record.usage, cost)


def _tollway(record: CallRecord, posted: Posted, plan: Plan) -> Tollway:
    return Tollway(
        request_id=record.id,
        provider=record.provider or "",
        model=record.model or "",
        balance_usd=format_usd(posted.available),
        attempts=record.attempts,
        estimated=record.usage_origin == "estimated",
        max_tokens_applied=plan.caps.get(f"{record.provider}:{record.model}") if plan.caps else None,
    )
