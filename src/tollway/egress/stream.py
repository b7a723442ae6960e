"""The relay: a provider's events to the client as they come, and the ending withheld until it is paid for.

SDKs take a finish_reason followed by the end of the connection as a complete answer. So each choice's finish event is
held back, after the last of them everything is, and only the pipeline, once the post is durable, lets the ending go.
This room knows when an answer is whole; what it costs is not its affair.
"""

import contextlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from tollway.domain.answer import Reading, StreamEvent
from tollway.domain.errors import ProviderFault, TollwayError
from tollway.domain.record import Ended
from tollway.domain.waiting import Interrupted, Reason, Watch
from tollway.egress.reply import Reply, error_object
from tollway.wire import json
from tollway.wire.sse import encode_event

DONE = b"data: [DONE]\n\n"
USAGE_GRACE_S = 2.0  # how long a finished stream may take to say its usage
LINGER_S = 1.0  # how long a provider may take to end a body whose content is over, so that its connection can be kept
READ_ON_S = 60.0  # how long a provider is read on for a client that left, to learn the final usage
WITHHELD_BYTES_MAX = 4 << 20  # finish events of up to 128 choices, and what follows them


class Source(Protocol):
    """An open upstream stream (upstream/attempts.py)."""

    @property
    def done(self) -> bool: ...

    async def next(self) -> list[StreamEvent] | None: ...

    async def flow(
        self, take: Callable[[list[StreamEvent]], bool], take_text: Callable[[bytes, int], bool]
    ) -> None: ...


class Sink(Protocol):
    """Where events go: a Reply, or who keeps them as well (replay.py)."""

    async def write(self, data: bytes, watch: Watch, slow_reader_s: float) -> None: ...

    def write_now(self, data: bytes) -> bool: ...


class Relayed(msgspec.Struct):
    """How a relay came to its end. `stop` or `fault` say why it isn't whole."""

    ended: Ended
    withheld: list[bytes]
    stop: Reason | None = None
    fault: ProviderFault | None = None

    @property
    def nobody_reads(self) -> bool:
        """The provider is fine, the client is not: its stream may be read on without it."""
        return self.stop in ("client_left", "slow_reader")


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    idle: float
    slow_reader: float


async def relay(
    source: Source, opening: list[StreamEvent], reading: Reading, reply: Sink, watch: Watch, limits: RelayLimits
) -> Relayed:
    """Send events on until the stream is whole, broken, or nobody is there to read it."""
    withheld = _Withheld()
    passing = _Passing(reading, reply, watch, limits.idle)
    events: list[StreamEvent] | None = opening
    in_grace = False
    try:
        while events is not None:
            ready = _sort(events, reading, withheld)
            if ready:
                await reply.write(ready, watch, limits.slow_reader)
            if source.done or reading.settled:
                break
            if withheld.size > WITHHELD_BYTES_MAX:
                raise ProviderFault("malformed", f"over {WITHHELD_BYTES_MAX} bytes of finish events, or after them")
            if not reading.whole:
                # Comments and noise are no events: they don't keep a provider from being silent.
                if events:
                    watch.limit("idle", limits.idle)
            elif not in_grace:
                in_grace = True  # it runs from the last finish, whatever else comes
                watch.limit("usage_grace", USAGE_GRACE_S)
            events = await _more(source, reading, passing)
    except ProviderFault as fault:
        if not reading.whole:
            return Relayed("provider_failed", withheld.events, fault=fault)
        # Every choice had finished: what broke is the transport of an answer that is whole.
    except Interrupted as interrupted:
        for event in passing.left() or ():  # they came in the moment of the interruption
            reading.note(event)
        return _interrupted(interrupted.reason, withheld.events)
    # [DONE] without any finish reason is a provider that gives none; with some of them it is one that lost the rest.
    if reading.whole or (source.done and not reading.finished):
        return Relayed("complete", withheld.events)
    cut = ProviderFault("cut", "the stream ended before the answer did")
    return Relayed("provider_failed", withheld.events, fault=cut)


