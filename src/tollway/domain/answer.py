"""What comes back from a provider: a batch answer, or the events of a stream; and how each attempt ended."""

from typing import Literal

import msgspec

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.usage import Generated

# Of a provider's response id, as it is kept with the call for good and looked for. The longest in use have about 70.
RESPONSE_ID_CHARS_MAX = 200

Outcome = Literal[
    "ok",
    "connect_failed",  # no connection, TLS refused, reset before an answer
    "stale_connection",  # one that had lain idle broke as soon as it was used: the provider had closed it
    "first_byte_timeout",
    "idle_timeout",
    "batch_timeout",
    "rate_limited",  # 429
    "overloaded",  # 503, 529
    "at_limit",  # of the operator's own for this provider: it wasn't asked
    "server_error",  # other 5xx
    "refused_by_provider",  # 401, 402, 403, 404: the operator's problem
    "inexpressible",  # what the provider speaks has no words for the request: it wasn't asked
    "rejected",  # 400, 413, 422: about the request, passed on
    "too_large",  # a batch answer over server.max_answer
    "malformed",  # an answer that is no chat completion
    "error_event",  # an error inside a 200 stream
    "cut",  # the stream ended, or was damaged, before its end
    "cancelled",  # by us: the client left, a deadline, drain
]


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try at one provider, as `tollway.attempts[]` and /generations show it. Durations in milliseconds."""

    provider: str
    model: str
    outcome: Outcome
    status: int | None = None
    first_token_ms: float | None = None
    duration_ms: float | None = None
    tokens_per_s: float | None = None
    retry_after_ms: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole batch answer. `fields` is its top level, values byte-faithful; `usage` the provider's raw object."""

    fields: dict[str, msgspec.Raw]
    response_id: str | None
    usage: bytes | None
    generated: Generated
    finish_reasons: tuple[str | None, ...]  # by choice index


class StreamEvent(msgspec.Struct, kw_only=True, gc=False):
    """One upstream event, or a run of ordinary ones that came together, ready to relay.

    `data` is complete SSE events (`data: {...}` + blank line), byte-faithful unless normalised. Ordinary events carry
    tokens and nothing that the router acts on; anything else comes alone.
    """

    data: bytes
    tokens: bool = False  # content, reasoning, a refusal, a tool call or audio: what a role-only opening lacks
    text_bytes: int = 0
    other_parts: int = 0
    reasoning: bool = False
    finished: tuple[tuple[int, str], ...] = ()  # (choice index, finish_reason)
    usage: bytes | None = None  # the raw usage object; already taken out of `data`
    choices: bool = True  # False: the event carried nothing but usage (`choices: []`)
    response_id: str | None = None


class Transcript:
    """The events of a stream, to be counted by our own tokenizer when it has ended. In memory alone, and bounded."""

    __slots__ = ("__weakref__", "_room", "events")

    def __init__(self, bytes_max: int) -> None:
        self.events: list[bytes] | None = []  # None: they were too many
        self._room = bytes_max

    def add(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self.events = None
        elif self.events is not None:
            self.events.append(data)


class Reading:
    """What has been read of a stream so far: enough to know when it is whole, and what it comes to."""

    __slots__ = (
        "_n",
        "finished",
        "first",
        "other_parts",
        "reasoning",
        "response_id",
        "settled",
        "text_bytes",
        "transcript",
        "usage",
    )

    def __init__(self, n: int, transcript: Transcript | None = None) -> None:
        self._n = n  # choices asked for
        self.transcript = transcript
        self.text_bytes = 0
        self.other_parts = 0
        self.reasoning = False
        self.finished: dict[int, str] = {}  # choice index -> finish_reason
        self.usage: bytes | None = None  # the last raw usage object
        self.settled = False  # usage came with or after the last choice's finish: nothing more is to come
        self.response_id: str | None = None
        self.first: bytes = b""  # the first event that has an id, one `data:` line: for its created and model as well

    def note_text(self, data: bytes, text_bytes: int) -> None:
        """Events that differ from the one before in their text alone."""
        self.text_bytes += text_bytes
        if self.transcript is not None and data:
            self.transcript.add(data)

    def note(self, event: StreamEvent) -> None:
        self.note_text(event.data, event.text_bytes)
        self.other_parts += event.other_parts
        if event.reasoning:
            self.reasoning = True
        for index, reason in event.finished:
            if 0 <= index < self._n:  # a choice nobody asked for doesn't make the others whole
                self.finished[index] = reason
        if event.usage is not None:
            self.usage = event.usage
            self.settled = self.whole
        if not self.response_id and event.data and (event.response_id or not self.first):
            # Azure's first event has neither id nor model; a run of events that came together is cut to its first.
            self.first = event.data.partition(b"\n")[0]
            self.response_id = event.response_id and event.response_id[:RESPONSE_ID_CHARS_MAX]

    @property
    def whole(self) -> bool:
        """Every choice has finished."""
        return len(self.finished) >= self._n

    @property
    def finish_reasons(self) -> tuple[str | None, ...]:
        return tuple(self.finished.get(index) for index in range(self._n))

    @property
    def generated(self) -> Generated:
        return Generated(text_bytes=self.text_bytes, other_parts=self.other_parts)


class Served(msgspec.Struct, frozen=True):
    """A call that a provider answered, as far as it went: what was asked, of whom, and what was read."""

    call: Call
    candidate: Candidate
    read: Answer | Reading
    max_tokens: int | None = None  # the output limit that the router lowered the call to, where it did
