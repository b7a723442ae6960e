"""The dialects, as the conformance suite speaks them: what a provider of each API would write, and what of a request
it would read. A new dialect is one more Home in HOMES."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tollway.config.schema import DialectName
from tollway.domain.seams import HttpRequest
from tollway.wire import json


class Home(Protocol):
    """A provider's side of one API. Texts, reasons and counts are OpenAI's; how they are written is the provider's.
    Every answer and stream has the id "x-1" and `prompt` + `completion` tokens, of which `cached` are read from a
    cache."""

    base_url: str

    def read(self, request: HttpRequest) -> "Asked":
        """What the provider understands of a request."""

    def answer(self, text: str, finish: str, *, prompt: int, completion: int, cached: int) -> bytes: ...

    def stream(self, texts: Sequence[str], finish: str, *, prompt: int, completion: int, cached: int) -> list[bytes]:
        """Its events, whole with their blank lines; the last one says that it is at its end. The first has no text."""

    def error(self, message: str) -> bytes:
        """The body of an answer with an error's status; with status 200 too."""

    def error_event(self, message: str) -> bytes: ...


class Asked(dict[str, Any]):
    """model, key, stream (whether), max_tokens (None: no cap), user (None: nobody's), text (of the last message)."""


class OpenAI:
    base_url = "https://api.example.com/v1"

    def read(self, request: HttpRequest) -> Asked:
        body = json.decode(request.body)
        return Asked(
            model=body["model"],
            key=dict(request.headers)["authorization"].removeprefix("Bearer "),
            stream=body.get("stream", False),
            max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
            user=body.get("user"),
            text=body["messages"][-1]["content"],
        )

    def answer(self, text: str, finish: str, **counts: int) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        whole = {"id": "x-1", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice]}
        return json.encode(whole | {"usage": _usage(**counts)})

    def stream(self, texts: Sequence[str], finish: str, **counts: int) -> list[bytes]:
        deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts)]
        events = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        events.append(_chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
        return [*events, _chunk([], usage=_usage(**counts)), b"data: [DONE]\n\n"]

    def error(self, message: str) -> bytes:
        return json.encode({"error": {"message": message}})

    def error_event(self, message: str) -> bytes:
        return b"data: " + self.error(message) + b"\n\n"


def _usage(*, prompt: int, completion: int, cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _chunk(choices: list[Any], **more: Any) -> bytes:
    whole = {"id": "x-1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices}
    return b"data: " + json.encode(whole | more) + b"\n\n"


HOMES: Mapping[DialectName, Home] = {"openai": OpenAI()}
