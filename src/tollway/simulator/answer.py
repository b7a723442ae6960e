"""What one answer says: how many tokens, which text, what usage; and its rendering as a batch body.

Lifelike OpenAI objects. Knows nothing of HTTP, faults or time; chunks.py renders the same answer as a stream."""

import math
from collections.abc import Iterator

import msgspec

from tollway.simulator.prose import CHOICE_OFFSET, REASONING_OFFSET, TOKENS, split_tokens
from tollway.simulator.scenario import Scenario
from tollway.wire import json

ABSURD_TOKENS = 1_000_000_000  # more than any model can have generated
FINGERPRINT = b"fp_simulator"

# A tool call's arguments are {"text": "<the prose>"}, written here as the inside of a JSON string.
ARGUMENTS_OPEN = b'{\\"text\\":\\"'
ARGUMENTS_CLOSE = b'\\"}'

_USAGE = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)


def _inside(text: str) -> bytes:
    """`text` as the inside of a JSON string."""
    return json.encode(text)[1:-1]


def _nested(piece: bytes) -> bytes:
    """The inside of a JSON string as the inside of a JSON string once more: tool arguments are JSON in JSON."""
    return _inside(piece.decode())


_PROSE = tuple(_inside(token) for token in TOKENS)
_NESTED_PROSE = tuple(_nested(piece) for piece in _PROSE)


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What all answers have in common that share a scenario, a number of choices and a token limit."""

    choices: int
    tokens: int  # of content or tool arguments, a choice
    reasoning: int  # tokens a choice, before the content
    finish: str | None
    tool: str | None
    calls: int  # of the tool, each with `tokens` of arguments
    around: tuple[bytes, bytes]  # what stands before and after the tokens of a tool's arguments
    alternatives: int | None  # told beside each token's log probability; None: no log probabilities
    source: tuple[
        bytes, ...
    ]  # the content's tokens, each as the inside of a JSON string; repeated when more are needed
    step: int  # how far into the source each further choice starts

    @property
    def completion(self) -> int:
        return (self.tokens * self.calls + self.reasoning) * self.choices

    def content(self, choice: int) -> Iterator[bytes]:
        return _run(self.source, choice * self.step, self.tokens)

    def thoughts(self, choice: int) -> Iterator[bytes]:
        return _run(_PROSE, REASONING_OFFSET + choice * CHOICE_OFFSET, self.reasoning)


def shape_answer(scenario: Scenario, choices: int, limit: int | None, alternatives: int | None = None) -> Shape:
    """Apply the request's `n`, token limit and `top_logprobs` to a scenario. The fault `empty`: no token and no finish
    reason."""
    empty = scenario.fault is not None and scenario.fault.name == "empty"
    tool = None if empty else scenario.tool
    given = scenario.text if tool is None or scenario.arguments is None else scenario.arguments
    own = split_tokens(given) if given is not None else None
    source = tuple(_inside(token) for token in own) if own is not None else _PROSE
    around = b"", b""
    if tool is not None and scenario.arguments is None:
        around = ARGUMENTS_OPEN, ARGUMENTS_CLOSE
        source = _NESTED_PROSE if own is None else tuple(_nested(piece) for piece in source)
    calls = 1 if tool is None else scenario.calls
    wanted = scenario.tokens if own is None else len(own)
    room = wanted * calls + scenario.reasoning if limit is None else limit
    reasoning = 0 if empty else min(scenario.reasoning, room)
    tokens = 0 if empty else min(wanted, (room - reasoning) // calls)
    whole = tokens == wanted and reasoning == scenario.reasoning
    natural = ("tool_calls" if tool else "stop") if whole else "length"
    return Shape(
        choices=choices,
        tokens=tokens,
        reasoning=reasoning,
        finish=None if empty else scenario.finish or natural,
        tool=tool,
        calls=calls,
        around=around,
        alternatives=alternatives,
        source=source,
        step=CHOICE_OFFSET if own is None else 0,
    )


def render_usage(scenario: Scenario, shape: Shape, prompt: int, completion: int) -> bytes:
    """The usage object after `completion` generated tokens, as the scenario bends it."""
    if scenario.usage_raw is not None:
        return scenario.usage_raw.encode()
    reasoning = min(shape.reasoning * shape.choices, completion)
    if scenario.usage == "absurd":
        completion = ABSURD_TOKENS
    elif scenario.completion_tokens is not None:
        completion = scenario.completion_tokens
    return _USAGE % (prompt, completion, prompt + completion, scenario.cached, reasoning)


def render_opening(id: bytes, kind: bytes, created: int, model: bytes) -> bytes:
    """The members that open every object of one answer; `model` is rendered JSON."""
    return b'{"id":"%b","object":"%b","created":%d,"model":%b,' % (id, kind, created, model)


def render_choices(shape: Shape) -> bytes:
    """The `choices` array of a batch answer: the costly part, the same for all answers of one shape."""
    return b"[" + b",".join(_choice(shape, choice) for choice in range(shape.choices)) + b"]"


def render_batch(opening: bytes, choices: bytes, usage: bytes | None) -> bytes:
    """A whole chat.completion; all parts are rendered JSON, `usage` is left out when it is None."""
    usage = b"" if usage is None else b'"usage":%b,' % usage
    return b'%b"choices":%b,%b"service_tier":"default","system_fingerprint":"%b"}' % (
        opening,
        choices,
        usage,
        FINGERPRINT,
    )


def render_tool_call(tool: str, choice: int, call: int, arguments: bytes) -> bytes:
    """The members of a tool call; `arguments` is the inside of a JSON string."""
    return b'"id":"call_simulated_%d_%d","type":"function","function":{"name":%b,"arguments":"%b"}' % (
        choice,
        call,
        json.encode(tool),
        arguments,
    )


def render_logprobs(pieces: list[bytes], alternatives: int) -> bytes:
    """OpenAI's `logprobs` for these tokens, each with `alternatives` of which it is itself the likeliest."""
    return b'{"content":[%b],"refusal":null}' % b",".join(_logprob(piece, alternatives) for piece in pieces)


