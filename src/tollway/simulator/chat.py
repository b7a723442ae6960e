"""A chat completion request as the simulator reads it: as strictly as OpenAI where it matters to an answer.

Prompt tokens are estimated, by a formula that a test can repeat: 3 for the request, and for each message 4 plus its
text's UTF-8 bytes divided by 4, rounded up, plus 85 for each content part that is no text."""

import re
from collections.abc import Collection
from typing import Any

import msgspec

from tollway.wire import json

CHOICES_MAX = 128  # OpenAI's limit on n
REQUEST_TOKENS = 3
MESSAGE_TOKENS = 4
PART_TOKENS = 85  # a low-detail image at OpenAI
ALTERNATIVES_MAX = 20  # OpenAI's limit on top_logprobs

MARKER = b"simulate:"
_MARKER = re.compile(r"simulate:\s*([A-Za-z_]+=\S*)")  # prose after the word is only prose


class Part(msgspec.Struct, gc=False):
    type: str = "text"
    text: str = ""


class Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[Part] | None = None


class StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct):
    """The fields that shape an answer; all others are accepted and ignored."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    # Read by form.py, whatever they are.
    response_format: Any = None
    tools: msgspec.Raw = msgspec.Raw(b"null")
    tool_choice: Any = None
    parallel_tool_calls: Any = None

    @property
    def alternatives(self) -> int | None:
        """How many are to be told beside each token; None where log probabilities aren't asked for."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def limit(self) -> int | None:
        """The most completion tokens a choice may have."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


class ChatRefused(ValueError):
    """A body that OpenAI would answer with 400; `param` names the field."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.param = param


def read_chat(body: bytes) -> ChatRequest:
    try:
        request = json.decode_as(body, ChatRequest)
    except json.ValidationError as error:
        field = re.search(r"\$\.(\w+)", str(error)) or re.search(r"field `(\w+)`", str(error))
        raise ChatRefused(str(error), field[1] if field else None) from error
    except (json.DecodeError, UnicodeDecodeError) as error:
        raise ChatRefused(f"the body is not JSON: {error}", None) from error
    if not request.messages:
        raise ChatRefused("messages must have at least one message", "messages")
    if request.n is not None and not 1 <= request.n <= CHOICES_MAX:
        raise ChatRefused(f"n must be from 1 to {CHOICES_MAX}", "n")
    if request.limit is not None and request.limit < 1:
        raise ChatRefused("max_tokens must be at least 1", "max_tokens")
    if request.top_logprobs is not None:
        if not 0 <= request.top_logprobs <= ALTERNATIVES_MAX:
            raise ChatRefused(f"top_logprobs must be from 0 to {ALTERNATIVES_MAX}", "top_logprobs")
        if not request.logprobs:
            raise ChatRefused("top_logprobs needs logprobs to be true", "top_logprobs")
    return request


def refuse_unknown(body: bytes, request: ChatRequest, names: Collection[str]) -> None:
    """Raises ChatRefused for a field, or a message's role, that is among `names`, as a strict look-alike does."""
    if found := sorted(json.decode_fields(body).keys() & names):
        raise ChatRefused(f"Extra inputs are not permitted: {found[0]}", found[0])
    for index, message in enumerate(request.messages):
        if message.role in names:
            raise ChatRefused(f"messages[{index}].role: unknown variant `{message.role}`", "messages")


def count_prompt(messages: list[Message]) -> int:
    """The documented formula; see the module's docstring."""
    total = REQUEST_TOKENS
    for message in messages:
        total += MESSAGE_TOKENS
        content = message.content
        if isinstance(content, str):
            total += _text_tokens(content)
        elif content:
            total += sum(_text_tokens(part.text) if part.type == "text" else PART_TOKENS for part in content)
    return total


def estimate_prompt_tokens(messages: list[dict[str, object]]) -> int:
    """The prompt tokens that the simulator reports for these messages, in a request's own form."""
    return count_prompt(msgspec.convert(messages, list[Message]))


def prompt_knobs(messages: list[Message]) -> str:
    """What stands after `simulate:` in the last user message, up to a blank; "" when that is no key=value."""
    for message in reversed(messages):
        if message.role == "user":
            content = message.content
            text = content if isinstance(content, str) else " ".join(part.text for part in content or ())
            found = _MARKER.search(text)
            return found[1] if found else ""
    return ""


def _text_tokens(text: str) -> int:
    return -(-(len(text) if text.isascii() else len(text.encode())) // 4)
