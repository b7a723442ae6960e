"""A raw server in a thread of its own, for commands that a test waits for."""

import asyncio
import contextlib
import datetime as dt
import ssl
import threading
from collections.abc import Callable, Iterator
from email.utils import format_datetime

from helpers.commands import TIMEOUT_S
from helpers.raw_server import Connection, RawServer, Received, Script


@contextlib.contextmanager
def playing(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """A server that plays `script`; closed on the way out."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = RawServer(script, tls=tls)
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(TIMEOUT_S)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def answering(answer: Callable[[Received], tuple[int, bytes]], date: dt.datetime | None = None) -> Script:
    """Each request gets a status and a body, with a Date: the present, unless one is given."""

    async def script(connection: Connection) -> None:
        while request := await connection.request():
            status, body = answer(request)
            now = format_datetime(date or dt.datetime.now(dt.UTC), usegmt=True)
            head = f"HTTP/1.1 {status} X\r\nDate: {now}\r\nContent-Length: {len(body)}\r\n\r\n"
            await connection.send(head.encode() + body)

    return script
