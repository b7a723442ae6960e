"""OpenAI's Chat Completions to OpenAI's Chat Completions: the dialect that most providers speak, values in and out.

`ChunkReader` is the hot path of the router: a read that holds one ordinary event costs no copy of what is relayed and
one typed decode, or a look at its text where all the rest is as in the event before. This module knows nothing of
sockets, prices or of what is tried after a fault.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from tollway.domain.answer import RESPONSE_ID_CHARS_MAX, Answer, StreamEvent
from tollway.domain.call import Call
from tollway.domain.clock import Clock, SystemClock
from tollway.domain.errors import ProviderFault
from tollway.domain.parameters import dropped, lacking
from tollway.domain.plan import Candidate
from tollway.domain.seams import HttpRequest
from tollway.domain.usage import Generated
from tollway.upstream.completion import Damaged, Said, decode_usual, read_completion, read_whole, utf8_size
from tollway.upstream.endpoint import Endpoint
from tollway.upstream.faults import answer_fault, event_fault
from tollway.upstream.quirks import rewrites
from tollway.wire import json
from tollway.wire.sse import EventTooLarge, SseDecoder

TRUE = msgspec.Raw(b"true")
USAGE_ASKED_FOR = msgspec.Raw(b'{"include_usage":true}')

# An event that a read tore is joined with the next read as long as it is short: joining again and again what comes
# byte by byte costs the square of its length. A longer one goes through the codec.
TORN_BYTES_MAX = 4096

SOUNDING_MAX = 128  # choices that are remembered for their audio: as many as can be asked for

_PREFIX = b"data: {"
_PREFIX_SIZE = len(_PREFIX)
_PAYLOAD_AT = len(b"data: ")
# A JSON string's content that is what it says, without escapes, where all of it is UTF-8.
_LITERAL = re.compile(rb'[^\x00-\x1f"\\]+')
VAIN_MAX = 8  # shapes of events that were looked at without meeting any of them again: then no more are

_CR = 0x0D  # a number, which is looked for five times faster in bytes than b"\r" is


class OpenAIOpenAI:
    """upstream.dialect.Dialect of one provider. The clock only dates a Retry-After whose answer carries no date."""

    def __init__(self, endpoint: Endpoint, clock: Clock | None = None) -> None:
        self._endpoint = endpoint
        self._url = endpoint.url("/chat/completions")
        self._rewrites = rewrites(endpoint.quirks)
        self._clock = clock or SystemClock()

    def request(self, call: Call, candidate: Candidate, *, max_tokens: int | None = None) -> HttpRequest:
        """Values stay byte-faithful; rewritten are the model's name, the request for usage, if lowered the cap, and
        what the provider's quirks ask for. What the candidate is known not to take is left out."""
        fields = dict(call.fields)
        if candidate.unsupported:
            for name in dropped(call.fields, call.needs, lacking(candidate.unsupported)):
                del fields[name]
        fields["model"] = msgspec.Raw(json.encode(candidate.upstream))
        if self._endpoint.user != "forward":
            _name_user(fields, call, self._endpoint)
        if call.stream:
            fields["stream_options"] = _with_usage(fields.get("stream_options"))
        if max_tokens is not None:
            cap = max_tokens if call.max_tokens is None else min(max_tokens, call.max_tokens)
            for name in _cap_fields(call):
                fields[name] = msgspec.Raw(b"%d" % cap)
        for rewrite in self._rewrites:
            rewrite(fields)
        return self._endpoint.post(self._url, json.encode(fields), candidate.timeouts.connect)

    def models(self) -> HttpRequest:
        return self._endpoint.get("/models")

    def probe(self) -> HttpRequest:
        return self._endpoint.post(self._url, b"{}")

    def answer(self, body: bytes) -> Answer:
        try:
            completion, fields = read_whole(body)
        except Damaged as damage:
            raise ProviderFault("malformed", f"the answer is {damage}", status=200) from None
        if completion.error is not None:
            raise event_fault(completion.error, self._endpoint.secrets)
        choices = completion.choices or []
        if len(choices) > 1:
            choices.sort(key=lambda choice: choice.index)
        text_bytes = parts = 0
        reasons = []
        for choice in choices:
            message = choice.message
            if message is None:
                raise _no_completion()
            text_bytes += message.text_bytes()
            if message.images or message.audio:
                parts += len(message.images or ()) + bool(message.audio)
            reasons.append(choice.finish_reason or None)
        if not reasons:
            raise _no_completion()
        fields.pop("tollway", None)
        return Answer(
            fields=fields,
            response_id=completion.id and completion.id[:RESPONSE_ID_CHARS_MAX],
            usage=None if completion.usage is None else bytes(fields["usage"]),
            generated=Generated(text_bytes=text_bytes, other_parts=parts),
            finish_reasons=tuple(reasons),
        )

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFault:
        return answer_fault(status, headers, body, self._endpoint.secrets, self._clock.now_ms())

    def stream(self) -> "ChunkReader":
        return ChunkReader(self._endpoint.secrets)


