"""A load generator in a process of its own: bare asyncio protocols with httptools on uvloop, one JSON line at the end.

Three ways to ask: `closed` keeps so many requests in flight, `open` starts so many a second whatever happens, `streams`
keeps so many streams open. Everything that was started is awaited, so that work done and work counted are the same.
It must not know what it is talking to; whoever starts it reads that process's CPU."""

import argparse
import asyncio
import math
import re
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from tollway.wire import json

GRACE_S = 120.0  # how long the last answers may take after the deadline
ERROR_BYTES_MAX = 300  # of the first bad answer, to show what went wrong
CONNECTIONS_MAX = 4_096
TOKEN = re.compile(rb'"content": ?"[^"]')  # text in an event; a role-only opening has none, or an empty one
DONE_MARK = b"[DONE]"
TAIL_BYTES = 32  # longer than either mark, for one that comes in two reads


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One load, from the side of those who asked. Times in milliseconds, but for `seconds` and the load's own CPU."""

    ok: int
    errors: int
    first_error: str
    events: int
    seconds: float
    latency_p50_ms: float
    latency_p99_ms: float
    first_token_p50_ms: float
    first_token_p99_ms: float
    load_cpu_seconds: float


class Tally:
    """What was counted and timed over the whole run. Times are seconds."""

    def __init__(self, events_expected: int, events_spare: int) -> None:
        self.events_expected = events_expected
        self.events_spare = events_spare
        self.ok = 0
        self.errors = 0
        self.events = 0
        self.latency: list[float] = []
        self.first_token: list[float] = []
        self.first_error = ""

    def fail(self, what: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or what[:ERROR_BYTES_MAX]


class Connection(asyncio.Protocol):
    """One connection that carries one request at a time."""

    def __init__(self, tally: Tally, request: bytes, stream: bool, done: Callable[["Connection", bool], None]) -> None:
        self._tally = tally
        self._request = request
        self._stream = stream
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._busy = False
        self._started = 0.0
        self._first = 0.0
        self._events = 0
        self._tail = b""
        self._broken_newline = False

    # --- what the run asks of it

    def ask(self) -> None:
        assert self._transport is not None
        assert not self._busy
        self._busy = True
        self._events = 0
        self._first = 0.0
        self._tail = b""
        self._broken_newline = False
        self._parser = httptools.HttpResponseParser(self)
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._finish(f"not HTTP: {error}", keep=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._busy:
            self._finish(f"the connection closed in the middle of an answer: {exc or 'end of stream'}", keep=False)

    # --- httptools' side

    def on_body(self, body: bytes) -> None:
        if not self._stream:
            self._tail += body
            return
        if not self._first and TOKEN.search(self._tail + body):
            self._first = time.perf_counter()
        # Events end in a blank line, whose two newlines may come in two reads.
        if self._broken_newline and body.startswith(b"\n"):
            self._events += 1
        self._events += body.count(b"\n\n")
        self._broken_newline = body.endswith(b"\n") and not body.endswith(b"\n\n")
        self._tail = body if len(body) >= TAIL_BYTES else (self._tail + body)[-TAIL_BYTES:]

    def on_message_complete(self) -> None:
        self._finish(self._fault(), keep=self._parser.should_keep_alive())

    def _fault(self) -> str:
        """What is wrong with the answer, or "" when nothing is."""
        status = self._parser.get_status_code()
        if status != 200:
            return f"HTTP {status}: {self._tail.decode(errors='replace')}"
        if not self._stream:
            return "" if b'"usage"' in self._tail else f"no usage: {self._tail.decode(errors='replace')}"
        expected, spare = self._tally.events_expected, self._tally.events_spare
        if DONE_MARK not in self._tail or not self._first:
            return f"a stream without [DONE] or text, {self._events} events"
        return "" if 0 <= self._events - expected <= spare else f"a stream of {self._events} events, not {expected}"

    def _finish(self, fault: str, *, keep: bool) -> None:
        now = time.perf_counter()
        self._busy = False
        self._tally.events += self._events
        if fault:
            self._tally.fail(fault)
        else:
            self._tally.ok += 1
            self._tally.latency.append(now - self._started)
            if self._stream:
                self._tally.first_token.append(self._first - self._started)
        if not keep:
            self.close()
        self._done(self, keep)


class Run:
    """Connections to one address, and the rule by which they ask."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._stream = options.mode == "streams"
        self._request = render(options.url, options.header, options.body.read_bytes())
        self.tally = Tally(options.events, options.spare)
        self._idle: deque[Connection] = deque()
        self._connections: set[Connection] = set()
        self._running = 0
        self._all_done = asyncio.Event()
        self._deadline = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def go(self) -> float:
        """Ask until the deadline, wait for the last answer; how many seconds that took."""
        options, loop = self._options, asyncio.get_running_loop()
        started = loop.time()
        self._deadline = started + options.seconds
        if options.mode == "open":
            await self._at_a_rate(options.rate)
        else:
            # Streams begin spread over the ramp, so that their pauses do not all end together.
            for number in range(options.concurrency):
                await asyncio.sleep(started + options.ramp * number / options.concurrency - loop.time())
                await self._connect_and_ask()
        await self._until_deadline()
        for connection in list(self._connections):
            connection.close()
        return loop.time() - started

    async def _at_a_rate(self, rate: float) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(round((self._deadline - begun) * rate)):  # counted, since a sum of fractions drifts
            await asyncio.sleep(begun + number / rate - loop.time())
            if self._idle:
                self._ask(self._idle.pop())
            elif len(self._connections) < CONNECTIONS_MAX:
                task = asyncio.create_task(self._connect_and_ask())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self.tally.fail(f"{CONNECTIONS_MAX} requests wait for an answer")

    async def _connect_and_ask(self) -> None:
        loop, target = asyncio.get_running_loop(), urlsplit(self._options.url)
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self.tally, self._request, self._stream, self._answered),
                target.hostname,
                target.port,
            )
        except OSError as error:
            self.tally.fail(f"no connection: {error}")
            return
        self._connections.add(connection)
        self._ask(connection)

    def _ask(self, connection: Connection) -> None:
        self._running += 1
        connection.ask()

    def _answered(self, connection: Connection, keep: bool) -> None:
        self._running -= 1
        loop = asyncio.get_running_loop()
        again = self._options.mode != "open" and loop.time() < self._deadline
        if not keep:
            self._connections.discard(connection)
            if again:
                task = loop.create_task(self._connect_and_ask())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif again:
            # Not from within the parser's callback: the parser is made anew for each answer.
            loop.call_soon(self._ask_again, connection)
        else:
            self._idle.append(connection)
        if not self._running:
            self._all_done.set()

    def _ask_again(self, connection: Connection) -> None:
        if connection in self._connections:
            self._ask(connection)

    async def _until_deadline(self) -> None:
        loop = asyncio.get_running_loop()
        end = self._deadline + GRACE_S
        await asyncio.sleep(max(0.0, self._deadline - loop.time()))
        while self._running and loop.time() < end:
            self._all_done.clear()
            try:
                await asyncio.wait_for(self._all_done.wait(), end - loop.time())
            except TimeoutError:
                break
        for _ in range(self._running):
            self.tally.fail(f"no answer within {GRACE_S:.0f} s of the deadline")


def render(url: str, headers: list[str], body: bytes) -> bytes:
    target = urlsplit(url)
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.netloc}",
        "Content-Type: application/json",
        "Accept: */*",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of `values`, in order, does not exceed; 0 of none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def summary(tally: Tally, elapsed: float) -> Seen:
    latency, first = sorted(tally.latency), sorted(tally.first_token)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Seen(
        ok=tally.ok,
        errors=tally.errors,
        first_error=tally.first_error,
        events=tally.events,
        seconds=round(elapsed, 3),
        latency_p50_ms=round(percentile(latency, 0.5) * 1e3, 4),
        latency_p99_ms=round(percentile(latency, 0.99) * 1e3, 4),
        first_token_p50_ms=round(percentile(first, 0.5) * 1e3, 4),
        first_token_p99_ms=round(percentile(first, 0.99) * 1e3, 4),
        load_cpu_seconds=round(used.ru_utime + used.ru_stime, 3),
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url", help="http://127.0.0.1:8080/v1/chat/completions")
    parser.add_argument("--mode", choices=["closed", "open", "streams"], default="closed")
    parser.add_argument("--body", type=Path, required=True, help="a file with the request body")
    parser.add_argument("--header", action="append", default=[], help="a header line; may be repeated")
    parser.add_argument("--concurrency", type=int, default=64, help="requests or streams in flight")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second in mode open")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--ramp", type=float, default=0.0, help="seconds over which the first requests are spread")
    parser.add_argument("--events", type=int, default=0, help="events that each stream has to have")
    parser.add_argument("--spare", type=int, default=0, help="events that a stream may have more")
    options = parser.parse_args()
    if (
        not 0 < options.concurrency <= CONNECTIONS_MAX
        or not 0 < options.seconds <= 600
        or not 0 < options.rate <= 10_000
    ):
        parser.error(f"concurrency is from 1 to {CONNECTIONS_MAX}, seconds up to 600, rate up to 10000")
    return options


async def main(options: argparse.Namespace) -> Seen:
    run = Run(options)
    elapsed = await run.go()
    return summary(run.tally, elapsed)


if __name__ == "__main__":
    result = uvloop.run(main(parse()))
    sys.stdout.write(json.encode(result).decode() + "\n")
