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

from typing import Literal

import msgspec

from tollway.domain.answer import Served
from tollway.domain.record import Ended
from tollway.domain.usage import Charge, Counted, Usage
from tollway.metering.cost import both_of
from tollway.metering.count import estimate
from tollway.metering.usage import check, parse_usage

# As the record has it, and one more. "complete" is an answer read to its end, also when its client had left before.
Ending = Ended | Literal["client_left_before_token"]

REFUSED_BYTES_MAX = 1024  # of a usage object that can't be true: what the operator is shown of it

_FREE = frozenset({"provider_failed", "refused", "ledger_failed"})


def meter(served: Served, *, ended: Ending, held: int, counted: Counted | None = None) -> Charge:
    """The charge of a call that was dispatched. `held` is the granted hold in nano-USD; of a client that left, what was
    delivered to it is what was read; `counted` is our tokenizer's count of the text, where it was asked.

    A price from reported usage may be over `held` (images, files): the ledger says who bears the rest."""
    call, candidate, read, max_tokens = served.call, served.candidate, served.read, served.max_tokens
    own = estimate(call, candidate, read.generated, max_tokens, counted)
    complete, raw = ended == "complete", read.usage
    flags, refused = [], None
    usage = None if raw is None else parse_usage(raw)
    if raw is not None:
        impossible = "malformed" if usage is None else check(usage, call, candidate, max_tokens)
        if impossible is not None:
            usage, refused = None, raw[:REFUSED_BYTES_MAX].decode(errors="replace")
            flags.append(f"usage_refused:{impossible}")
    elif complete:
        flags.append("usage_missing")
    if not complete:
        flags.append(ended)
    estimated = usage is None or not complete
    if usage is None:
        usage = own
    elif not complete:
        usage = _at_least(usage, own)

    price, cost = both_of(usage, call.features, candidate.tariff)
    if estimated:
        price = min(price, held)
    if "error" in read.finish_reasons:
        flags.append("finish_error")
        price = 0
    elif complete:
        if usage.completion == 0 and not any(read.finish_reasons):
            flags.append("zero_completion")
            price = 0
    elif ended in _FREE or (ended == "cut_by_router" and not call.stream):
        price = 0
    return Charge(
        usage=usage, price=price, cost=cost, own=own, estimated=estimated, flags=tuple(flags), refused=refused
    )


def _at_least(reported: Usage, own: Usage) -> Usage:
    """Usage so far is behind what came after it: the answer is the larger of both counts. Some providers report a
    prompt of 0 until the end; an own count stands in for that too."""
    return msgspec.structs.replace(
        reported, prompt=reported.prompt or own.prompt, completion=max(reported.completion, own.completion)
    )
