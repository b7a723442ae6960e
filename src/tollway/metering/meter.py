"""What a finished call comes to, by how it ended.

| Ending                   | Tokens                                                | The wallet pays |
|--------------------------|-------------------------------------------------------|-----------------|
| complete                 | the provider's usage, else our own count              | for them        |
| client_left              | max(reported so far, own count of the answer) + input | for them        |
| client_left_before_token | the same: input                                       | for them        |
| cut_by_router, a stream  | the same                                              | for them        |
| cut_by_router, a batch   | the same                                              | nothing         |
| provider_failed, refused | the same                                              | nothing         |
| ledger_failed            | the same                                              | nothing         |

Whatever the ending, an answer of nothing (no token, no finish reason) and one that finished with `error` cost the
wallet nothing. Usage that is impossible is refused: our own count stands in for it. A count of ours is never charged
beyond the hold. The provider's cost is computed in every case, by the same tokens: what the wallet doesn't pay of it,
the operator bears.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.record import Ended
from tollway.domain.usage import Charge, Generated, Usage
from tollway.metering.cost import both_of
from tollway.metering.count import estimate as estimate
from tollway.metering.usage import check, parse_usage

# As the record has it, and one more. "complete" is an answer read to its end, also when its client had left before.
Ending = Ended | Literal["client_left_before_token"]

REFUSED_BYTES_MAX = 1024  # of a usage object that can't be true: what the operator is shown of it

_FREE = frozenset({"provider_failed", "refused", "ledger_failed"})
_NOTHING = Generated()


def meter(
    call: Call,
    candidate: Candidate,
    *,
    ended: Ending,
    held: int,
    usage_raw: bytes | None = None,
    generated: Generated = _NOTHING,
    finish_reasons: Sequence[str | None] = (),
    max_tokens: int | None = None,
) -> Charge:
    """The charge of a call that was dispatched to `candidate`. `held` is the granted hold in nano-USD, `usage_raw` the
    last usage object seen, `generated` what was read of the answer (delivered of it, when the client left),
    `max_tokens` the output limit that the router lowered the call to, where it did.

    A price from reported usage may be over `held` (images, files): the ledger says who bears the rest."""
    reported, flags = _reported(usage_raw, call, candidate, max_tokens)
    complete = ended == "complete"
    estimated = reported is None or not complete
    if reported is None:
        usage = estimate(call, candidate, generated, max_tokens)
    elif estimated:
        usage = _at_least(reported, estimate(call, candidate, generated, max_tokens))
    else:
        usage = reported
    if not complete:
        flags.append(ended)
    elif usage_raw is None:
        flags.append("usage_missing")

    price, cost = both_of(usage, call.features, candidate.tariff)
    if estimated:
        price = min(price, held)
    if "error" in finish_reasons:
        flags.append("finish_error")
        price = 0
    elif complete:
        if usage.completion == 0 and not any(finish_reasons):
            flags.append("zero_completion")
            price = 0
    elif ended in _FREE or (ended == "cut_by_router" and not call.stream):
        price = 0
    return Charge(
        usage=usage,
        price=price,
        cost=cost,
        estimated=estimated,
        flags=tuple(flags),
        refused=None
        if usage_raw is None or reported is not None
        else usage_raw[:REFUSED_BYTES_MAX].decode(errors="replace"),
    )


def _reported(
    raw: bytes | None, call: Call, candidate: Candidate, max_tokens: int | None
) -> tuple[Usage | None, list[str]]:
    """The provider's usage, when it can be true, and a flag that says why it can't."""
    if raw is None:
        return None, []
    usage = parse_usage(raw)
    reason = "malformed" if usage is None else check(usage, call, candidate, max_tokens)
    return (usage, []) if reason is None else (None, [f"usage_refused:{reason}"])


def _at_least(reported: Usage, own: Usage) -> Usage:
    """Usage so far is behind what came after it: the answer is the larger of both counts. Some providers report a
    prompt of 0 until the end; an own count stands in for that too."""
    return msgspec.structs.replace(
        reported, prompt=reported.prompt or own.prompt, completion=max(reported.completion, own.completion)
    )
