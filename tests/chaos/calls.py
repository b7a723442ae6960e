"""One client's call: what it asks, on a bare socket, and what it saw of the answer, however that ended."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from helpers.simulated import Reply, read_chunk, read_head
from tollway.domain.money import parse_usd

SIGN_IN_URL = "http://chaos.example"  # what wallets sign for, whichever router they come to
MAX_TOKENS = 60
HEAD_BYTES_MAX = 1 << 20


@dataclass(frozen=True)
class Kind:
    """A way that calls go: how the providers behave, and what the client does."""

    name: str
    scenario: str
    stream: bool = False
    usage: bool = False  # the client asks for the usage chunk
    leave_after: int | None = None  # events; 0: before anything came
    exact: bool = True  # the provider counts: what a whole answer costs is known to a nano-USD
    free: bool = False  # a whole answer costs nothing


KINDS = {
    kind.name: kind
    for kind in (
        Kind("batch", "tokens={tokens}"),
        Kind("slow_batch", "tokens={tokens},delay=15ms"),
        Kind("stream", "tokens={tokens},gap=1ms", stream=True, usage=True),
        Kind("bare_stream", "tokens={tokens},burst=8", stream=True),
        Kind("reasoning", "tokens={tokens},reasoning=9", stream=True, usage=True),
        Kind("failed", "status=503", stream=True),
        Kind("failed_batch", "fault=not_json"),
        Kind("cut", "tokens={tokens},fault=cut@7", stream=True, usage=True),
        Kind("cut_batch", "tokens={tokens},fault=cut"),
        Kind("error_frame", "tokens={tokens},fault=error@5", stream=True),
        Kind("flaky", "tokens={tokens},fault=close,fault_rate=0.5,seed={seed}", stream=True, usage=True),
        Kind("flaky_batch", "tokens={tokens},fault=reset,fault_rate=0.5,seed={seed}"),
        Kind("uncounted", "tokens={tokens},usage=missing", stream=True, usage=True, exact=False),
        Kind("uncounted_batch", "tokens={tokens},usage=missing", exact=False),
        Kind("absurd", "tokens={tokens},usage=absurd", stream=True, usage=True, exact=False),
        Kind("finish_error", "tokens={tokens},finish=error", stream=True, usage=True, free=True),
        Kind("nothing", "fault=empty", stream=True, usage=True, free=True),
        Kind("left", "tokens={tokens},gap=2ms", stream=True, leave_after=6, exact=False),
        Kind("left_early", "tokens={tokens},first=30ms", stream=True, leave_after=0, exact=False),
        Kind("left_batch", "tokens={tokens},delay=10ms", leave_after=0),
    )
}
WEIGHTS = {"batch": 5, "stream": 6, "bare_stream": 3, "slow_batch": 2, "flaky": 2}


@dataclass(frozen=True)
class Asked:
    """`tag` is in the request's id, which the books keep, and in its text, which the providers see."""

    tag: str
    kind: Kind
    wallet: int
    body: bytes

    @property
    def text(self) -> str:
        return str(json.loads(self.body)["messages"][0]["content"])


@dataclass
class Seen:
    """What came back. A call that was broken off has neither an ending nor an error."""

    asked: Asked
    status: int | None = None
    request_id: str | None = None
    whole: bool = False  # the answer had its ending: a finish reason, or all of a batch
    error: str | None = None  # the code of an error status or an error frame
    retry_after: bool = False
    charged: int | None = None  # nano-USD, as the answer says
    text_bytes: int = 0
    left: bool = False  # the client went away by itself
    refused: bool = False  # nobody listened

    @property
    def broken(self) -> bool:
        return not (self.whole or self.error or self.left)


def draw_call(draw: random.Random, tag: str, wallets: int, kinds: Mapping[str, Kind] = KINDS) -> Asked:
    names = list(kinds)
    kind = kinds[draw.choices(names, [WEIGHTS.get(name, 1) for name in names])[0]]
    scenario = kind.scenario.format(tokens=draw.randint(8, MAX_TOKENS), seed=draw.randrange(1 << 30))
    return ask(tag, kind, scenario, draw.randrange(wallets))