def _logprob(piece: bytes, alternatives: int) -> bytes:
    """The token's own probability is 0.9 whatever it is; each alternative has a tenth of the one before."""
    others = (piece, *(other for other in _PROSE if other != piece))[:alternatives]
    top = [b"{%b}" % _probable(other, place) for place, other in enumerate(others)]
    return b'{%b,"top_logprobs":[%b]}' % (_probable(piece, 0), b",".join(top))


def _probable(piece: bytes, place: int) -> bytes:
    text = json.decode(b'"%b"' % piece)
    logprob = math.log(0.9) - place * math.log(10)
    return b'"token":"%b","logprob":%.6f,"bytes":%b' % (piece, logprob, json.encode(list(text.encode())))


def _choice(shape: Shape, choice: int) -> bytes:
    text = b"".join(shape.content(choice))
    if shape.tool is None:
        message = b'"content":"%b"' % text
    else:
        arguments = text.join(shape.around)
        calls = [render_tool_call(shape.tool, choice, call, arguments) for call in range(shape.calls)]
        message = b'"content":null,"tool_calls":[{%b}]' % b"},{".join(calls)
    if shape.reasoning:
        message += b',"reasoning_content":"%b"' % b"".join(shape.thoughts(choice))
    logprobs = b"null"
    if shape.alternatives is not None and shape.tool is None:
        logprobs = render_logprobs(list(shape.content(choice)), shape.alternatives)
    return (
        b'{"index":%d,"message":{"role":"assistant",%b,"refusal":null,"annotations":[]},'
        b'"logprobs":%b,"finish_reason":%b}' % (choice, message, logprobs, json.encode(shape.finish))
    )


def _run(source: tuple[bytes, ...], offset: int, count: int) -> Iterator[bytes]:
    size = len(source)
    for place in range(offset, offset + count):
        yield source[place % size]
