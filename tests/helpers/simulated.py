"""A raw HTTP/1.1 client for the simulator: it shows the wire as it was, broken or not."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tollway.simulator import Simulator

MESSAGES = [{"role": "user", "content": "Say something."}]
HEAD_LIMIT = 1 << 20


@dataclass
class Reply:
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)  # HTTP chunks, or the body as one
    complete: bool = False  # the framing says that this is all
    reset: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def json(self) -> Any:
        return json.loads(self.body)

    def payloads(self) -> list[str]:
        """The data of each SSE event, lines joined as the standard says."""
        text = self.body.decode("utf-8-sig").replace("\r\n", "\n")
        events = [[line[6:] for line in event.split("\n") if line.startswith("data: ")] for event in text.split("\n\n")]
        return ["\n".join(lines) for lines in events if lines]

    def chunk_objects(self) -> list[Any]:
        return [json.loads(payload) for payload in self.payloads() if payload != "[DONE]"]

    def text(self, choice: int = 0, member: str = "content") -> str:
        deltas = [
            entry["delta"] for event in self.chunk_objects() for entry in event["choices"] if entry["index"] == choice
        ]
        return "".join(delta.get(member) or "" for delta in deltas)

    def finishes(self) -> list[str]:
        choices = [entry for event in self.chunk_objects() for entry in event["choices"]]
        return [entry["finish_reason"] for entry in choices if entry["finish_reason"]]

    def usages(self) -> list[Any]:
        return [event["usage"] for event in self.chunk_objects() if event.get("usage") is not None]


def request_bytes(body: bytes, headers: dict[str, str] | None = None, *, version: str = "1.1") -> bytes:
    lines = [f"POST /v1/chat/completions HTTP/{version}", "host: simulator", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chat_body(model: str, *, stream: bool = False, **fields: Any) -> bytes:
    return json.dumps({"model": model, "stream": stream, "messages": MESSAGES, **fields}).encode()


async def send(sim: Simulator, data: bytes) -> Reply:
    """Send `data` on a new connection and read one answer to its end, however it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port, limit=HEAD_LIMIT)
    try:
        writer.write(data)
        return await read_reply(reader)
    finally:
        writer.close()


async def ask(
    sim: Simulator, spec: str = "", *, stream: bool = False, headers: dict[str, str] | None = None, **fields: Any
) -> Reply:
    """One chat request for the model `sim?spec`."""
    body = chat_body(f"sim?{spec}" if spec else "sim", stream=stream, **fields)
    return await send(sim, request_bytes(body, headers))


async def control(sim: Simulator, method: str, target: str) -> Reply:
    return await send(sim, f"{method} {target} HTTP/1.1\r\nhost: simulator\r\n\r\n".encode())


async def read_head(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    return Reply(status=int(head[0].split()[1]), headers={name.lower(): value for name, value in pairs})


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    reply = Reply()
    try:
        reply = await read_head(reader)
        if "content-length" in reply.headers:
            await _read_counted(reader, reply, int(reply.headers["content-length"]))
        elif "transfer-encoding" in reply.headers:
            while chunk := await read_chunk(reader):
                reply.chunks.append(chunk)
            reply.complete = True
        else:
            reply.chunks.append(await reader.read())
            reply.complete = True
    except asyncio.IncompleteReadError as error:
        reply.chunks.append(error.partial)
    except ConnectionResetError:
        reply.reset = True
    return reply


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """One HTTP chunk; b"" for the last."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def _read_counted(reader: asyncio.StreamReader, reply: Reply, length: int) -> None:
    while (left := length - len(reply.body)) > 0:
        data = await reader.read(left)
        if not data:
            return
        reply.chunks.append(data)
    reply.complete = True