def ask(tag: str, kind: Kind, scenario: str, wallet: int) -> Asked:
    body: dict[str, Any] = {
        "model": "sim/model",
        "max_tokens": MAX_TOKENS,
        "stream": kind.stream,
        "messages": [{"role": "user", "content": f"{tag} simulate: {scenario}"}],
    }
    if kind.usage:
        body["stream_options"] = {"include_usage": True}
    return Asked(tag, kind, wallet, json.dumps(body).encode())


async def ready(place: tuple[str, int]) -> bool:
    """What GET /readyz says."""
    try:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(b"GET /readyz HTTP/1.1\r\nhost: chaos.example\r\nconnection: close\r\n\r\n")
        head = await read_head(reader)
        writer.transport.abort()
    except (OSError, EOFError):
        return False
    return head.status == 200


async def call(place: tuple[str, int], sign_in: str, asked: Asked) -> Seen:
    """Ask once, never again."""
    seen = Seen(asked)
    try:
        reader, writer = await asyncio.open_connection(*place, limit=HEAD_BYTES_MAX)
    except OSError:
        seen.refused = True
        return seen
    try:
        writer.write(
            b"POST /api/v1/chat/completions HTTP/1.1\r\nhost: chaos.example\r\ncontent-type: application/json\r\n"
            + f"sign-in-with-x: {sign_in}\r\nx-request-id: {asked.tag}\r\n".encode()
            + f"content-length: {len(asked.body)}\r\n\r\n".encode()
            + asked.body
        )
        await writer.drain()
        await _read(reader, seen)
    except (OSError, EOFError):
        pass
    finally:
        writer.transport.abort()
    return seen


async def _read(reader: asyncio.StreamReader, seen: Seen) -> None:
    kind = seen.asked.kind
    if kind.leave_after == 0:
        await asyncio.sleep(0.005)  # a moment in the middle of the call, whatever it is
        seen.left = True
        return
    head = await read_head(reader)
    seen.status = head.status
    seen.request_id = head.headers.get("x-request-id")
    seen.retry_after = "retry-after" in head.headers
    if "content-length" in head.headers:
        body = json.loads(await reader.readexactly(int(head.headers["content-length"])))
        if head.status == 200:
            _take_batch(body, seen)
        else:
            seen.error = body["error"]["code"]
        return
    await _read_stream(reader, seen)


def _take_batch(body: dict[str, Any], seen: Seen) -> None:
    seen.whole = True
    seen.charged = parse_usd(body["usage"]["cost"])
    seen.text_bytes = sum(len((choice["message"]["content"] or "").encode()) for choice in body["choices"])


@dataclass
class _Events:
    """Cuts a stream into the payloads of its events."""

    held: bytes = b""
    count: int = 0
    payloads: list[str] = field(default_factory=list)

    def take(self, chunk: bytes) -> list[str]:
        *whole, self.held = (self.held + chunk).split(b"\n\n")
        found = Reply(chunks=[b"".join(event + b"\n\n" for event in whole)]).payloads()
        self.count += len(found)
        return found


async def _read_stream(reader: asyncio.StreamReader, seen: Seen) -> None:
    events = _Events()
    while chunk := await read_chunk(reader):
        for payload in events.take(chunk):
            if payload != "[DONE]":
                _take_event(json.loads(payload), seen)
        if seen.asked.kind.leave_after is not None and events.count >= seen.asked.kind.leave_after:
            seen.left = not seen.whole and seen.error is None
            return


def _take_event(event: dict[str, Any], seen: Seen) -> None:
    if "error" in event:
        seen.error = event["error"]["code"]
        return
    for choice in event["choices"]:
        delta = choice["delta"]
        seen.text_bytes += sum(len((delta.get(name) or "").encode()) for name in ("content", "reasoning_content"))
        seen.whole = seen.whole or choice["finish_reason"] is not None
    usage = event.get("usage")
    if usage is not None:
        seen.whole = True
        seen.charged = parse_usd(usage["cost"])
