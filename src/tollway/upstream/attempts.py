"""The attempt loop: tries a plan's candidates in order until one gives a good answer, or a good first event.

Nothing has been sent to the client while this runs, so every failure can still move to the next provider. What follows
which failure is turns.py's table. This room knows nothing of money: what an attempt costs is not its affair.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from tollway.domain.answer import Answer, AttemptRecord, Outcome, Reading, StreamEvent
from tollway.domain.call import Call
from tollway.domain.clock import Clock
from tollway.domain.errors import ProviderFault
from tollway.domain.observer import Observer
from tollway.domain.plan import Candidate, Plan
from tollway.domain.seams import HttpResponse, Transport
from tollway.domain.usage import Usage
from tollway.domain.waiting import Interrupted, Watch
from tollway.upstream.dialect import Dialect, StreamReader
from tollway.upstream.final_error import final_error
from tollway.upstream.gate import Pass, Probe, Ways, send
from tollway.upstream.headers import content_coding
from tollway.upstream.turns import Repeats, Turn, Turns

T = TypeVar("T")

OPENING_BYTES_MAX = 1 << 20  # role-only events that are held until a token: more is no opening
EVENT_BYTES = 128  # what holding an event costs beside its bytes
FAULT_BODY_BYTES_MAX = 64 << 10  # of an error answer; the rest can't matter
FAULT_BODY_S_MAX = 5.0
# A pooled connection that the provider had closed already breaks within a round trip. One that breaks later had been
# read from: the provider was at work, and is not asked the same again at once.
STALE_S_MAX = 1.0


class Trail(msgspec.Struct):
    """What has been tried so far for one call."""

    attempts: list[AttemptRecord] = []
    faults: list[ProviderFault] = []
    asking: Candidate | None = None  # this one may have seen the request, and hasn't failed
    passed: Pass | None = None  # of the last attempt, where its provider has a gate
    probe: Probe | None = None  # the same, where its provider was in trouble

    def sent(self, candidate: Candidate) -> None:
        """The request is about to go out to it: from now on it may be at work."""
        self.asking = candidate

    def used(self, usage: Usage | None) -> None:
        """What the last attempt came to, where that is known."""
        if self.passed is not None and usage is not None:
            self.passed.used(usage)

    @property
    def tried(self) -> tuple[AttemptRecord, ...]:
        return tuple(self.attempts)


class OpenStream:
    """A provider's stream whose first good event has come. `opening` is what to relay first."""

    def __init__(
        self, candidate: Candidate, response: HttpResponse, reader: StreamReader, watch: Watch, started: float
    ) -> None:
        self.candidate = candidate
        self.started = started
        self.opening: list[StreamEvent] = []
        self.record = AttemptRecord(provider=candidate.provider, model=candidate.model, outcome="ok", status=200)
        self._response = response
        self._reader = reader
        self._watch = watch
        self._at_eof = False

    @property
    def done(self) -> bool:
        """The provider said that it was at the end."""
        return self._reader.done

    @property
    def fault(self) -> ProviderFault | None:
        """What `next` will raise, once that is known."""
        return self._reader.fault

    async def next(self) -> list[StreamEvent] | None:
        """The next events (perhaps none), or None at the end of the body. Waits as long as the watch allows.

        Raises ProviderFault("cut") for a broken or damaged stream, "error_event" for an error in it; Interrupted."""
        if self._reader.fault is not None:
            raise self._reader.fault
        if self._at_eof:
            return None
        data = await self._watch.wait(self._response.read())
        if data:
            return self._reader.feed(data)
        self._at_eof = True
        return self._reader.end() or None

    async def flow(self, take: Callable[[list[StreamEvent]], bool], take_text: Callable[[bytes, int], bool]) -> None:
        """Give events to `take` in the moment they come, until it says False, or something else is to be known: `next`
        and `done` tell what. Events that differ from the one before in their text alone are given to `take_text`, with
        their bytes of text, and to `take` if that says False. No task is woken for an event that one of them is done
        with. Waits and raises as `next`."""
        reader = self._reader
        text_bytes_of = reader.text_bytes_of
        if reader.fault is None and not self._at_eof:

            def fed(data: bytes) -> bool:
                if (text_bytes := text_bytes_of(data)) and take_text(data, text_bytes):
                    return True
                return take(reader.feed(data)) and reader.fault is None and not reader.done

            await self._watch.wait(self._response.pump(fed))

    def close(self) -> None:
        self._response.close()


