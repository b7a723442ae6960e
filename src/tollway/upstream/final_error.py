"""What a caller is told when every attempt of a call has failed: one error made of the faults of all of them.

Must not know how attempts are made. A provider's own words go no further than here but for its 400, 413 and 422.
"""

from collections.abc import Sequence

from tollway.domain.answer import AttemptRecord, Outcome
from tollway.domain.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    NoProviderAvailable,
    ProviderFailed,
    ProviderFault,
    ProviderTimeout,
    RateLimited,
    RequestError,
    RequestTooLarge,
    TollwayError,
)

FULL: frozenset[Outcome] = frozenset({"rate_limited", "overloaded", "at_limit"})
LATE: frozenset[Outcome] = frozenset({"first_byte_timeout", "batch_timeout", "idle_timeout"})

RETRY_AFTER_MS = 5_000  # where no provider said when
# What a provider says is about the operator's quota, and another may have room long before.
RETRY_AFTER_MS_MAX = 120_000


def final_error(faults: Sequence[ProviderFault], attempts: tuple[AttemptRecord, ...]) -> TollwayError:
    """`faults` in the order in which they came; none when nobody was asked. `attempts` go with the error."""
    wordless = next((fault for fault in reversed(faults) if fault.outcome == "inexpressible"), None)
    faults = [fault for fault in faults if fault.outcome != "inexpressible"]  # they say nothing of who was asked
    last = faults[-1] if faults else None
    rejected = next((fault for fault in reversed(faults) if fault.outcome == "rejected"), None)
    if rejected is not None:
        kinds: dict[str | None, type[RequestError]] = {
            "context_length_exceeded": ContextLengthExceeded,
            "content_filtered": ContentFiltered,
        }
        kind = kinds.get(rejected.code, RequestTooLarge if rejected.status == 413 else RequestError)
        reason = rejected.reason or "it gave no reason"
        return kind(f"The provider refused this request: {reason}", attempts=attempts)
    if last is not None and last.outcome == "too_large":
        return RequestError(
            "The answer is larger than this router relays in one piece: ask for fewer tokens or choices, or stream it.",
            attempts=attempts,
        )
    if last is None and wordless is not None:
        reason = wordless.reason or "it gave no reason"
        return RequestError(f"No provider of this model can be asked this: {reason}", attempts=attempts)
    tried = ", ".join(f"{attempt.provider} ({attempt.outcome})" for attempt in attempts) or "none"
    if last is None or all(fault.outcome in FULL for fault in faults):
        waits = [fault.retry_after_ms for fault in faults if fault.retry_after_ms is not None]
        unasked = bool(faults) and all(fault.outcome == "at_limit" for fault in faults)  # to try again makes sense
        told: type[TollwayError] = RateLimited if unasked else NoProviderAvailable
        return told(
            f"Every provider of this model is at its limit. Tried: {tried}. Try again later.",
            retry_after_ms=min([*waits, RETRY_AFTER_MS_MAX]) if waits else RETRY_AFTER_MS,
            attempts=attempts,
        )
    if all(fault.outcome in LATE for fault in faults):
        return ProviderTimeout(f"No provider answered in time. Tried: {tried}.", attempts=attempts)
    return ProviderFailed(f"Every provider of this model failed. Tried: {tried}.", attempts=attempts)
