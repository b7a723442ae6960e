"""Connections: how many there may be, who gives way when there are as many, and what becomes of those whose other end
says nothing more."""

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from helpers.running import Running, chat, running
from helpers.settled import settled
from helpers.simulated import read_reply
from helpers.streaming import DONE, SMALL_BUFFER_BYTES, streaming
from helpers.until import still, until
from tollway.server import accepting, listener, unread

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


class Visit:
    """One connection to a router."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def healthy(self) -> bool:
        """Asks, and waits for the answer."""
        self.send(HEALTH)
        return (await read_reply(self.reader)).status == 200

    async def closed(self) -> bool:
        return await self.reader.read(1) == b""

    def leave(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def visits(router: Running, count: int) -> AsyncIterator[list[Visit]]:
    place, made = urlsplit(router.url), []
    try:
        while len(made) < count:
            made += [Visit(*await asyncio.open_connection(place.hostname, place.port))]
        yield made
    finally:
        for visit in made:
            visit.leave()


def connected(router: Running) -> int:
    return int(router.router.metrics.process.connections())


# --- as many as there may be


async def test_the_one_that_rested_longest_gives_way_to_who_comes() -> None:
    async with running(config="[server]\nmax_connections = 3\n") as router, visits(router, 3) as (a, b, c):
        for visit in (b, a, c):
            assert await visit.healthy()
        async with visits(router, 1) as (newcomer,):
            assert await newcomer.healthy()
            assert await b.closed()
            assert await a.healthy()
            assert await c.healthy()
            await until(lambda: connected(router) == 3)


async def test_a_flood_of_connections_that_say_nothing_keeps_nobody_out() -> None:
    async with running(config="[server]\nmax_connections = 20\n") as router:
        wallet = await router.wallet("1.00")
        async with visits(router, 200) as flood:
            assert (await router.post(wallet, chat())).status_code == 200
            assert connected(router) <= 20
            assert await flood[0].closed()
        await until(lambda: connected(router) <= 1)  # ours, kept alive


async def test_heads_that_never_end_keep_nobody_out() -> None:
    async with running(config="[server]\nmax_connections = 20\n") as router:
        wallet = await router.wallet("1.00")
        async with visits(router, 60) as flood:
            for visit in flood:
                visit.send(b"GET /healthz HTTP/1.1\r\nhost:")
            assert (await router.post(wallet, chat())).status_code == 200


async def test_who_is_being_served_never_gives_way_and_who_comes_then_waits() -> None:
    async with running({"sim": "barrier=b"}, config="[server]\nmax_connections = 2\n") as router:
        wallet = await router.wallet("1.00")
        calls = [asyncio.ensure_future(router.post(wallet, chat(stream=True))) for _ in range(2)]
        await router.simulator.waiting("b", 2)
        async with visits(router, 1) as (waiting,):
            asking = asyncio.ensure_future(waiting.healthy())
            await still(lambda: connected(router), 5 * accepting.FULL_S)
            assert connected(router) == 2
            assert not asking.done()
            router.simulator.release("b")
            assert await asking
        assert [(await call).text.endswith(f"data: {DONE}\n\n") for call in calls] == [True, True]


async def test_a_reload_changes_how_many_there_may_be() -> None:
    async with running(config="[server]\nmax_connections = 5\n") as router, visits(router, 5):
        await until(lambda: connected(router) == 5)
        assert await router.reload(("max_connections = 5", "max_connections = 6"))
        async with visits(router, 1) as (sixth,):
            assert await sixth.healthy()
            assert connected(router) == 6


async def test_a_flood_is_one_alarm(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with running(config="[server]\nmax_connections = 2\n") as router, visits(router, 20) as flood:
        assert await flood[-1].healthy()
        assert caplog.text.count("connections_full") == 1
        assert "2 connections are open; at rest: 2" in caplog.text


async def test_a_system_without_files_is_waited_for_and_not_asked_in_a_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "SHORT_S", 0.01)
    failed = 0

    def accept(self: socket.socket) -> Any:
        nonlocal failed
        if failed < 5:
            failed += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return taken(self)

    async with running() as router:
        taken = socket.socket.accept
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "accept", accept)
            async with visits(router, 1) as (visit,):
                assert await visit.healthy()
    assert failed == 5
    assert caplog.text.count("no connection can be taken in: Too many open files") == 1


# --- whose other end says nothing more


async def test_the_system_is_told_to_find_out_about_ends_that_vanished() -> None:
    async with running() as router, visits(router, 1) as (visit,), contextlib.AsyncExitStack() as stack:
        assert await visit.healthy()
        (server_end,) = accepted(router)
        stack.callback(server_end.close)
        assert server_end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert server_end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert server_end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 120_000


def accepted(router: Running) -> list[socket.socket]:
    """This process's ends of connections to the router, on the router's side."""
    port, found = urlsplit(router.url).port, []
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):
            end = socket.socket(fileno=os.dup(int(entry.name)))
            with contextlib.suppress(OSError):
                if end.getsockname()[1:] == (port,) and end.getpeername():  # what listens has no peer
                    found.append(end)
            if end not in found:
                end.close()
    return found


@contextlib.asynccontextmanager
async def deaf(router: Running, request: bytes) -> AsyncIterator[socket.socket]:
    """A caller that asks and never reads."""
    place, loop = urlsplit(router.url), asyncio.get_running_loop()
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        end.setblocking(False)
        await loop.sock_connect(end, (place.hostname, place.port))
        asking = asyncio.ensure_future(loop.sock_sendall(end, request))
        try:
            yield end
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await asking


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks are more frequent, and nothing is added to the time that a reader has."""
    monkeypatch.setattr(listener, "LOOK_S", 0.05)
    monkeypatch.setattr(unread, "MARGIN_S", 0.3)


IMPATIENT = '[server]\nslow_reader = "200ms"\n'


@pytest.mark.usefixtures("quick")
async def test_a_batch_answer_that_nobody_reads_is_booked_and_given_up_and_its_memory_with_it() -> None:
    async with running({"sim": "tokens=1000"}, config=IMPATIENT) as router:
        wallet = await router.wallet("1.00")
        asked = chat(n=8, logprobs=True, top_logprobs=20)  # an answer of over 10 MB: more than the system takes
        body = json.dumps(asked).encode()
        lines = {**router.headers(wallet), "host": "x", "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        async with deaf(router, f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body) as end:
            assert (await settled(router, wallet))["ended"] == "complete"
            await router.http.aclose()
            await until(lambda: connected(router) == 0)
            await until(lambda: end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)


@pytest.mark.usefixtures("quick")
async def test_answers_that_pile_up_unread_end_the_connection() -> None:
    async with running(config=IMPATIENT) as router:
        async with deaf(router, b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 500):  # 50 MB in all
            await until(lambda: connected(router) == 1)
            await until(lambda: connected(router) == 0)
        assert router.router.services.pipeline.running.__len__() == 0


@pytest.mark.usefixtures("quick")
async def test_the_rest_of_a_stream_that_was_cut_for_a_slow_reader_does_not_keep_its_connection() -> None:
    async with running({"sim": "tokens=1000"}, config=IMPATIENT) as router:
        wallet = await router.wallet("2.00")
        async with streaming(router, wallet, chat(stream=True, n=128), small_buffer=True):
            assert (await settled(router, wallet))["ended"] == "cut_by_router"
            await router.http.aclose()  # with the connections that asked for the books
            await until(lambda: connected(router) == 0)