class Attempts:
    """Carries out plans. One instance a configuration snapshot; dialects are by provider."""

    def __init__(
        self,
        transport: Transport,
        dialects: Mapping[str, Dialect],
        *,
        answer_bytes_max: int,
        clock: Clock,
        observer: Observer,
        repeats: Repeats,
        ways: Ways,
    ) -> None:
        """`repeats` and `ways.probe` outlive the snapshot."""
        self._transport = transport
        self._dialects = dialects
        self._answer_bytes_max = answer_bytes_max
        self._clock = clock
        self._observer = observer
        self._repeats = repeats
        self._gates = {provider: gate for provider in dialects if (gate := ways.gate(provider)) is not None}
        self._probe = ways.probe

    def answer(self, call: Call, plan: Plan, trail: Trail, watch: Watch) -> Awaitable[Answer]:
        """One whole batch answer, from `trail.asking`. Raises TollwayError when nobody could give one; Interrupted."""
        return self._first_success(call, plan, trail, watch, self._batch)

    def open(self, call: Call, plan: Plan, trail: Trail, watch: Watch) -> Awaitable[OpenStream]:
        """A stream from its first good event on. Raises as `answer`; the caller closes it."""
        return self._first_success(call, plan, trail, watch, self._open)

    def ended(self, stream: OpenStream, fault: ProviderFault | None, reading: Reading, *, whole: bool) -> AttemptRecord:
        """An open stream came to its end, good or bad: its record, which whoever watches providers is told as well."""
        duration_ms = self._ms_since(stream.started)
        writing_s = (duration_ms - (stream.record.first_token_ms or 0)) / 1000
        record = msgspec.structs.replace(
            stream.record,
            outcome=fault.outcome if fault is not None else "ok" if whole else "cancelled",
            duration_ms=duration_ms,
            # Our own measure (bytes / 4), the same for every provider: for comparing them, never for money.
            tokens_per_s=round(reading.text_bytes / 4 / writing_s, 1) if writing_s > 0 else None,
        )
        self._observer.attempt_ended(record, fault.detail if fault is not None else "")
        return record

    async def _first_success(
        self,
        call: Call,
        plan: Plan,
        trail: Trail,
        watch: Watch,
        attempt: Callable[[Call, Plan, Turn, Trail, Watch], Awaitable[T]],
    ) -> T:
        turn = Turn(plan.candidates[0]) if plan.candidates else None
        turns: Turns | None = None  # nearly every call is answered by whom it asks first
        while turn is not None:
            if turn.pause_s:
                await self._pause(watch, turn.pause_s)
            started, candidate = self._clock.monotonic(), turn.candidate
            try:
                came = await attempt(call, plan, turn, trail, watch)
            except ProviderFault as fault:
                if turns is None:
                    turns = Turns(plan.candidates[1:], self._repeats, self._observer)
                turns.failed(turn, self._failed(trail, candidate, started, fault))
                turn = turns.take()
            except Interrupted as interrupted:
                if trail.asking is not None:
                    by_us = ProviderFault("cancelled", f"ended by us: {interrupted.reason}")
                    self._note(trail, candidate, started, by_us)
                raise
            else:
                if not turn.again:
                    self._repeats.budget.attempted(candidate.provider)
                if trail.probe is not None:
                    trail.probe.answered()
                return came
        raise final_error(trail.faults, trail.tried)

    def _failed(self, trail: Trail, candidate: Candidate, started: float, fault: ProviderFault) -> ProviderFault:
        """What an attempt's fault stands for, once it has been noted and told."""
        trail.asking = None
        if fault.outcome == "stale_connection" and self._clock.monotonic() - started > STALE_S_MAX:
            fault = ProviderFault("connect_failed", fault.detail)
        self._note(trail, candidate, started, fault)
        trail.faults.append(fault)
        if trail.passed is not None:
            trail.passed.failed(fault.outcome)
        if fault.outcome == "refused_by_provider":
            self._observer.alarm("provider_refuses_us", f"{candidate.provider}: {fault.detail}")
        return fault

    def _note(self, trail: Trail, candidate: Candidate, started: float, fault: ProviderFault) -> None:
        record = AttemptRecord(
            provider=candidate.provider,
            model=candidate.model,
            outcome=fault.outcome,
            status=fault.status,
            duration_ms=self._ms_since(started),
            retry_after_ms=fault.retry_after_ms,
        )
        trail.attempts.append(record)
        self._observer.attempt_ended(record, fault.detail)

    async def _send(self, call: Call, plan: Plan, turn: Turn, trail: Trail) -> HttpResponse:
        """Awaited under the watch, which doesn't begin it for a call that was stopped: such a call asks nobody."""
        candidate = turn.candidate
        trail.passed = trail.probe = None
        cap = plan.caps.get(candidate.key) if plan.caps else None
        request = self._dialects[candidate.provider].request(call, candidate, max_tokens=cap)
        if turn.fresh:
            request = msgspec.structs.replace(request, fresh_connection=True)
        gate = self._gates.get(candidate.provider)
        passed = trail.passed = None if gate is None else await gate.enter(call, candidate)
        probe = trail.probe = self._probe(candidate.provider, candidate.model)
        on_sent = partial(trail.sent, candidate)
        if passed is None and probe is None:
            return await self._transport.send(request, on_sent)
        return await send(self._transport, request, passed, probe, on_sent)

    async def _batch(self, call: Call, plan: Plan, turn: Turn, trail: Trail, watch: Watch) -> Answer:
        candidate = turn.candidate
        started = self._clock.monotonic()
        watch.limit("batch", candidate.timeouts.batch)
        try:
            response = await watch.wait(self._send(call, plan, turn, trail))
            try:
                if response.status != 200:
                    raise await self._fault(candidate, response, watch)
                _check_unpacked(response)
                body = response.whole()
                if body is None:
                    body = await self._read_all(response, watch)
                self._check_size(len(body))
            finally:
                response.close()
        except Interrupted as interrupted:
            raise _as_fault(interrupted, "batch", "batch_timeout") from None
        finally:
            watch.rest()
        answer = self._dialects[candidate.provider].answer(body)
        record = AttemptRecord(
            provider=candidate.provider,
            model=candidate.model,
            outcome="ok",
            status=200,
            duration_ms=self._ms_since(started),
        )
        trail.attempts.append(record)
        self._observer.attempt_ended(record, "")
        return answer

    async def _open(self, call: Call, plan: Plan, turn: Turn, trail: Trail, watch: Watch) -> OpenStream:
        candidate = turn.candidate
        started = self._clock.monotonic()
        watch.limit("first_byte", candidate.timeouts.first_byte)
        response: HttpResponse | None = None
        opened = False
        try:
            response = await watch.wait(self._send(call, plan, turn, trail))
            if response.status != 200:
                raise await self._fault(candidate, response, watch)
            _check_unpacked(response)
            reader = self._dialects[candidate.provider].stream()
            stream = OpenStream(candidate, response, reader, watch, started)
            await self._read_opening(stream)
            stream.record = msgspec.structs.replace(stream.record, first_token_ms=self._ms_since(started))
            opened = True
            return stream
        except Interrupted as interrupted:
            raise _as_fault(interrupted, "first_byte", "first_byte_timeout") from None
        finally:
            watch.rest()
            if response is not None and not opened:
                response.close()

    async def _read_opening(self, stream: OpenStream) -> None:
        held = 0
        while True:
            events = await stream.next()
            if events is None:
                if stream.done:
                    return
                raise ProviderFault("cut", "the stream ended before its first token")
            finished = any(event.finished for event in events)
            if stream.fault is not None and not finished:
                raise stream.fault  # it came with a token that nobody has seen: another provider may do better
            stream.opening += events
            if stream.done or finished or any(event.tokens for event in events):
                return
            held += sum(len(event.data) + len(event.usage or b"") + EVENT_BYTES for event in events)
            if held > OPENING_BYTES_MAX:
                raise ProviderFault("malformed", f"over {OPENING_BYTES_MAX} bytes of events before the first token")

    async def _read_all(self, response: HttpResponse, watch: Watch) -> bytes:
        whole = bytearray()  # not a list of pieces: a sender of tiny ones must not cost many times their size
        while data := await watch.wait(response.read()):
            self._check_size(len(whole) + len(data))
            whole += data
        return bytes(whole)

    def _check_size(self, size: int) -> None:
        if size > self._answer_bytes_max:
            raise ProviderFault("too_large", f"over {self._answer_bytes_max} bytes (server.max_answer)")

    async def _fault(self, candidate: Candidate, response: HttpResponse, watch: Watch) -> ProviderFault:
        body, readable = b"", content_coding(response.headers) is None
        watch.limit("batch", FAULT_BODY_S_MAX)
        # Without the rest of the body the status alone says enough. If the call was stopped, its next wait ends it.
        with contextlib.suppress(ProviderFault, Interrupted):
            while readable and len(body) < FAULT_BODY_BYTES_MAX and (data := await watch.wait(response.read())):
                body += data
        return self._dialects[candidate.provider].fault(response.status, response.headers, body[:FAULT_BODY_BYTES_MAX])

    def _ms_since(self, started: float) -> float:
        return round((self._clock.monotonic() - started) * 10_000) / 10

    async def _pause(self, watch: Watch, seconds: float) -> None:
        await watch.wait(asyncio.sleep(seconds))


def _check_unpacked(response: HttpResponse) -> None:
    """A packed body is not unpacked: it may be a bomb, and nobody asked for it."""
    if (coding := content_coding(response.headers)) is not None:
        raise ProviderFault("malformed", f"packed as {coding}, which was not asked for", status=200)


def _as_fault(interrupted: Interrupted, limit: str, outcome: Outcome) -> Exception:
    """Our own limit on this attempt is the provider's fault; any other reason ends the call."""
    if interrupted.reason == limit:
        return ProviderFault(outcome, f"no answer within the {limit} limit")
    return interrupted
