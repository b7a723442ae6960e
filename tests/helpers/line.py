"""A bare connection to a router: bytes as they are written, answers as they come."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2

from helpers.running import Running, chat
from helpers.simulated import read_reply
from tollway.client.wallet import Wallet


class Line:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> httpx2.Response:
        reply = await read_reply(self._reader)
        assert reply.status is not None
        return httpx2.Response(reply.status, headers=reply.headers, content=reply.body)

    async def interim(self) -> bytes:
        """An answer without a body, up to its blank line."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await self._reader.read()

    def end(self) -> None:
        """Send nothing more, and go on reading."""
        self._writer.write_eof()

    def leave(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(router: Running) -> AsyncIterator[Line]:
    place = urlsplit(router.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


BODY = json.dumps(chat()).encode()
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


def head(router: Running, wallet: Wallet, *, start: bytes = b"", **headers: Any) -> bytes:
    """A chat request up to where its framing would stand: the line, a host, a content-type, a sign-in."""
    lines = {"host": "x", **router.headers(wallet), **headers}
    start = start or b"POST /v1/chat/completions HTTP/1.1\r\n"
    return start + "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
