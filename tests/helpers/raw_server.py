"""A server that plays exact bytes on real sockets: what no HTTP library would send, when a test says so."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class Received:
    """One request as it came: the request line, header lines as name and value, the body."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class Connection:
    """One accepted connection, in the hands of the test's script."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[Received] = field(default_factory=list)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)  # the client closed it

    async def head(self) -> tuple[str, tuple[tuple[str, str], ...]] | None:
        """The next request's line and headers; None when the client has closed."""
        try:
            data = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            self.dropped.set()
            return None
        line, *lines = data.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (text.partition(":") for text in lines)
        return line, tuple((name, value.strip()) for name, _, value in pairs)

    async def request(self) -> Received | None:
        """The next request, whole; None when the client has closed."""
        head = await self.head()
        if head is None:
            return None
        received = Received(*head, b"")
        length = int(received.header("content-length") or 0)
        received = Received(*head, await self.reader.readexactly(length))
        self.requests.append(received)
        return received

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def wait_dropped(self) -> None:
        """Until the client has closed or reset the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.dropped.set()

    def reset(self) -> None:
        """End the connection with a TCP reset, not a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


class RawServer:
    """`async with RawServer(script) as server`: each connection is handed to `script` and closed when it returns.

    An error in a script fails the test when the server is left."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, backlog: int = 1024) -> None:
        self._script = script
        self._tls = tls
        self._backlog = backlog
        self._errors: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: list[Connection] = []

    @property
    def requests(self) -> list[Received]:
        return [request for connection in self.connections for request in connection.requests]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "RawServer":
        self._server = await asyncio.start_server(
            self._accepted, "127.0.0.1", 0, ssl=self._tls, backlog=self._backlog, limit=1 << 20
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._errors and error is None:
            raise self._errors[0]

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(reader, writer)
        self.connections.append(connection)
        try:
            await self._script(connection)
        except asyncio.CancelledError:
            pass  # the server was left
        except Exception as error:
            self._errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError):
                await writer.wait_closed()


def client_sockets(port: int) -> Iterator[socket.socket]:
    """This process's own sockets that are connected to `port` on 127.0.0.1, as duplicates to look at."""
    for fd in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        try:
            copy = os.dup(fd)
        except OSError:
            continue  # gone since it was listed
        try:
            duplicate = socket.socket(fileno=copy)
        except OSError:  # no socket
            os.close(copy)
            continue
        with duplicate:
            try:
                peer = duplicate.getpeername()
            except OSError:
                continue
            if isinstance(peer, tuple) and peer[:2] == ("127.0.0.1", port):
                yield duplicate
