"""How large a prompt is, without a tokenizer: the bytes of its text, its messages, and its parts that are no text.

Theory. A token of text is at least one byte, so a prompt's text in UTF-8 bounds its tokens. What is measured must bound
every reading of the bytes that are forwarded, whichever of two repeated keys a provider takes:

- Messages that hold nothing but text are forwarded as they came. Typed decoding checks each occurrence of each key, so
  no image hides behind a repeated `content`, and their size is what all of them take in the body, less the least that
  JSON's own punctuation takes.
- Other messages are written anew from their decoded members (values byte for byte), after which no key of a message or
  a part is there twice; each member is measured by itself.

Escapes: a JSON string is never shorter than its text in UTF-8. A two-byte escape stands for one byte at least one
shorter, `\\uNNNN` for at most three, a surrogate pair (twelve) for four.
"""

from typing import Literal

import msgspec

from tollway.domain.errors import RequestError
from tollway.intake.limits import Limits
from tollway.intake.schema import NULL, check_word, place, shown
from tollway.wire.json import Raw, ValidationError, encode, unchecked_decoder

# Members of a message that are text whatever their shape: each byte is counted, and nothing else is needed.
TEXT_MEMBERS = frozenset(
    {
        "role",
        "name",
        "tool_calls",
        "tool_call_id",
        "function_call",
        "refusal",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "cache_control",
        "annotations",
        "prefix",
    }
)
TEXT_PARTS = {"text": "text", "refusal": "refusal"}  # part type -> its member with the text
TEXT_PART_MEMBERS = frozenset({"cache_control", "annotations"})

# Where a part carries its data inline: bytes that are no text. Anything else of a part is counted as text too.
INLINE_DATA: dict[str, tuple[str, str]] = {
    "image_url": ("image_url", "url"),
    "video_url": ("video_url", "url"),
    "audio_url": ("audio_url", "url"),
    "input_audio": ("input_audio", "data"),
    "file": ("file", "file_data"),
    "image": ("source", "data"),
    "document": ("source", "data"),
}

# Top-level fields that never reach the model as text. Every other one is counted whole: tools, functions,
# response_format, and whatever a vendor may put into the prompt.
NOT_PROMPT = frozenset(
    {
        "messages",  # counted by itself
        "model",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "n",
        "stop",
        "seed",
        "user",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "service_tier",
        "store",
        "metadata",
        "modalities",
        "audio",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
    }
)

_QUOTE = ord('"')

# The least that JSON takes for what every message, content and text part has.
_MESSAGE_BYTES = len('{"role":""},')
_CONTENT_BYTES = len('"content":"",')
_PART_BYTES = len('{"type":"text","text":""},')


class _TextPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    text: str
    cache_control: Raw = Raw(b"")


