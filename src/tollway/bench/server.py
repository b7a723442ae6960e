"""A process that is measured or helps to measure: started on the cores it is given, awaited, stopped, nothing else ever
touched. It must not know what the process does."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_S_MAX = 90.0  # the slowest gateway takes five seconds on an idle machine
STOP_S_MAX = 40.0  # a router may drain for 30
COMMAND_S_MAX = 60.0
POLL_S = 0.002
WORDS_MAX = 600  # of what a process said last


class BenchFailed(Exception):
    """Something can't be measured, or what was measured can't be trusted; its text says why."""


class Server:
    """One process that answers GET `ready_path` with 200 once it is ready."""

    def __init__(self, name: str, command: Sequence[object], cores: frozenset[int], log: Path) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.cores = cores
        self.log = log
        self.address = ("127.0.0.1", 0)
        self.ready_path = "/readyz"
        self.environment: Mapping[str, str] = {}  # beside what is ours
        self.user: int | None = None  # who runs it, if not us
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> float:
        """Start it; the seconds until it answered for the first time. BenchFailed when it doesn't."""
        if self._answers():
            raise BenchFailed(f"{self.name}: another process answers at its address")
        with self.log.open("ab") as log:
            started = time.perf_counter()
            self._process = subprocess.Popen(
                self.command,
                env={**environment(), **self.environment},
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                preexec_fn=self._pin,
            )
        while not self._answers():
            if self._process.poll() is not None:
                raise BenchFailed(f"{self.name} ended at its start: {self.last_words()}")
            if time.perf_counter() - started > START_S_MAX:
                raise BenchFailed(f"{self.name} did not answer within {START_S_MAX:.0f} s: {self.last_words()}")
            time.sleep(POLL_S)
        return time.perf_counter() - started

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def last_words(self) -> str:
        said = self.log.read_text(errors="replace").strip() if self.log.exists() else ""
        return said[-WORDS_MAX:] or "it said nothing"

    def _answers(self) -> bool:
        return answers(self.address, self.ready_path)

    def _pin(self) -> None:
        if self.cores:
            os.sched_setaffinity(0, self.cores)


@contextlib.contextmanager
def stopping(*servers: Server) -> Iterator[None]:
    """Whatever happens, each server that was started is stopped, the last one first."""
    try:
        yield
    finally:
        for server in reversed(servers):
            server.stop()


def environment() -> dict[str, str]:
    """Ours without what makes Python start slower, and without settings meant for another router."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    return {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("TOLLWAY_")}


def answers(address: tuple[str, int], path: str) -> bool:
    """Whether a GET is answered with 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(address, timeout=1) as connection:
            connection.sendall(request.encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(
    *command: object,
    more: Mapping[str, str] | None = None,
    cores: frozenset[int] = frozenset(),
    timeout_s: float = COMMAND_S_MAX,
) -> str:
    """What a command prints, run to its end on `cores`; `more`: environment beside ours. BenchFailed with its last
    words when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**environment(), **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchFailed(f"{' '.join(words[-4:])}: {error}") from None
    if done.returncode:
        raise BenchFailed((done.stderr or done.stdout).strip()[-WORDS_MAX:] or f"{' '.join(words[-4:])} failed")
    return done.stdout.strip()
