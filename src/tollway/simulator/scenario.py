"""What the simulator is asked to do with one request, as a value. How it is spelled is grammar.py's matter.

Times are seconds. The field names are the keys of the syntax."""

from typing import Literal

import msgspec

UsageStyle = Literal["chunk", "null_everywhere", "final", "in_finish", "cumulative", "missing", "absurd"]
FinishReason = Literal["stop", "length", "content_filter", "tool_calls", "error"]
FaultName = Literal[
    "reset",
    "close",
    "silence",
    "redirect",
    "not_json",
    "huge_headers",
    "half_head",
    "slow_head",
    "interim",
    "gzip",
    "cut",
    "end",
    "stall",
    "truncated",
    "damaged",
    "not_utf8",
    "noise",
    "error",
    "bad_length",
    "surplus",
    "hangup",
    "empty",
    "unstreamed",
]

SPLIT_CHARACTERS = -1  # `split=char`: inside every character of more than one byte


class Fault(msgspec.Struct, frozen=True):
    """A fault and, for one that happens in the body, the events (batch: bytes) that come through before it."""

    name: FaultName
    at: int | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One behaviour; the default is a well-behaved OpenAI."""

    # when
    delay: float = 0.0
    first: float = 0.0
    gap: float = 0.0
    rate: float = 0.0
    # what
    tokens: int = 16
    text: str | None = None
    reasoning: int = 0
    tool: str | None = None
    arguments: str | None = None
    calls: int = 1
    finish: FinishReason | None = None
    role_chunk: bool = True
    model: str | None = None
    id: str | None = None
    # usage
    usage: UsageStyle = "chunk"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached: int = 0
    usage_raw: str | None = None
    # on the wire
    crlf: bool = False
    comments: bool = False
    bom: bool = False
    ids: bool = False
    multiline: bool = False
    chunked: bool = True
    done: bool = True
    split: int = 0
    burst: int = 1
    # faults
    refuse: tuple[str, ...] = ()  # fields of a request, and roles, that this provider doesn't know
    status: int = 200
    code: str | None = None
    retry_after: str | None = None
    retry_after_ms: int | None = None
    fault: Fault | None = None
    fault_times: int | None = None
    fault_rate: float = 1.0
    seed: int = 0
    # gates
    lockstep: str | None = None
    barrier: str | None = None

    @property
    def faulty(self) -> bool:
        return self.fault is not None or self.status != 200

    @property
    def fault_name(self) -> FaultName | None:
        return self.fault.name if self.fault is not None else None

    def healthy(self) -> "Scenario":
        """The same without its fault: what an attempt gets that fault_times or fault_rate spares."""
        return msgspec.structs.replace(self, fault=None, status=200)
