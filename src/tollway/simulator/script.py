"""What an answer is made of, as steps that a connection carries out: bytes to send, pauses, gates and an end.

Sans-I/O: a script is an iterator. Everything that can go wrong on request is written here and in stream.py."""

import enum
import gzip
import itertools
from collections.abc import Iterator

from tollway.simulator import answer, http
from tollway.simulator.answer import Shape
from tollway.simulator.chat import ChatRequest
from tollway.simulator.gates import Gate, Lockstep
from tollway.simulator.log import Exchange
from tollway.simulator.refusals import error_body, scenario_error
from tollway.simulator.scenario import SPLIT_CHARACTERS, FaultName, Scenario

HUGE_HEADER_BYTES = 100_000  # beyond what clients accept (this router 64 KB, Node 16 KB, curl 100 KB)
MISSING_BYTES = 100  # by how much bad_length promises more than it sends
NOT_UTF8 = b"\xff"
SLOW_BYTE_S = 0.05  # between the bytes of a slow head: 10 s for one of 200


class Halt(enum.Enum):
    """How an answer leaves its connection."""

    KEEP = enum.auto()  # complete: the next request may come, unless the client asked for a close
    CLOSE = enum.auto()  # FIN after what was sent
    RESET = enum.auto()  # RST after what was sent
    SILENCE = enum.auto()  # nothing more, until the client leaves


# bytes: send. float: seconds to wait after the step before; 0.0: the next turn of the loop. Gate: wait for it.
Step = bytes | float | Gate | Halt
Script = Iterator[Step]


class Turn:
    """One chat attempt with everything that its script needs."""

    __slots__ = (
        "barrier",
        "choices",
        "created",
        "date",
        "exchange",
        "id",
        "keep_alive",
        "lockstep",
        "model",
        "modern",
        "prompt",
        "request",
        "scenario",
        "shape",
    )

    exchange: Exchange
    request: ChatRequest
    scenario: Scenario
    shape: Shape
    choices: bytes | None  # the rendered `choices` of a batch answer, when they are worth keeping
    id: bytes
    model: bytes  # rendered JSON
    created: int
    prompt: int
    date: bytes
    keep_alive: bool
    modern: bool
    barrier: Gate | None
    lockstep: Lockstep | None

    def opening(self, kind: bytes) -> bytes:
        return answer.render_opening(self.id, kind, self.created, self.model)

    def extra_headers(self) -> bytes:
        """Header lines that a chat answer has beside type and length."""
        lines = b"x-request-id: req_%b\r\n" % self.id
        if not self.keep_alive:
            lines += b"connection: close\r\n"
        if self.has("huge_headers"):
            lines += b"x-padding: " + b"x" * HUGE_HEADER_BYTES + b"\r\n"
        elif self.has("gzip"):
            lines += b"content-encoding: gzip\r\n"
        return lines

    def has(self, fault: FaultName) -> bool:
        return self.scenario.fault_name == fault

    def after(self) -> Script:
        """What follows a whole answer: nothing that was asked for."""
        if self.has("surplus"):
            body = error_body("nobody asked for this answer", "server_error", None)
            yield http.head(500, self.date, http.JSON, len(body)) + body
        yield Halt.CLOSE if self.has("hangup") else Halt.KEEP

    def accept(self) -> None:
        """A 200 goes out: from here on a provider bills."""
        self.exchange.status = 200
        self.exchange.prompt_tokens = self.prompt

    def complete(self) -> None:
        """Everything was sent, faulty or not."""
        fault = self.scenario.fault
        if self.scenario.completion_tokens is not None:
            self.exchange.completion_tokens = self.scenario.completion_tokens
        if self.exchange.ended is None:
            self.exchange.ended = fault.name if fault is not None and fault.name in _ALWAYS else "complete"


# Faults that show in every answer they are asked for; the others name themselves when they act.
_ALWAYS = frozenset(
    {"huge_headers", "slow_head", "interim", "gzip", "empty", "bad_length", "surplus", "hangup", "unstreamed"}
)


def play_before_head(turn: Turn) -> Script:
    """What happens before an answer begins. Ends with a Halt when there will be none."""
    scenario, exchange, fault = turn.scenario, turn.exchange, turn.scenario.fault
    if turn.barrier is not None:
        yield turn.barrier
    if scenario.delay:
        yield scenario.delay
    if scenario.status != 200:
        yield from _play_status(turn)
        return
    if fault is None:
        return
    if fault.name == "redirect":
        exchange.ended, exchange.status = fault.name, 307
        extra = turn.extra_headers() + b"location: /v1/redirected\r\n"
        yield http.head(307, turn.date, http.JSON, 0, extra)
        yield Halt.KEEP
    elif fault.name == "not_json":
        exchange.ended, exchange.status = fault.name, 200
        page = b"<!doctype html><title>It works</title><h1>It works</h1>\n"
        yield http.head(200, turn.date, http.HTML, len(page), turn.extra_headers()) + page
        yield Halt.KEEP
    elif fault.name in _NO_HEAD and fault.at is None:
        exchange.ended = fault.name
        yield _NO_HEAD[fault.name]


