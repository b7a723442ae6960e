"""Very many streams at once, from a process of their own: bare connections, each with one request.

`python -m helpers.crowd` reads its `Asked` as one line of JSON. It says {"begun": N} when every stream has brought its
first token, and at the end what became of them: how many were whole, and what was wrong with the first of the others.
"""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import uvloop

from helpers.commands import ENVIRONMENT

AT_ONCE = 100  # connections that are being opened: no more than a queue of the system's takes
TOKEN = b'"content":"'
DONE = b"data: [DONE]\n\n"
SHOWN_BYTES = 500  # of what was wrong
END_S = 120.0


@dataclass(frozen=True)
class Asked:
    host: str
    port: int
    request: str  # head and body
    streams: int


@dataclass
class Crowd:
    """What the streams came to so far."""

    asked: Asked
    begun: int = 0
    whole: int = 0
    wrong: list[str] = field(default_factory=list)
    all_begun: asyncio.Event = field(default_factory=asyncio.Event)
    all_ended: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self) -> None:
        ended = self.whole + len(self.wrong)
        if self.begun + len(self.wrong) >= self.asked.streams:
            self.all_begun.set()
        if ended >= self.asked.streams:
            self.all_ended.set()


class Stream(asyncio.Protocol):
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._begun = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._crowd.asked.request.encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._begun and TOKEN in self._data:
            self._begun = True
            self._crowd.begun += 1
            self._crowd.note()
        if self._data.endswith(b"\r\n0\r\n\r\n") or b"\r\ncontent-length:" in self._data:
            assert self._transport is not None
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        crowd = self._crowd
        if self._data.startswith(b"HTTP/1.1 200 ") and DONE in self._data and self._begun:
            crowd.whole += 1
        else:
            crowd.wrong.append(self._data[-SHOWN_BYTES:].decode(errors="replace") or f"nothing came ({exc})")
        crowd.note()


async def main() -> None:
    asked = Asked(**json.loads(sys.stdin.readline()))
    crowd, loop, gate = Crowd(asked), asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with gate:
            try:
                await loop.create_connection(lambda: Stream(crowd), asked.host, asked.port)
            except OSError as error:
                crowd.wrong.append(f"no connection: {error}")
                crowd.note()

    await asyncio.gather(*(one() for _ in range(asked.streams)))
    await asyncio.wait_for(crowd.all_begun.wait(), END_S)
    _say({"begun": crowd.begun})
    await asyncio.wait_for(crowd.all_ended.wait(), END_S)
    _say({"whole": crowd.whole, "wrong": len(crowd.wrong), "first": crowd.wrong[0] if crowd.wrong else ""})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Crowded:
    """The process, as whoever started it sees it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the crowd's process ended"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def begun(self) -> int:
        """Wait until every stream has its first token, or failed. How many have."""
        return int(self._heard()["begun"])

    def ended(self) -> dict[str, Any]:
        """Wait for the end of them all: `whole`, `wrong`, and what was wrong with the `first`."""
        return self._heard()


@contextmanager
def crowd(asked: Asked) -> Iterator[Crowded]:
    """Starts at once. Whatever is left of it ends on the way out."""
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.crowd"],
        env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asdict(asked)) + "\n")
            process.stdin.flush()
            yield Crowded(process)
        finally:
            process.kill()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(main())
