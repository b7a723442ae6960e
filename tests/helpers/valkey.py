"""A real Valkey from a wheel, for tests: started when asked for, killed and started again at will, always ended."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from helpers.require import require_valkey
from tollway.config.valkey import ValkeyUrl, valkey_url

READY_S = 20.0  # for a start on a busy machine


class Valkey:
    """One server at one address. It keeps nothing on disk, so each start is empty."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self._program = program
        self.folder = folder
        self.options = options
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> ValkeyUrl:
        return valkey_url(f"redis://127.0.0.1:{self.port}")

    @property
    def socket_url(self) -> ValkeyUrl:
        return valkey_url(f"unix:{self.folder}/valkey.sock")

    def start(self) -> None:
        """Returns when it answers."""
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", "valkey.sock"]
        command = [
            str(self._program),
            *where,
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            *self.options,
        ]
        self._process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        self._wait()

    def kill(self) -> None:
        """As a machine that loses its power: SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """It runs, takes connections, and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=READY_S)

    def empty(self) -> None:
        with self.client() as client:
            client.flushall()

    def _wait(self) -> None:
        """Until it answers, with whatever: it may want a password."""
        deadline = time.monotonic() + READY_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), READY_S) as sock:
                sock.sendall(b"PING\r\n")
                if sock.recv(1):
                    return
            assert time.monotonic() < deadline, "Valkey does not start"
            time.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def running_valkey(*options: str) -> Iterator[Valkey]:
    program = require_valkey()
    # A short name of its own: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        server = Valkey(program, Path(folder), *options)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def one_valkey() -> Iterator[Callable[[], Valkey]]:
    """Starts one when it is first asked for, and ends it."""
    with contextlib.ExitStack() as stack:
        running: list[Valkey] = []

        def server() -> Valkey:
            if not running:
                running.append(stack.enter_context(running_valkey()))
            return running[0]

        yield server
