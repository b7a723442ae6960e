"""The script of a streamed answer: events dressed as SSE, paced, grouped or split into writes, and broken as asked.

Sans-I/O, like script.py. Positions count the events of a well-behaved stream, [DONE] included."""

import zlib
from collections.abc import Callable, Generator

from tollway.simulator import http
from tollway.simulator.chunks import Chunks
from tollway.simulator.grammar import POSITIONED
from tollway.simulator.refusals import scenario_error
from tollway.simulator.scenario import Scenario
from tollway.simulator.script import Halt, Script, Step, Turn, not_utf8, pieces

Dress = Callable[[bytes, int], bytes]
Frame = Callable[[bytes], bytes]

BOM = b"\xef\xbb\xbf"
NOISE = b"this is neither JSON nor the end"

_SILENT_ENDS = {"cut": Halt.CLOSE, "reset": Halt.RESET, "stall": Halt.SILENCE}


class StreamPlay:
    def __init__(self, turn: Turn) -> None:
        scenario = turn.scenario
        self._turn = turn
        self._scenario = scenario
        self._exchange = turn.exchange
        self._chunked = scenario.chunked and turn.modern
        if not self._chunked:
            turn.keep_alive = False
        self._frame: Frame = http.chunk if self._chunked else http.unframed
        self._trailer = b""
        if turn.has("gzip"):
            self._frame = self._zipped(self._frame)
        self._dress = dressing(scenario)
        self._fault = scenario.fault.name if scenario.fault else None
        self._at = -1
        if scenario.fault is not None and scenario.fault.name in POSITIONED:
            self._at = scenario.fault.at or 0
        self._pending: list[bytes] = [BOM] if scenario.bom else []
        self._pending_events = 0
        self._pending_tokens = 0

    def play(self) -> Script:
        turn, scenario = self._turn, self._scenario
        turn.accept()
        yield self._head()
        include = bool(turn.request.stream_options and turn.request.stream_options.include_usage)
        events = Chunks(scenario, turn.shape, turn.opening(b"chat.completion.chunk"), turn.prompt, include)
        gap = scenario.gap or (scenario.burst / scenario.rate if scenario.rate else 0.0)
        ordinary = self._frame is http.chunk and self._at < 0 and self._dress is _plain and turn.lockstep is None
        if ordinary and not scenario.split and not scenario.bom and scenario.burst == 1:
            yield from self._play_ordinary(events, gap)
        elif (yield from self._play_odd(events, gap)):
            return
        yield from self._finish()

    def _play_ordinary(self, events: Chunks, gap: float) -> Script:
        """The same as _play_odd when nothing is odd, at a third of the cost: benchmarks live here."""
        exchange, pause = self._exchange, self._scenario.first
        for payload, tokens, paced in events:
            if paced:
                if pause:
                    yield pause
                pause = gap
            yield b"%x\r\ndata: %b\n\n\r\n" % (len(payload) + _PLAIN_BYTES, payload)
            exchange.events += 1
            exchange.completion_tokens += tokens

    def _play_odd(self, events: Chunks, gap: float) -> Generator[Step, None, bool]:
        """Every event in its odd dress, grouped or split, until the fault strikes. True when that ended the answer."""
        turn, dress, burst, pause = self._turn, self._dress, self._scenario.burst, self._scenario.first
        started = False  # the first token, with the pause before it, begins a burst of its own
        for position, (payload, tokens, paced) in enumerate(events):
            if position == self._at:
                yield from self._flush()
                if turn.lockstep is not None and self._fault not in _SPOILED:  # a spoiled event has a step of its own
                    yield turn.lockstep
                halt = yield from self._strike(payload, position)
                if halt is not None:
                    yield halt
                    return True
                if self._fault in _SPOILED:
                    payload = _SPOILED[self._fault](payload)
            if paced and not started:
                started = True
                if pause:
                    yield from self._flush()
            if not self._pending_events:
                if paced and pause:
                    yield pause
                if turn.lockstep is not None:
                    yield turn.lockstep
            if paced:
                pause = gap
            self._pending.append(dress(payload, position))
            self._pending_events += 1
            self._pending_tokens += tokens
            if self._pending_events >= burst:
                yield from self._flush()
        yield from self._flush()
        return False

    def _head(self) -> bytes:
        extra = self._turn.extra_headers() + b"cache-control: no-cache\r\n"
        if self._chunked:
            extra += b"transfer-encoding: chunked\r\n"
        return http.head(200, self._turn.date, http.EVENT_STREAM, None, extra)

    def _flush(self) -> Script:
        """Send what is pending as one write, or in pieces when the scenario splits."""
        if not self._pending:
            return
        data = b"".join(self._pending) if len(self._pending) > 1 else self._pending[0]
        self._pending.clear()
        if self._scenario.split:
            for piece in pieces(data, self._scenario.split):
                yield self._frame(piece)
                yield 0.0
        else:
            yield self._frame(data)
        events = self._pending_events
        self._exchange.events += events
        self._exchange.completion_tokens += self._pending_tokens
        self._pending_events = self._pending_tokens = 0
        if self._turn.lockstep is not None and events:
            self._turn.lockstep.count(events)

    def _strike(self, payload: bytes, position: int) -> Generator[Step, None, Halt | None]:
        """Do what the fault does at its position. A Halt when the stream is over with it."""
        name, exchange = self._fault, self._exchange
        exchange.ended = name
        if name in _SILENT_ENDS:
            return _SILENT_ENDS[name]
        if name == "noise":
            exchange.events += 1
            yield self._frame(self._dress(NOISE, position))
            if self._turn.lockstep is not None:
                self._turn.lockstep.count(1)
        elif name in ("end", "truncated", "error"):
            if name == "truncated":
                event = self._dress(payload, position)
                yield self._frame(event[: len(event) // 2])
            elif name == "error":
                exchange.events += 1
                yield self._frame(self._dress(scenario_error(self._scenario, self._turn.prompt), position))
            return (yield from self._end_body())
        return None

    def _zipped(self, frame: Frame) -> Frame:
        """Each piece compressed so that what came of it can be read at once (gzip, RFC 1952)."""
        stream = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)

        def zipped(data: bytes) -> bytes:
            sent = frame(stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))
            self._trailer = frame(stream.copy().flush())
            return sent

        return zipped

    def _end_body(self) -> Generator[Step, None, Halt]:
        if not self._chunked:
            return Halt.CLOSE
        yield http.LAST_CHUNK
        return Halt.KEEP

    def _finish(self) -> Script:
        self._turn.complete()
        if self._fault == "bad_length":
            yield b"400\r\n: this chunk is shorter than it says"
            yield Halt.CLOSE
            return
        if self._trailer:
            yield self._trailer
        halt = yield from self._end_body()
        if halt is Halt.KEEP:
            yield from self._turn.after()
        else:
            yield halt


def dressing(scenario: Scenario) -> Dress:
    """How a payload becomes an SSE event under this scenario."""
    if not (scenario.crlf or scenario.comments or scenario.ids or scenario.multiline):
        return _plain
    eol = b"\r\n" if scenario.crlf else b"\n"

    def dress(payload: bytes, number: int) -> bytes:
        lines = [b": the simulator is thinking", b""] if scenario.comments else []
        if scenario.ids:
            lines += [b"event: completion", b"id: %d" % number, b"retry: 1000"]
        # A line end is white space between two members, so the parts joined by \n are the same JSON.
        data = payload.replace(b',"', b',\n"', 2) if scenario.multiline else payload
        lines += [b"data: " + line for line in data.split(b"\n")]
        return eol.join([*lines, b"", b""])

    return dress


def damage(payload: bytes) -> bytes:
    """Two thirds of an event: it starts with { and is no JSON."""
    return payload[: len(payload) * 2 // 3] if payload.startswith(b"{") else b'{"choices":['


_SPOILED = {"damaged": damage, "not_utf8": not_utf8}
_PLAIN_BYTES = len(b"data: \n\n")


def _plain(payload: bytes, number: int) -> bytes:
    return b"data: %b\n\n" % payload