def bend_head(turn: Turn, answer: Script) -> Script:
    """An answer whose head comes as its fault has it. The first step of an answer begins with its whole head."""
    first = next(answer)
    assert isinstance(first, bytes), "an answer begins with its head"
    if turn.has("half_head"):
        exchange = turn.exchange
        exchange.ended, exchange.status, exchange.prompt_tokens, exchange.completion_tokens = "half_head", None, 0, 0
        yield first[: first.index(b"\r\n\r\n") // 2]
        yield Halt.SILENCE
    elif turn.has("slow_head"):
        end = first.index(b"\r\n\r\n") + 4
        for place in range(end):
            yield first[place : place + 1]
            yield SLOW_BYTE_S
        first = first[end:]
    elif turn.has("interim"):
        yield http.INTERIM
    yield first
    yield from answer


BENT = frozenset({"half_head", "slow_head", "interim"})

_NO_HEAD = {"reset": Halt.RESET, "close": Halt.CLOSE, "silence": Halt.SILENCE}


def _play_status(turn: Turn) -> Script:
    scenario = turn.scenario
    turn.exchange.ended, turn.exchange.status = "status", scenario.status
    extra = turn.extra_headers()
    if scenario.retry_after is not None:
        extra += b"retry-after: %b\r\n" % scenario.retry_after.encode("latin-1")
    if scenario.retry_after_ms is not None:
        extra += b"retry-after-ms: %d\r\n" % scenario.retry_after_ms
    body = scenario_error(scenario, turn.prompt)
    yield http.head(scenario.status, turn.date, http.JSON, len(body), extra) + body
    yield Halt.KEEP


def play_batch(turn: Turn) -> Script:
    scenario, exchange, shape, fault = turn.scenario, turn.exchange, turn.shape, turn.scenario.fault
    if turn.lockstep is not None:
        yield turn.lockstep
    usage = None
    if scenario.usage != "missing":
        usage = answer.render_usage(scenario, shape, turn.prompt, shape.completion)
    choices = turn.choices or answer.render_choices(shape)
    body = answer.render_batch(turn.opening(b"chat.completion"), choices, usage)
    turn.accept()
    exchange.completion_tokens = shape.completion
    if fault is not None:
        yield from _play_batch_fault(turn, body)
        return
    if scenario.split or turn.lockstep is not None:
        yield from _send_batch(turn, body, len(body))
    else:
        yield http.head(200, turn.date, http.JSON, len(body), turn.extra_headers()) + body
    turn.complete()
    yield Halt.KEEP


def _play_batch_fault(turn: Turn, body: bytes) -> Script:
    exchange, fault = turn.exchange, turn.scenario.fault
    assert fault is not None
    length, halt = len(body), Halt.KEEP
    part = body[: len(body) // 2 if fault.at is None else fault.at]
    reached = len(part) < len(body)
    if fault.name in _BROKEN_OFF and reached:
        body, halt = part, _BROKEN_OFF[fault.name]
        exchange.ended = fault.name
    elif fault.name in ("end", "truncated", "damaged") and reached:
        body, length = part, len(part)
        exchange.ended = fault.name
    elif fault.name == "error":
        body = scenario_error(turn.scenario, turn.prompt)
        length = len(body)
        exchange.ended, exchange.prompt_tokens, exchange.completion_tokens = fault.name, 0, 0
    elif fault.name == "bad_length":
        length, halt = length + MISSING_BYTES, Halt.CLOSE
    elif fault.name == "not_utf8":
        body = not_utf8(body)
        length = len(body)
        exchange.ended = fault.name
    elif fault.name == "gzip":
        body = gzip.compress(body, mtime=0)
        length = len(body)
    yield from _send_batch(turn, body, length)
    turn.complete()
    if halt is Halt.KEEP:
        yield from turn.after()
    else:
        yield halt


_BROKEN_OFF = {"cut": Halt.CLOSE, "reset": Halt.RESET, "stall": Halt.SILENCE}


def _send_batch(turn: Turn, body: bytes, length: int) -> Script:
    start = http.head(200, turn.date, http.JSON, length, turn.extra_headers())
    if turn.scenario.split:
        yield start
        for piece in pieces(body, turn.scenario.split):
            yield 0.0
            yield piece
    else:
        yield start + body
    if turn.lockstep is not None:
        turn.lockstep.count(1)


def not_utf8(payload: bytes) -> bytes:
    """The same JSON with a byte that begins no character, in the generated text where it has one."""
    member = next((name for name in (b'"content":"', b'"id":"') if name in payload), b"")
    before, member, rest = payload.partition(member) if member else (payload, b"", b"")
    return before + member + NOT_UTF8 + rest


def pieces(data: bytes, split: int) -> list[bytes]:
    """`data` in pieces of `split` bytes, or cut after the first byte of every character that has more than one."""
    if split != SPLIT_CHARACTERS:
        return [data[start : start + split] for start in range(0, len(data), split)]
    cuts = [0, *(place + 1 for place, byte in enumerate(data) if byte >= 0xC0), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(cuts) if end > start]
