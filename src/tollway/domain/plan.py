"""Where a call may go, in order, and why."""

from functools import cached_property
from typing import Literal

import msgspec

from tollway.domain.call import Percentiles
from tollway.domain.price import Tariff


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. `first_byte` and `idle` are for streams, `batch` for one batch attempt, `total` for the whole call."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 60.0
    batch: float = 300.0
    total: float = 900.0


class Candidate(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One model at one provider: everything an attempt, a bound and a price need to know of it."""

    provider: str
    model: str  # public id
    upstream: str  # the provider's name for it
    tariff: Tariff
    context_length: int
    max_output_tokens: int
    reasoning: bool = False  # generates tokens that it doesn't show
    template_tokens: int = 256  # allowance of the model's chat template a prompt
    message_tokens: int = 16  # and a message
    part_tokens: dict[str, int] = {}  # ceiling by kind of part; a kind that is absent: the context length
    timeouts: Timeouts = Timeouts()
    data_collection: Literal["allow", "deny"] = "allow"  # deny: its provider keeps no prompts
    supports: frozenset[str] = frozenset()  # capabilities and fields it is known to take (domain/parameters.py)
    unsupported: frozenset[str] = frozenset()  # and those it is known not to take
    one_choice: bool = False  # it serves no call with n over 1

    @cached_property
    def key(self) -> str:
        """`provider:model`, unique in a catalog."""
        return f"{self.provider}:{self.model}"


class Performance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How fast a candidate has been lately: seconds to the first token, and tokens per second after it."""

    latency_s: Percentiles = msgspec.field(default_factory=Percentiles)
    tokens_per_s: Percentiles = msgspec.field(default_factory=Percentiles)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What routing said of one candidate, and what it knew: enough to say it again. `reason` is a stable word; absent
    when it was kept."""

    candidate: str  # Candidate.key
    kept: bool
    reason: str | None = None  # disabled, not_in_only, ignored, unpriced_feature, beyond_the_hold ...
    rank: int | None = None
    weight: float | None = None
    draw: float | None = None
    note: str | None = None
    standing: str | None = None  # troubled, cooling or probing, at the time
    performance: Performance | None = None  # measured at the time; absent where the call didn't ask for it


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Candidates in the order they will be tried. The same inputs and seed give the same plan."""

    candidates: tuple[Candidate, ...]
    seed: int
    verdicts: tuple[Verdict, ...] = ()
    caps: dict[str, int] = {}  # Candidate.key -> output limit the router lowers the call to, to keep within max_cost
