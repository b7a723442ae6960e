"""`tollway serve --workers N`: one process that only looks after N others, which share its listening socket.

Each worker is the same command again, told by the environment which one it is. It says on its standard output that it
serves, and stops when its standard input ends: so none outlives the process that looks after it. Must not know what a
worker does.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping

import msgspec

from tollway.cli.common import CommandFailed
from tollway.config.places import Address
from tollway.config.schema import Config

log = logging.getLogger("tollway.workers")

VARIABLE = "TOLLWAY_WORKER"
READY = b"serving\n"
WORKERS_MAX = 64  # more than one machine's cores can use
AGAIN_S = 1.0  # before a worker that ended by itself is replaced, so that one that can't live doesn't eat the machine


class Worker(msgspec.Struct, frozen=True):
    """Which worker a process is: its number from 0, and the socket that it was given."""

    number: int
    descriptor: int

    def socket(self) -> socket.socket:
        return socket.socket(fileno=self.descriptor)

    def operator(self, listen: Address | None) -> Address | None:
        """Where this worker's own operator's listener is: the ports of the others stand beside it."""
        return listen if listen is None or not listen.port else Address(listen.host, listen.port + self.number)

    def say_ready(self) -> None:
        os.write(sys.stdout.fileno(), READY)

    def stop_with_its_keeper(self, stop: Callable[[], None]) -> None:
        """Call `stop` when the process that looks after this one is gone."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            if not os.read(sys.stdin.fileno(), 1):
                loop.remove_reader(sys.stdin.fileno())
                stop()

        loop.add_reader(sys.stdin.fileno(), ended)


def this_worker(environ: Mapping[str, str]) -> Worker | None:
    """None for a process that nobody looks after."""
    said = environ.get(VARIABLE)
    if said is None:
        return None
    number, _, descriptor = said.partition(":")
    return Worker(int(number), int(descriptor))


def check(config: Config, count: int) -> None:
    """Raises CommandFailed when these books can't have that many workers."""
    if config.ledger.url.store != "postgresql":
        raise CommandFailed(
            f"--workers {count} needs a ledger that processes can share: set ledger.url to a postgresql:// URL "
            "(docs/postgres.md), or serve with one worker"
        )
    ops = config.ops.listen
    if ops is not None and ops.port + count - 1 > 65_535:
        raise CommandFailed(f"ops.listen: {count} workers take the ports from {ops.port} up, and some are over 65535")


class Keeper:
    """Starts workers, replaces those that end by themselves, and passes on what it is told."""

    def __init__(self, listener: socket.socket, count: int, say_draining: Callable[[], None]) -> None:
        self._listener = listener
        self._say_draining = say_draining
        self._count = count
        self._workers: dict[int, Process] = {}
        self._stopping = asyncio.Event()

    async def run(self, say: Callable[[], None]) -> None:
        """Until told to stop; `say` is called when every worker serves. Raises CommandFailed when one can't start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        self._listener.set_inheritable(True)
        keeping: list[asyncio.Task[None]] = []
        try:
            await asyncio.gather(*(self._start(number) for number in range(self._count)))
            if not self._stopping.is_set():
                say()
            keeping = [loop.create_task(self._keep(number)) for number in range(self._count)]
            await asyncio.gather(*keeping)
        finally:
            self._stopping.set()
            for task in keeping:
                task.cancel()
            self._tell(signal.SIGTERM)
            await asyncio.gather(*(worker.wait() for worker in self._workers.values()))

    async def _start(self, number: int) -> None:
        """Raises CommandFailed when the worker ends before it serves; it has said why."""
        descriptor = self._listener.fileno()
        worker = self._workers[number] = await asyncio.create_subprocess_exec(
            *sys.orig_argv,
            env={**os.environ, VARIABLE: f"{number}:{descriptor}"},
            pass_fds=[descriptor],
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for this process, which passes it on
        )
        assert worker.stdout is not None, "it has a pipe"
        if await worker.stdout.readline() != READY and not self._stopping.is_set():
            await worker.wait()
            raise CommandFailed(f"worker {number} did not start: see above")

    async def _keep(self, number: int) -> None:
        """See to it that there is a worker, until all stop."""
        while True:
            status = await self._workers[number].wait()
            if self._stopping.is_set():
                return
            log.error("worker %d ended by itself (%s); another is started", number, _ending(status))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), AGAIN_S)
                return
            try:
                await self._start(number)
            except CommandFailed as error:
                log.error("%s", error)

    def _stop(self) -> None:
        """The first time a drain; once more, the end."""
        again = self._stopping.is_set()
        self._stopping.set()
        if not again:
            self._say_draining()
        self._tell(signal.SIGKILL if again else signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for worker in self._workers.values():
            if worker.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    worker.send_signal(number)


def _ending(status: int) -> str:
    return f"exit code {status}" if status >= 0 else signal.Signals(-status).name
