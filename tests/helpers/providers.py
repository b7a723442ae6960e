"""Providers beside the simulated ones: their configuration, and scripts that answer with exact bytes."""

import json
from typing import Any

from helpers.raw_server import Connection, Script

PROVIDER = """
[[providers]]
id = "{id}"
base_url = "{base_url}"
[[providers.models]]
id = "{model}"
upstream = "{upstream}"
context_length = {context_length}
max_output_tokens = 1000
price = {{ input = "1", output = "10" }}
"""

USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
EVENT_STREAM = "text/event-stream"


def provider(
    id: str, base_url: str, *, model: str = "raw/model", upstream: str = "raw", context_length: int = 100_000
) -> str:
    """TOML of a provider with one model, at the prices of helpers.running."""
    return PROVIDER.format(id=id, base_url=base_url, model=model, upstream=upstream, context_length=context_length)


def chunk(choice: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-raw", "object": "chat.completion.chunk", "created": 1, "model": "raw", "choices": choices}


def completion(content: str, **members: Any) -> dict[str, Any]:
    """A batch answer."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "chatcmpl-raw", "object": "chat.completion", "model": "raw", "choices": choices} | members


def sse(*payloads: Any) -> bytes:
    """One event each: text as it stands, anything else as JSON."""
    lines = [payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads]
    return b"".join(f"data: {line}\n\n".encode() for line in lines)


def answering(body: bytes, *, status: int = 200, type: str = "application/json", **headers: str) -> Script:
    """Answer every request with the same bytes. An underscore in a header's name stands for a dash."""
    lines = [f"HTTP/1.1 {status} Any", f"content-type: {type}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()

    async def script(connection: Connection) -> None:
        while await connection.request() is not None:
            await connection.send(head + body)

    return script
