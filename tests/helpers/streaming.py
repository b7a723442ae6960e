"""A client of a router's stream on a bare socket: reads event by event, pauses, and leaves when a test says so."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from helpers.running import Running
from helpers.simulated import Reply, read_chunk, read_head
from tollway.client.wallet import Wallet

DONE = "[DONE]"
SMALL_BUFFER_BYTES = 16 << 10


class Stream:
    """One request under way. Events come as they were sent: text up to its blank line, comments included."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._held = b""
        self.head: Reply | None = None
        self.events: list[str] = []  # all that have been read

    async def opened(self) -> Reply:
        """Status and headers."""
        if self.head is None:
            self.head = await read_head(self._reader)
        return self.head

    async def request_id(self) -> str:
        return (await self.opened()).headers["x-request-id"]

    async def event(self) -> str | None:
        """The next event; None at the proper end of the body. IncompleteReadError when the connection just ends."""
        await self.opened()
        while b"\n\n" not in self._held:
            chunk = await read_chunk(self._reader)
            if not chunk:
                assert not self._held, f"the stream ends in the middle of an event: {self._held!r}"
                return None
            self._held += chunk
        event, _, self._held = self._held.partition(b"\n\n")
        self.events.append(event.decode())
        return self.events[-1]

    async def data(self) -> Any:
        """The next event's payload: the decoded chunk, or [DONE]. Anything but one data line fails the test."""
        return payload(await self.event() or "")

    async def rest(self) -> list[str]:
        """Every event up to the end of the body."""
        rest: list[str] = []
        while (event := await self.event()) is not None:
            rest.append(event)
        return rest

    async def body(self) -> Any:
        """The JSON of an answer that is no stream."""
        head = await self.opened()
        return json.loads(await self._reader.readexactly(int(head.headers["content-length"])))

    def leave(self) -> None:
        """Close the connection, whatever is still to come."""
        self._writer.transport.abort()


def payload(event: str) -> Any:
    assert event.startswith("data: "), event
    assert "\n" not in event, event
    data = event.removeprefix("data: ")
    return data if data == DONE else json.loads(data)


def content(events: list[str], choice: int = 0) -> str:
    """The text of one choice, from the events of a clean stream."""
    chunks = [chunk for chunk in map(payload, events) if chunk != DONE]
    entries = [entry for chunk in chunks for entry in chunk["choices"] if entry["index"] == choice]
    return "".join(entry["delta"].get("content") or "" for entry in entries)


def finishes(events: list[str]) -> dict[int, str]:
    """The finish_reason of each choice that has one."""
    chunks = [chunk for chunk in map(payload, events) if chunk != DONE]
    entries = [entry for chunk in chunks for entry in chunk["choices"] if entry["finish_reason"]]
    return {entry["index"]: entry["finish_reason"] for entry in entries}


@contextlib.asynccontextmanager
async def streaming(
    router: Running, wallet: Wallet, body: Mapping[str, Any], *, small_buffer: bool = False, **headers: str
) -> AsyncIterator[Stream]:
    """Send a chat request and hand its answer over unread. `small_buffer`: the client's side holds little unread."""
    place = urlsplit(router.url)
    sock = socket.socket()
    if small_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (place.hostname, place.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=SMALL_BUFFER_BYTES)
    try:
        content = json.dumps(dict(body)).encode()
        lines = {**router.headers(wallet), "host": place.netloc, "content-length": str(len(content)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"POST /api/v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + content)
        await writer.drain()
        yield Stream(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def caught_up(router: Running) -> None:
    """Return once the router has dealt with everything that reached it before: requests that come later are answered,
    and its loop, which is the test's own, has gone round with nothing left to do."""
    for _ in range(2):
        assert (await router.http.get("/healthz")).status_code == 200
