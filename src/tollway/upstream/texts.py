"""The text of an answer that was kept, for counting its tokens. Off the path: every event was read before.

Must not know what a token is, or who counts.
"""

from collections.abc import Iterable, Sequence

from msgspec import Raw

from tollway.domain.recount import Text
from tollway.upstream.completion import Function, Said, read_completion
from tollway.wire.json import encode_fields

_DATA = b"data: "


def answer_text(fields: dict[str, Raw]) -> Text:
    """The text of a whole answer. Raises ValueError for one that is damaged, which no answer that was read is."""
    completion, _ = read_completion(encode_fields({"choices": fields["choices"]}))
    said = [(choice.index, choice.message) for choice in completion.choices or () if choice.message is not None]
    return _text(said)


def stream_text(events: Sequence[bytes]) -> Text:
    """The text of a stream's events, as they were relayed. Raises as `answer_text`."""
    said = []
    for line in b"".join(events).split(b"\n"):
        if line.startswith(_DATA):
            chunk, _ = read_completion(line[len(_DATA) :])
            said += [(choice.index, choice.delta) for choice in chunk.choices or () if choice.delta is not None]
    return _text(said)


def _text(said: Iterable[tuple[int, Said]]) -> Text:
    """What comes in pieces is joined by choice and kind: a token may span two events."""
    spoken: dict[tuple[object, ...], list[str]] = {}
    thought: dict[int, list[str]] = {}
    plain = True
    for index, one in said:
        for kind, text in (("content", one.content), ("refusal", one.refusal)):
            if text:
                spoken.setdefault((index, kind), []).append(text)
        if reasoning := one.reasoning_content or one.reasoning:
            thought.setdefault(index, []).append(reasoning)
        for text in _calls(one):
            spoken.setdefault((index, "calls"), []).append(text)
            plain = False
        plain = plain and not (one.audio or one.images)
    return Text(_joined(spoken.values()), reasoning=_joined(thought.values()), plain=plain)


def _calls(said: Said) -> list[str]:
    """Names and arguments. Those of several calls in one stream come out mixed, which is why they aren't `plain`."""
    functions = [said.function_call, *(call.function for call in said.tool_calls or ())]
    texts = [text for function in functions for text in _function(function)]
    for call in said.tool_calls or ():
        if call.custom is not None:
            texts += [call.custom.name or "", call.custom.input or ""]
    return [text for text in texts if text]


def _function(function: Function | None) -> tuple[str, ...]:
    return () if function is None else (function.name or "", function.arguments or "")


def _joined(kinds: Iterable[list[str]]) -> tuple[str, ...]:
    return tuple("".join(pieces) for pieces in kinds)