def _no_completion() -> ProviderFault:
    return ProviderFault("malformed", "the answer is no chat completion: no choices with a message", status=200)


def _name_user(fields: dict[str, msgspec.Raw], call: Call, endpoint: Endpoint) -> None:
    """Write the `user` that this provider is to see."""
    if endpoint.user == "hash" and call.pseudonym:
        fields["user"] = msgspec.Raw(json.encode(call.pseudonym))
    else:
        fields.pop("user", None)


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    """The caller's stream_options with usage asked for, its other members kept."""
    if options is None or bytes(options) == b"null":
        return USAGE_ASKED_FOR
    return msgspec.Raw(json.encode_fields(json.decode_fields(options) | {"include_usage": TRUE}))


def _cap_fields(call: Call) -> list[str]:
    """Where the cap goes: where the caller put one, in both spellings if both were used."""
    names = ("max_tokens", "max_completion_tokens")
    given = [name for name in names if name in call.fields and bytes(call.fields[name]) != b"null"]
    return given or [call.max_tokens_field]


class ChunkReader:
    """upstream.dialect.StreamReader for chat.completion.chunk events.

    An event that is exactly one `data: {...}` line is relayed as it came, and a run of ordinary ones (tokens, nothing
    to act on) that came together is one StreamEvent: a slice of the read. Anything else goes through the codec and is
    written anew as one line. A damaged event may have carried text, so it ends the stream ("cut"); data that is
    neither a JSON object nor [DONE] is noise and dropped.
    """

    __slots__ = ("_around", "_codec", "_plain", "_secrets", "_sounding", "_torn", "_vain", "done", "fault")

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = secrets
        self._codec = SseDecoder()
        self._plain = True  # going on, and the codec holds nothing: a plain event may come
        self._torn = b""  # the start of a plain event whose end has not come
        # What stands before and behind the text of the last event, and the sizes of both; None where
        # no other event may begin.
        self._around: tuple[bytes, bytes, int, int] | None = None
        self._vain = 0
        self._sounding: set[int] = set()  # choices whose audio has begun: one part each, however many events
        self.done = False
        self.fault: ProviderFault | None = None

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Events completed by `data`. ProviderFault, after the events before it have been returned."""
        events: list[StreamEvent] = []
        self._around = None
        try:
            if self._plain:
                if self._torn:
                    data, self._torn = self._torn + data, b""
                if rest := self._feed_plain(data, events):
                    self._feed_codec(rest, events)
            elif self.fault is not None:
                raise self.fault
            elif not self.done:
                self._feed_codec(data, events)
        except ProviderFault as fault:
            self.fault = fault
            self._plain = False
            if not events:
                raise
        return events

    def text_bytes_of(self, data: bytes) -> int:
        if self._around is None:
            return 0
        before, behind, before_size, behind_size = self._around
        start, end = 0, len(data)
        size = end
        while start < end:
            text = _LITERAL.match(data, start + before_size)
            if text is None or not data.startswith(before, start):
                return 0
            start = text.end()
            if not data.startswith(behind, start):
                return 0
            start += behind_size
            size -= before_size + behind_size
        if not data.isascii():
            try:
                data.decode()
            except ValueError:
                return 0
        self._vain = 0
        return size

    def end(self) -> list[StreamEvent]:
        if self.fault is not None:
            raise self.fault
        events: list[StreamEvent] = []
        if self.done:
            return events
        torn, self._torn = self._torn, b""
        try:
            self._feed_codec(torn, events)
            if (left := self._codec.end()) is not None:
                self._read(left, events)
        except ProviderFault as fault:
            self.fault = fault
            raise
        return events

    def _feed_plain(self, data: bytes, events: list[StreamEvent]) -> bytes:
        """Read the plain events that `data` starts with; what is left is for the codec.

        Written out in one piece, since every token of every stream passes here."""
        start = 0
        run = 0  # ordinary events from here up to `start` have been read and wait to be given as one
        text_bytes = parts = 0
        thinks = False
        chunk_id: str | None = None
        text: str | None = None  # all that the last one of them holds
        while data[start : start + _PREFIX_SIZE] == _PREFIX:
            stop = data.find(b"\n", start)
            payload = data[start + _PAYLOAD_AT : stop]
            if stop < 0 or data[stop + 1 : stop + 2] != b"\n" or _CR in payload:
                break  # torn, or more than one line
            try:
                if not payload.isascii():
                    payload.decode()
                chunk = decode_usual(payload)
            except ValueError:
                pass
            else:
                choices = chunk.choices
                if (
                    choices
                    and len(choices) == 1
                    and chunk.usage is None
                    and chunk.error is None
                    and chunk.tollway is UNSET
                ):
                    choice = choices[0]
                    said = choice.delta
                    if said is not None and not choice.finish_reason and (said.content or said.has_more()):
                        if said.has_more():
                            text_bytes += said.text_bytes()
                            parts += self._parts(choice.index, said)
                            thinks = thinks or said.thinks()
                            text = None
                        else:
                            text = said.content
                            text_bytes += utf8_size(text)
                        chunk_id = chunk_id or chunk.id
                        start = stop + 2
                        continue
            if run < start:
                events.append(_run(data[run:start], text_bytes, parts, thinks, chunk_id))
                text_bytes = parts = 0
                thinks = False
                chunk_id = None
            self._read(payload, events)
            start = run = stop + 2
        if run < start:
            events.append(_run(data[run:start], text_bytes, parts, thinks, chunk_id))
        if start:
            self._codec.at_start = False
            if start == len(data):
                if text and run < start and self._vain < VAIN_MAX:
                    self._look_around(payload, text)
                return b""
            data = data[start:]
        if _is_torn(data):
            self._torn = data
            return b""
        return data

    def _look_around(self, payload: bytes, text: str) -> None:
        """Remember what stands around an ordinary event's `text`, where it is plain which string that is: in JSON
        without escapes it is written as it is, and no other string is it if it is found only once."""
        self._vain += 1
        quoted = b'"%b"' % text.encode()
        at = payload.find(quoted)
        if b"\\" in payload or at != payload.rfind(quoted):
            return
        before = _PREFIX[:_PAYLOAD_AT] + payload[: at + 1]
        behind = payload[at + len(quoted) - 1 :] + b"\n\n"
        self._around = before, behind, len(before), len(behind)

    def _feed_codec(self, data: bytes, events: list[StreamEvent]) -> None:
        try:
            payloads = self._codec.feed(data)
        except EventTooLarge as error:
            raise ProviderFault("cut", str(error)) from None
        for payload in payloads:
            self._read(payload, events)
            if self.done:
                break
        if self._codec.failed and not self.done:
            raise ProviderFault("cut", "an event is too large")
        self._plain = self._codec.idle and not self.done

    def _read(self, payload: bytes, events: list[StreamEvent]) -> None:
        """One event's payload, whatever it is."""
        meaning = payload.strip(b" \t\n")
        if meaning == b"[DONE]":
            self.done = True
            return
        if not meaning.startswith(b"{"):
            return
        try:
            chunk, readable = read_completion(payload)
        except Damaged as damage:
            raise ProviderFault("cut", f"a damaged event: {damage}") from None
        if chunk.error is not None:
            raise event_fault(chunk.error, self._secrets)
        payload = payload.replace(b"\n", b" ")  # in JSON a line feed can only stand between values
        usage: bytes | None = None
        if chunk.usage is not None or chunk.tollway is not UNSET:
            fields = json.decode_fields(readable.replace(b"\n", b" "))
            fields.pop("tollway", None)
            usage = None if chunk.usage is None else bytes(fields.pop("usage"))
            payload = json.encode_fields(fields)
        choices = chunk.choices or []
        bare = usage is not None and not choices
        tokens = thinks = False
        text_bytes = parts = 0
        finished: list[tuple[int, str]] = []
        for choice in choices:
            said = choice.delta
            if said is not None:
                tokens = tokens or bool(said.content) or said.has_more()
                text_bytes += said.text_bytes()
                parts += self._parts(choice.index, said)
                thinks = thinks or said.thinks()
            if choice.finish_reason:
                finished.append((choice.index, choice.finish_reason))
        events.append(
            StreamEvent(
                data=b"" if bare else b"data: " + payload + b"\n\n",
                tokens=tokens,
                text_bytes=text_bytes,
                other_parts=parts,
                reasoning=thinks,
                finished=tuple(finished),
                usage=usage,
                choices=not bare,
                response_id=chunk.id,
            )
        )

    def _parts(self, index: int, said: Said) -> int:
        """Generated parts that are no text and that `said` begins."""
        parts = len(said.images or ())
        if said.audio and index not in self._sounding and len(self._sounding) < SOUNDING_MAX:
            self._sounding.add(index)
            parts += 1
        return parts


def _run(data: bytes, text_bytes: int, parts: int, thinks: bool, chunk_id: str | None) -> StreamEvent:
    return StreamEvent(
        data=data, tokens=True, text_bytes=text_bytes, other_parts=parts, reasoning=thinks, response_id=chunk_id
    )


def _is_torn(rest: bytes) -> bool:
    """Whether `rest` is the start of a plain event, short enough to wait for its end."""
    if len(rest) > TORN_BYTES_MAX or b"\r" in rest or rest.find(b"\n") not in (-1, len(rest) - 1):
        return False
    return rest.startswith(_PREFIX) or _PREFIX.startswith(rest)
