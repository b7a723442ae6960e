"""What the way to providers costs alone: CPU microseconds a batch request (64 in flight, answers of 600 bytes) and a
streamed event (200 bytes each), of the process that asks, over real sockets to a bare server in a process of its own.

The lowest it can be is printed beside it: the same bytes by an asyncio protocol that neither parses nor pools."""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop

from tollway.domain.seams import HttpRequest, Transport
from tollway.upstream.http1.transport import Http1Transport

IN_FLIGHT = 64
STREAMS = 200
EVENTS = 100  # a stream
GAP_S = 0.02
ROUNDS = 5
BATCH_S = 1.5  # a round
BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 160 + b'"}]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789\r\ncontent-length: 600\r\n\r\n"
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"c8\r\n" + b"data: " + b"x" * 192 + b"\n\n" + b"\r\n"
HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", "tollway/0"),
    ("authorization", "Bearer 0123456789"),
)


class Server(asyncio.Protocol):
    """Answers whatever ends in a brace; with a stream of so many events where the path is /stream/N."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"}"):
            return
        if data.startswith(b"POST /stream"):
            self._transport.write(STREAM)
            self._next(int(data[len(b"POST /stream/") : data.index(b" HTTP")]))
        else:
            self._transport.write(ANSWER + b"x" * 600)

    def _next(self, left: int) -> None:
        self._transport.write(EVENT if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_later(GAP_S, self._next, left - 1)


class Bare(asyncio.Protocol):
    """Sends the same bytes and waits for as many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._left = 0

    def ask(self, request: bytes, size: int) -> "asyncio.Future[None]":
        self._left = size
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left <= 0:
            self._answered.set_result(None)


def request(url: str) -> HttpRequest:
    return HttpRequest(method="POST", url=url, headers=HEADERS, body=BODY, connect_timeout=5.0)


async def batch(transport: Transport, url: str, seconds: float) -> float:
    """CPU microseconds a request."""
    asked, until = request(f"{url}/batch"), time.perf_counter() + seconds

    async def caller() -> int:
        done = 0
        while time.perf_counter() < until:
            response = await transport.send(asked)
            size = 0
            while data := await response.read():
                size += len(data)
            response.close()
            assert size == 600
            done += 1
        return done

    return await per_unit(lambda: gathered(caller, IN_FLIGHT))


async def streams(transport: Transport, url: str, count: int, events: int) -> float:
    """CPU microseconds an event."""
    asked = request(f"{url}/stream/{events}")

    async def caller() -> int:
        response = await transport.send(asked)
        size = 0
        while data := await response.read():
            size += len(data)
        response.close()
        assert size == 200 * events
        return events

    return await per_unit(lambda: gathered(caller, count))


async def bare(port: int, seconds: float) -> float:
    """CPU microseconds a request, without HTTP."""
    until, loop = time.perf_counter() + seconds, asyncio.get_running_loop()
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS)
    sent = f"POST /batch HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY

    async def caller() -> int:
        _, protocol = await loop.create_connection(Bare, "127.0.0.1", port)
        done = 0
        while time.perf_counter() < until:
            await protocol.ask(sent, len(ANSWER) + 600)
            done += 1
        protocol._transport.abort()
        return done

    return await per_unit(lambda: gathered(caller, IN_FLIGHT))


async def gathered(caller: Callable[[], Awaitable[int]], count: int) -> int:
    return sum(await asyncio.gather(*(caller() for _ in range(count))))


async def per_unit(work: Callable[[], Awaitable[int]]) -> float:
    started = time.process_time()
    done = await work()
    return (time.process_time() - started) / done * 1e6


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(port: int, rounds: int, *, quick: bool) -> dict[str, list[float]]:
    seconds, open_at_once, events = (0.1, 5, 5) if quick else (BATCH_S, STREAMS, EVENTS)
    url = f"http://127.0.0.1:{port}"
    figures: dict[str, list[float]] = {"request": [], "event": [], "request, bare": []}
    transport = Http1Transport()
    for _ in range(rounds):
        figures["request"].append(await batch(transport, url, seconds))
        figures["event"].append(await streams(transport, url, open_at_once, events))
        figures["request, bare"].append(await bare(port, seconds))
    await transport.aclose()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--asyncio", action="store_true", help="on asyncio's own loop instead of uvloop")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON line")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        factory = asyncio.new_event_loop if options.asyncio else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            figures = runner.run(measure(port, 1 if options.quick else options.rounds, quick=options.quick))
        server.kill()
    if options.json:
        print(json.dumps(figures))
        return
    for name, rounds in figures.items():
        print(f"{name:<16}{statistics.median(rounds):>8.1f} us   ({min(rounds):.1f} to {max(rounds):.1f})")


if __name__ == "__main__":
    main()
