"""Routers that are started to be killed, as whoever kills them sees them: a process, its log, its end."""

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from helpers.commands import ENVIRONMENT
from helpers.until import until

START_S_MAX = 60.0
TESTS = Path(__file__).parents[1]
SERVING = re.compile(r"serving at http://([\d.]+):(\d+)/api/v1")
KILLED = -signal.SIGKILL
TORN = -signal.SIGXFSZ


@dataclass(frozen=True)
class Killing:
    """Where a life ends by itself: at the n-th passing of a step. Without one it doesn't."""

    step: str = ""
    nth: int = 0
    seed: int = 0


@dataclass
class Life:
    """One process of a router."""

    pid: int
    log: Path
    ended: "asyncio.Future[int]"
    place: tuple[str, int] = ("", 0)
    killed: bool = False  # from outside

    @property
    def lives(self) -> bool:
        return not self.ended.done()

    async def serves(self) -> bool:
        """Wait until it listens; False when it ended before."""
        found: re.Match[str] | None = None

        def decided() -> bool:
            nonlocal found
            found = SERVING.search(self.said())
            return found is not None or self.ended.done()

        await until(decided, START_S_MAX)
        if found is not None:
            self.place = (found[1], int(found[2]))
        return self.lives and found is not None

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.lives:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, how)

    def limit_files(self, size: int | None) -> None:
        """No file of it may grow beyond `size` bytes; None: any may again."""
        soft = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


@dataclass
class Lives:
    """Made with `beginning()`."""

    parent: asyncio.subprocess.Process
    folder: Path
    _started: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)
    _ends: "dict[int, asyncio.Future[int]]" = field(default_factory=dict)
    _count: int = 0

    async def begin(
        self, *arguments: str, killing: Killing | None = None, environment: Mapping[str, str] | None = None
    ) -> Life:
        """`tollway ARGUMENTS` in a new process."""
        killing = killing or Killing()
        self._count += 1
        log = self.folder / f"router-{self._count}.log"
        order = {
            "arguments": arguments,
            "folder": str(self.folder),
            "log": str(log),
            "environment": dict(environment or {}),
            "step": killing.step,
            "nth": killing.nth,
            "seed": killing.seed,
        }
        assert self.parent.stdin is not None
        self.parent.stdin.write(json.dumps(order).encode() + b"\n")
        pid = await self._started.get()
        return Life(pid=pid, log=log, ended=self._end_of(pid))

    async def hear(self) -> None:
        """Take note of starts and ends, for as long as the parent lives."""
        assert self.parent.stdout is not None
        async for line in self.parent.stdout:
            told = json.loads(line)
            if "started" in told:
                self._ends.pop(told["started"], None)  # the system uses numbers again
                self._started.put_nowait(told["started"])
            else:
                self._end_of(told["ended"]).set_result(told["code"])

    def _end_of(self, pid: int) -> "asyncio.Future[int]":
        if pid not in self._ends:
            self._ends[pid] = asyncio.get_running_loop().create_future()
        return self._ends[pid]


@contextlib.asynccontextmanager
async def beginning(folder: Path) -> AsyncIterator[Lives]:
    """Routers with their working directory, and their logs, in `folder`. All of them end on the way out."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "chaos.served",
        env={**ENVIRONMENT, "PYTHONPATH": str(TESTS)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    lives = Lives(parent, folder)
    hearing = asyncio.ensure_future(lives.hear())
    try:
        yield lives
    finally:
        assert parent.stdin is not None
        parent.stdin.close()
        await parent.wait()
        await hearing