class _Passing:
    """Passes ordinary events on in the moment they come, and leaves whatever has to be acted on, or waited for."""

    __slots__ = ("_idle_s", "_left", "_limit", "_reading", "_write_now")

    def __init__(self, reading: Reading, reply: Sink, watch: Watch, idle_s: float) -> None:
        self._reading = reading
        self._write_now = reply.write_now
        self._limit = watch.limit
        self._idle_s = idle_s
        self._left: list[StreamEvent] | None = None

    def take(self, events: list[StreamEvent]) -> bool:
        if not events:
            return True  # comments and noise
        for event in events:
            if event.finished or event.usage is not None or not event.data:
                break
        else:
            if self._write_now(event.data if len(events) == 1 else b"".join([each.data for each in events])):
                for event in events:
                    self._reading.note(event)
                self._limit("idle", self._idle_s)
                return True
        self._left = events
        return False

    def take_text(self, data: bytes, text_bytes: int) -> bool:
        if not self._write_now(data):
            return False
        self._reading.note_text(data, text_bytes)
        self._limit("idle", self._idle_s)
        return True

    def left(self) -> list[StreamEvent] | None:
        """What `take` said False to, once."""
        left, self._left = self._left, None
        return left


class _Withheld:
    """What the client is not given before the call is booked."""

    __slots__ = ("events", "size")

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.size = 0  # bytes

    def add(self, data: bytes) -> None:
        self.events.append(data)
        self.size += len(data)


async def _more(source: Source, reading: Reading, passing: _Passing) -> list[StreamEvent] | None:
    """The next events that aren't passed on already; None at the end of the body."""
    if not reading.finished:
        await source.flow(passing.take, passing.take_text)
        if (left := passing.left()) is not None:
            return left
        if source.done:
            return []
    return await source.next()


def _sort(events: list[StreamEvent], reading: Reading, withheld: _Withheld) -> bytes:
    """What may go to the client now; the rest is withheld."""
    ready: list[bytes] = []
    for event in events:
        reading.note(event)
        if not event.data:
            continue
        if event.finished or reading.whole:
            withheld.add(event.data)
        else:
            ready.append(event.data)
    return ready[0] if len(ready) == 1 else b"".join(ready)


def _interrupted(reason: Reason, withheld: list[bytes]) -> Relayed:
    if reason == "usage_grace":
        return Relayed("complete", withheld)
    if reason == "idle":
        return Relayed("provider_failed", withheld, fault=ProviderFault("idle_timeout", "silent in mid-stream"))
    return Relayed("client_left" if reason == "client_left" else "cut_by_router", withheld, stop=reason)


async def read_on(source: Source, reading: Reading, watch: Watch) -> None:
    """Read a stream whose client left to its end, to learn what it came to: for READ_ON_S at most in all, and once
    every choice has finished for USAGE_GRACE_S. Faults end it."""
    watch.resume(READ_ON_S)
    in_grace = False
    try:
        while not (source.done or reading.settled):
            if reading.whole and not in_grace:
                in_grace = True
                watch.limit("usage_grace", USAGE_GRACE_S)
            events = await source.next()
            if events is None:
                return
            for event in events:
                reading.note(event)
    except (ProviderFault, Interrupted):
        return


async def linger(source: Source, watch: Watch) -> None:
    """Read past the end, for LINGER_S at most in all, so that the connection can serve the next call instead of being
    dropped."""
    watch.limit("linger", LINGER_S)
    try:
        while await source.next() is not None:
            pass
    except (ProviderFault, Interrupted):
        return


async def say(reply: Reply, watch: Watch, slow_reader_s: float, error: TollwayError) -> None:
    """Raise an error where nothing was sent yet, so that it is answered with its true status; else it is the last frame
    of the stream. A client that can't be told isn't."""
    await reply.quiet()
    if not reply.started:
        raise error
    with contextlib.suppress(Interrupted):
        await reply.finish(error_frame(error, reply.request_id), watch, slow_reader_s)


def error_frame(error: TollwayError, request_id: str) -> bytes:
    """The last event of a stream that can't be whole; no [DONE] follows it. As OpenAI's own it has no `choices`: with
    them Vercel's AI SDK takes it for an ordinary chunk, drops the error and ends as if all were well."""
    return encode_event(
        json.encode({"id": request_id, "object": "chat.completion.chunk", "error": error_object(error)})
    )
