"""Who calls a router for the whole of a run: at a constant rate, in every way that a call can go; and beside them those
who behave badly, over and over."""

import asyncio
import contextlib
import json
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chaos.calls import KINDS, Kind, Seen, call, draw_call
from chaos.load import Place, Wallets
from helpers.simulated import read_reply
from helpers.streaming import SMALL_BUFFER_BYTES

WORKERS = 24  # more than the rate needs, so that calls which take long don't slow the others down
BAD_PAUSE_S = 0.2
SOAK_KINDS = {
    **KINDS,
    "stalled": Kind("stalled", "tokens={tokens},fault=stall@5", stream=True),
    "silent": Kind("silent", "fault=silence", stream=True),
}
WEIGHTS = {"stalled": 0.1, "silent": 0.1}


@dataclass
class Callers:
    """`calls` have ended, by how. A router that lives breaks no answer off."""

    place: Place
    wallets: Wallets
    draw: random.Random
    rate: float
    calls: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    stopped: bool = False
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _begun: int = 0
    _next_s: float = 0.0

    def start(self) -> None:
        self._next_s = asyncio.get_running_loop().time()
        bad = (self.reads_nothing, self.sends_half_a_head, self.sends_half_a_body, self.says_nothing, self.vanishes)
        self._tasks = [asyncio.ensure_future(self._work()) for _ in range(WORKERS)]
        self._tasks += [asyncio.ensure_future(self._behaves_badly(way)) for way in bad]

    async def stop(self) -> None:
        """Wait until each has its answer."""
        self.stopped = True
        await asyncio.gather(*self._tasks)

    async def _work(self) -> None:
        while not self.stopped:
            await self._turn()
            self._begun += 1
            asked = draw_call(self.draw, f"soak-{self._begun}", len(self.wallets.all), SOAK_KINDS)
            if self.draw.random() < WEIGHTS.get(asked.kind.name, 1):
                seen = await call(self.place, self.wallets.sign_ins()[asked.wallet], asked)
                self.calls[how(seen)] += 1

    async def _turn(self) -> None:
        """One call after another at the rate, whoever makes it; one that is late is not made up for."""
        loop = asyncio.get_running_loop()
        self._next_s = max(self._next_s + 1 / self.rate, loop.time())
        await asyncio.sleep(self._next_s - loop.time())

    # --- badly

    async def _behaves_badly(self, way: Callable[[], Awaitable[None]]) -> None:
        while not self.stopped:
            with contextlib.suppress(ConnectionError):
                await way()
            self.bad[way.__name__] += 1
            await asyncio.sleep(BAD_PAUSE_S)

    async def reads_nothing(self) -> None:
        """A long stream, until the router has had enough of it."""
        loop = asyncio.get_running_loop()
        with socket.socket() as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
            end.setblocking(False)
            await loop.sock_connect(end, self.place)
            fields = {"n": 16, "logprobs": True, "top_logprobs": 20, "max_tokens": 1_000}
            await loop.sock_sendall(end, self._request("tokens=1000", **fields))
            while not self.stopped and not cut(end):  # noqa: ASYNC110  # nobody tells who doesn't read
                await asyncio.sleep(BAD_PAUSE_S)

    async def sends_half_a_head(self) -> None:
        await self._answered(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-more: ")

    async def sends_half_a_body(self) -> None:
        await self._answered(self._request("tokens=3")[:-9])

    async def says_nothing(self) -> None:
        await self._answered(b"")

    async def vanishes(self) -> None:
        """In the middle of a stream, without a word."""
        reader, writer = await asyncio.open_connection(*self.place)
        writer.write(self._request("tokens=50,gap=5ms"))
        await reader.readline()
        writer.transport.abort()

    async def _answered(self, sent: bytes) -> None:
        """Waits for what there is to read, up to the end."""
        reader, writer = await asyncio.open_connection(*self.place)
        writer.write(sent)
        with contextlib.suppress(EOFError):
            await read_reply(reader)
        writer.transport.abort()

    def _request(self, scenario: str, **fields: object) -> bytes:
        messages = [{"role": "user", "content": f"bad simulate: {scenario}"}]
        body = json.dumps({"model": "sim/model", "stream": True, "messages": messages, **fields})
        sign_in = self.wallets.sign_ins()[0]
        return (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: chaos.example\r\ncontent-type: application/json\r\n"
            f"sign-in-with-x: {sign_in}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()


def how(seen: Seen) -> str:
    if seen.refused or seen.broken:
        return "broken off"
    return "left" if seen.left else "answered" if seen.whole else "error"


def cut(end: socket.socket) -> bool:
    """Whether the other side has hung up, what it has sent left unread: a reset is what says so."""
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
