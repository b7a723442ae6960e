"""How a chat completion is read: what of it is generated text, and what is not, in a whole answer and in a chunk.

The usual shape is decoded straight into small structs that hold only what the router acts on. A value of an unusual
type makes no answer damaged: it is read again without expectations. Nothing is translated or encoded here.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from tollway.wire import json
from tollway.wire.structure import check_structure

# A long text of nothing but `{}` becomes objects twenty times its size, and everybody waits while they are made. What
# is real has less: 16,000 tokens with 20 alternatives each come to 1.7 million arrays, objects and members.
NODES_MAX = 2_000_000


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class Custom(msgspec.Struct, gc=False):
    name: str | None = None
    input: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    function: Function | None = None
    custom: Custom | None = None


class Said(msgspec.Struct, gc=False):
    """A choice's `delta` or `message`. `reasoning_content` is DeepSeek's and vLLM's, `reasoning` OpenRouter's name for
    the same text (some send both); `images` OpenRouter's for generated pictures."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Any = None
    images: list[Any] | None = None

    def has_more(self) -> bool:
        """Anything generated beside `content`."""
        return bool(
            self.reasoning_content
            or self.reasoning
            or self.refusal
            or self.tool_calls
            or self.function_call
            or self.audio
            or self.images
        )

    def thinks(self) -> bool:
        return bool(self.reasoning_content or self.reasoning)

    def text_bytes(self) -> int:
        """UTF-8 bytes of all generated text."""
        size = utf8_size(self.content)
        if not self.has_more():
            return size
        size += utf8_size(self.reasoning_content or self.reasoning) + utf8_size(self.refusal)
        for call in self.tool_calls or ():
            size += _function_size(call.function)
            if call.custom is not None:
                size += utf8_size(call.custom.name) + utf8_size(call.custom.input)
        return size + _function_size(self.function_call)


class Choice(msgspec.Struct, gc=False):
    index: int = 0
    finish_reason: str | None = None
    delta: Said | None = None
    message: Said | None = None


class Completion(msgspec.Struct, gc=False):
    """A whole answer, or one chunk of a stream. What is absent and what is null are the same, but for `tollway`."""

    id: str | None = None
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    tollway: Any = UNSET


class Damaged(ValueError):
    """Not JSON, or no object, or not UTF-8."""


# For the hot path: ValueError for whatever isn't usual; UTF-8 is checked only in what is read.
decode_usual: Callable[[bytes], Completion] = json.decoder(Completion)

# Once it is known how deep the text is.
_decode_usual: Callable[[bytes], Completion] = json.unchecked_decoder(Completion).decode
_top_level: Callable[[bytes], dict[str, msgspec.Raw]] = json.unchecked_decoder(dict[str, msgspec.Raw]).decode


def read_completion(payload: bytes) -> tuple[Completion, bytes]:
    """`payload` read, and `payload` itself: mended when it had to be (see `_mended`). Raises Damaged."""
    try:
        if len(payload) > json.DEPTH_MAX:
            check_structure(payload, max_depth=json.DEPTH_MAX, max_nodes=NODES_MAX)
        if not payload.isascii():
            payload.decode()
        try:
            return _decode_usual(payload), payload
        except json.ValidationError:
            return _tolerant(payload), payload
        except json.DecodeError:
            mended = _mended(payload)
            if mended == payload:
                raise
            return _tolerant(mended), mended
    except ValueError as error:
        raise Damaged(f"not a JSON object: {error}") from None


def read_whole(payload: bytes) -> tuple[Completion, dict[str, msgspec.Raw]]:
    """A whole answer, and its top level with values byte-faithful. Raises Damaged."""
    completion, payload = read_completion(payload)
    return completion, _top_level(payload)


def _function_size(function: Function | None) -> int:
    return 0 if function is None else utf8_size(function.name) + utf8_size(function.arguments)


def utf8_size(text: str | None) -> int:
    if not text:
        return 0
    return len(text) if text.isascii() else len(text.encode())


# An escaped surrogate pair, an escaped lone surrogate (the group), or any other escape.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def _mended(payload: bytes) -> bytes:
    """Lone surrogates become U+FFFD. Servers that cut text by UTF-16 units send an emoji as "\\ud83d" in one chunk and
    "\\ude00" in the next: JSON's grammar allows it, and clients can join the halves; our decoder refuses them."""
    return _ESCAPES.sub(lambda match: rb"\ufffd" if match[1] else match[0], payload)


def _tolerant(payload: bytes) -> Completion:
    fields = json.decode_fields(payload)
    response_id = _value(fields.get("id"))
    choices = _value(fields.get("choices"))
    usage = fields.get("usage")
    return Completion(
        id=_str(response_id),
        choices=[_choice(choice) for choice in choices if isinstance(choice, dict)]
        if isinstance(choices, list)
        else None,
        usage=None if usage is None or bytes(usage) == b"null" else usage,
        error=_value(fields.get("error")),
        tollway=fields.get("tollway", UNSET),
    )


def _value(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else json.decode(bytes(raw))


def _choice(value: dict[str, Any]) -> Choice:
    index = value.get("index")
    return Choice(
        index=index if isinstance(index, int) and not isinstance(index, bool) else 0,
        finish_reason=_str(value.get("finish_reason")),
        delta=_said(value.get("delta")),
        message=_said(value.get("message")),
    )


def _said(value: Any) -> Said | None:
    if not isinstance(value, dict):
        return None
    others: list[Any] = []
    content = _text(value.get("content"), others)
    images = value.get("images")
    tools = value.get("tool_calls")
    return Said(
        content=content,
        reasoning_content=_text(value.get("reasoning_content"), others),
        reasoning=_text(value.get("reasoning"), others),
        refusal=_text(value.get("refusal"), others),
        tool_calls=[_tool_call(tool) for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else None,
        function_call=_function(value.get("function_call")),
        audio=value.get("audio"),
        images=others + (images if isinstance(images, list) else []),
    )


def _tool_call(value: dict[str, Any]) -> ToolCall:
    custom = value.get("custom")
    return ToolCall(
        function=_function(value.get("function")),
        custom=Custom(_str(custom.get("name")), _json_text(custom.get("input"))) if isinstance(custom, dict) else None,
    )


def _function(value: Any) -> Function | None:
    return Function(_str(value.get("name")), _json_text(value.get("arguments"))) if isinstance(value, dict) else None


def _text(value: Any, others: list[Any]) -> str | None:
    """The text of a string, or of a list of content parts (Mistral's `text` and `thinking`); parts without any text go
    to `others`."""
    if not isinstance(value, list):
        return _str(value)
    pieces = []
    for part in value:
        inner = part
        if isinstance(part, dict):
            inner = next((part[key] for key in ("text", "thinking", "refusal") if key in part), None)
        text = _text(inner, others)
        if text is not None:
            pieces.append(text)
        elif part is not None:
            others.append(part)
    return "".join(pieces)


def _json_text(value: Any) -> str | None:
    """Arguments are a string of JSON; some servers send the object itself."""
    return value if isinstance(value, str) or value is None else json.encode(value).decode()


def _str(value: Any) -> str | None:
    return value if isinstance(value, str) else None