class _TextMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message of nothing but text, whichever of its repeated keys is taken."""

    role: str
    content: str | list[_TextPart] | None = None
    name: Raw = Raw(b"")
    tool_calls: Raw = Raw(b"")
    tool_call_id: Raw = Raw(b"")
    function_call: Raw = Raw(b"")
    refusal: Raw = Raw(b"")
    reasoning_content: Raw = Raw(b"")
    reasoning: Raw = Raw(b"")
    reasoning_details: Raw = Raw(b"")
    cache_control: Raw = Raw(b"")
    annotations: Raw = Raw(b"")
    prefix: Raw = Raw(b"")


_text_messages = unchecked_decoder(list[_TextMessage])
_messages = unchecked_decoder(list[dict[str, Raw]])
_content = unchecked_decoder(str | list[dict[str, Raw]] | None)
_string = unchecked_decoder(str)
_object = unchecked_decoder(dict[str, Raw])


class Measured:
    """What has been counted of a prompt so far."""

    __slots__ = ("messages", "parts", "text_bytes")

    def __init__(self) -> None:
        self.text_bytes = 0
        self.messages = 0
        self.parts: dict[str, int] = {}

    def add_part(self, kind: str) -> None:
        self.parts[kind] = self.parts.get(kind, 0) + 1


def measure(fields: dict[str, Raw], limits: Limits) -> Measured:
    """The size of the prompt in `fields`; `messages` in it is replaced when it had to be written anew.

    RequestError names the message, part or member that is wrong."""
    measured = Measured()
    raw = fields.get("messages")
    if raw is None:
        raise RequestError("messages is missing; it must be a non-empty array of messages.", param="messages")
    if not _measure_text(raw, measured):
        fields["messages"] = _measure_members(raw, measured)
    if measured.messages == 0:
        raise RequestError("messages is empty; it must have at least one message.", param="messages")
    if measured.messages > limits.max_messages:
        raise RequestError(
            f"messages has {measured.messages} entries; at most {limits.max_messages} are accepted.", param="messages"
        )
    for name in fields.keys() - NOT_PROMPT:
        measured.text_bytes += len(name.encode()) + len(fields[name])
    return measured


def _measure_text(raw: Raw, measured: Measured) -> bool:
    """The usual case: every message is text. False, and nothing measured, when one is not, or is wrong."""
    try:
        messages: list[_TextMessage] = _text_messages.decode(raw)
    except ValidationError:
        return False
    measured.messages = len(messages)
    punctuation = 1 + _MESSAGE_BYTES * len(messages)
    ascii_text = True
    for message in messages:
        content = message.content
        if isinstance(content, str):
            punctuation += _CONTENT_BYTES
            ascii_text = ascii_text and content.isascii()
        elif content is not None:
            punctuation += _CONTENT_BYTES + _PART_BYTES * len(content) - bool(content)  # no comma after the last
            ascii_text = ascii_text and all(part.text.isascii() for part in content)
    # Looking for escapes takes longer than all the rest. It is worth it where they may be most of the text: when it has
    # characters that the body has only as \\uNNNN.
    measured.text_bytes += (len(raw) if ascii_text else _text_size(raw)) - punctuation
    return True


def _measure_members(raw: Raw, measured: Measured) -> Raw:
    """Any case, member by member. Returns the messages written anew."""
    try:
        messages: list[dict[str, Raw]] = _messages.decode(raw)
    except ValidationError as fault:
        name = f"messages{place(fault)}"
        expected = "an array of messages" if name == "messages" else "an object with a role"
        raise RequestError(f"{name} must be {expected}.", param=name) from None
    measured.messages = len(messages)
    for index, message in enumerate(messages):
        _measure_message(f"messages[{index}]", message, measured)
    return Raw(encode(messages))


def _measure_message(name: str, message: dict[str, Raw], measured: Measured) -> None:
    _string_member(name, message, "role")
    for key, raw in message.items():
        if key == "content":
            message[key] = _measure_content(f"{name}.content", raw, measured)
        elif key == "role":
            measured.text_bytes += _text_size(raw) - 2
        else:
            _measure_other(name, key, raw, measured, textual=key in TEXT_MEMBERS)


def _measure_content(name: str, raw: Raw, measured: Measured) -> Raw:
    try:
        content: str | list[dict[str, Raw]] | None = _content.decode(raw)
    except ValidationError as fault:
        name += place(fault)
        raise RequestError(
            f"{name} is {shown(raw)}; content is null, a string or an array of parts.", param=name
        ) from None
    if isinstance(content, list):
        for index, part in enumerate(content):
            _measure_part(f"{name}[{index}]", part, measured)
        return Raw(encode(content))
    if content is not None:
        measured.text_bytes += _text_size(raw) - 2
    return raw


def _measure_part(name: str, part: dict[str, Raw], measured: Measured) -> None:
    kind = _string_member(name, part, "type")
    text_member = TEXT_PARTS.get(kind)
    if text_member is None:
        measured.add_part(check_word(f"{name}.type", kind))
        measured.text_bytes -= _inline_data(kind, part)
    for key, raw in part.items():
        if key == text_member and memoryview(raw)[0] == _QUOTE:
            measured.text_bytes += _text_size(raw) - 2
        elif key != "type":
            _measure_other(name, key, raw, measured, textual=text_member is None or key in TEXT_PART_MEMBERS)


def _measure_other(name: str, key: str, raw: Raw, measured: Measured, *, textual: bool) -> None:
    """A member counted byte by byte. One that isn't known to be text and has a structure may refer to something larger
    than itself (`images`, `audio`), so that it is a part too, of a kind with its own name."""
    if raw == NULL:
        return
    measured.text_bytes += len(key.encode()) + len(raw)
    if not textual and memoryview(raw)[0] in b"[{" and bytes(raw)[1:-1].strip():
        measured.add_part(check_word(f"{name}.{key[:80]}", key))


def _inline_data(kind: str, part: dict[str, Raw]) -> int:
    """The bytes of a part's data, when it carries them inline rather than naming a place."""
    member, key = INLINE_DATA.get(kind, ("", ""))
    if member not in part:
        return 0
    try:
        payload: dict[str, Raw] = _object.decode(part[member])
    except ValidationError:
        return 0
    data = payload.get(key)
    if data is None or (key == "url" and bytes(memoryview(data)[:6]) != b'"data:'):
        return 0
    return len(data)


def _string_member(name: str, members: dict[str, Raw], key: str) -> str:
    raw = members.get(key)
    if raw is None:
        raise RequestError(f"{name}.{key} is missing; it must be a string.", param=f"{name}.{key}")
    try:
        value: str = _string.decode(raw)
    except ValidationError:
        raise RequestError(f"{name}.{key} is {shown(raw)}; it must be a string.", param=f"{name}.{key}") from None
    return value


def _text_size(raw: Raw) -> int:
    """An upper bound of the UTF-8 bytes of all text in `raw`: its length, less what its escapes take too much."""
    data = bytes(raw)
    if b"\\" not in data:
        return len(data)
    data = data.replace(b"\\\\", b"?")  # an escaped backslash is one byte, and hides no other escape
    return len(data) - data.count(b"\\") - 2 * data.count(b"\\u")
