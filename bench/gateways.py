"""What is measured, as processes: the simulated provider, nginx as a plain proxy, and tollway with sign-in and a
durable ledger. Each is started on the cores it is given, awaited, and stopped; nothing else is ever touched."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

MODEL = "bench/simulated"
CREDIT_USD = "100000"
START_S_MAX = 30.0
STOP_S_MAX = 40.0  # a router may drain for 30
COMMAND_S_MAX = 60.0
POLL_S = 0.002
FILES_MAX = 65_536  # sockets a process may have, as far as the machine allows
TOLLWAY = Path(sys.executable).with_name("tollway")
NGINX_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])

NGINX_CONFIG = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    tcp_nodelay on;
    keepalive_requests 100000000;
    upstream provider {{
        server {provider};
        keepalive 2048;
        keepalive_requests 100000000;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    server {{
        listen 127.0.0.1:{batch_port} backlog=4096;
        location /readyz {{ return 200 "ready"; }}
        location / {{ proxy_pass http://provider; }}
    }}
    server {{
        listen 127.0.0.1:{stream_port} backlog=4096;
        location / {{ proxy_pass http://provider; proxy_buffering off; }}
    }}
}}
"""

TOLLWAY_CONFIG = """\
[server]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"

[ledger]
url = "sqlite:///ledger.db"

[billing]
markup = "3%"

[limits]
concurrency = 10000  # one wallet makes all the load

[[providers]]
id = "simulator"
base_url = "http://{provider}/v1"

[[providers.models]]
id = "{model}"
upstream = "{model}"
price = {{ input = "0.10", output = "0.40" }}
context_length = 128000
max_output_tokens = 4096
"""


class BenchFailed(Exception):
    """The benchmark can't be run or can't be trusted; its text says why."""


class Server:
    """One process that answers at `batch_url` and `stream_url`, on its own cores."""

    def __init__(self, name: str, command: Sequence[object], cores: frozenset[int], log: Path) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.cores = cores
        self.log = log
        self.ready_address = ("127.0.0.1", 0)
        self.ready_path = "/readyz"
        self.batch_url = ""
        self.stream_url = ""
        self.headers: tuple[str, ...] = ()
        self.version = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> float:
        """Start it; the seconds until it answered for the first time."""
        with self.log.open("ab") as log:
            started = time.perf_counter()
            self._process = subprocess.Popen(
                self.command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self._pin
            )
        while not answers(self.ready_address, self.ready_path):
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
        return self.log.read_text(errors="replace").strip()[-1000:] or "it said nothing"

    def _pin(self) -> None:
        if self.cores:
            os.sched_setaffinity(0, self.cores)


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


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """A command's output. BenchFailed with its last words when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=COMMAND_S_MAX)
    if done.returncode:
        raise BenchFailed(
            f"`{Path(words[0]).name} {' '.join(words[1:3])}` failed: {(done.stderr or done.stdout)[-1000:]}"
        )
    return done.stdout.strip()


def provider(folder: Path, cores: frozenset[int]) -> Server:
    port = free_port()
    server = Server("provider", [TOLLWAY, "simulate", "--listen", f"127.0.0.1:{port}"], cores, folder / "provider.log")
    server.ready_address = ("127.0.0.1", port)
    server.ready_path = "/v1/models"
    server.batch_url = server.stream_url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return server


def nginx(folder: Path, cores: frozenset[int], behind: Server) -> Server | None:
    """nginx as its own documentation sets a proxy up: kept connections both ways, no buffering for streams. None when
    it is not installed."""
    program = shutil.which("nginx", path=NGINX_PATH)
    if program is None:
        return None
    home = folder / "nginx"
    home.mkdir()
    batch_port, stream_port = free_port(), free_port()
    (home / "nginx.conf").write_text(
        NGINX_CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "",
            files=FILES_MAX,
            folder=home,
            provider="{}:{}".format(*behind.ready_address),
            batch_port=batch_port,
            stream_port=stream_port,
        )
    )
    command = [program, "-p", home, "-c", home / "nginx.conf", "-e", home / "nginx-error.log"]
    server = Server("nginx", command, cores, home / "nginx.log")
    server.ready_address = ("127.0.0.1", batch_port)
    server.batch_url = f"http://127.0.0.1:{batch_port}/v1/chat/completions"
    server.stream_url = f"http://127.0.0.1:{stream_port}/v1/chat/completions"
    shown = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=COMMAND_S_MAX)
    server.version = shown.stderr.strip().rpartition("/")[2]
    return server


class Tollway(Server):
    """`tollway serve` on a new SQLite ledger, with a wallet that was credited and has signed in."""

    def __init__(self, folder: Path, cores: frozenset[int], behind: Server) -> None:
        self.home = folder / "tollway"
        self.home.mkdir()
        self.config = self.home / "tollway.toml"
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        self.config.write_text(
            TOLLWAY_CONFIG.format(port=port, provider="{}:{}".format(*behind.ready_address), model=MODEL)
        )
        command = [TOLLWAY, "serve", "--config", self.config, "--log-level", "warning"]
        super().__init__("tollway", command, cores, self.home / "tollway.log")
        self.ready_address = ("127.0.0.1", port)
        self.batch_url = self.stream_url = f"{url}/v1/chat/completions"
        self.version = version("tollway")
        wallet = self.home / "wallet.json"
        made = json.loads(run(TOLLWAY, "wallet", "new", "--chain", "solana", "--out", wallet, "--json"))
        self.account = made["caip_account_id"]
        self.credit()
        signed = run(TOLLWAY, "sign-in", "--wallet", wallet, "--url", url, "--lifetime", "1h")
        self.headers = (f"Sign-In-With-X: {signed}",)

    def credit(self) -> None:
        run(TOLLWAY, "ledger", "credit", self.account, CREDIT_USD, "--ref", "bench", "--config", self.config)

    def audit(self, answers: int) -> str:
        """That the books balance and hold each answer once. BenchFailed when they don't."""
        books = json.loads(run(TOLLWAY, "ledger", "audit", "--config", self.config, "--json"))
        if (books["posts"], books["voids"], books["pending"]) != (answers, 0, 0):
            raise BenchFailed(f"{answers} answers were given, and the books say {books}")
        return f"books: balanced, {answers} answers given and {answers} posted"


@contextlib.contextmanager
def stopping(servers: Sequence[Server]) -> Iterator[None]:
    """Whatever happens, each server that was started is stopped, the last one first."""
    try:
        yield
    finally:
        for server in reversed(servers):
            server.stop()
