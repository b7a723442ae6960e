"""What is measured and what it stands in front of: the simulated provider, nginx as a plain proxy, and this router with
sign-in and a ledger, each as a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tollway import __version__
from tollway.bench.server import COMMAND_S_MAX, BenchFailed, Server, free_port, run
from tollway.wire import json

MODEL = "gpt-4o-mini"  # a name that gateways with a list of models know; nobody but the simulator is asked
CREDIT_USD = "100000"
FILES_MAX = 65_536  # sockets a process may have, as far as the machine allows
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
    client_max_body_size 32m;
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

ROUTER_CONFIG = """\
[server]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
max_body = "32 MiB"

[ledger]
url = "{ledger}"

[billing]
markup = "3%"
recount = "0%"  # as without the extra `tokens`, whose vocabulary takes 40 MB
welcome_credit_usd = "{credit}"
welcome_credit_total_usd = "{credit}"

[limits]
concurrency = 10000  # one wallet makes all the load
"""

PROVIDER_CONFIG = """
[[providers]]
id = "{id}"
base_url = "http://{address}/v1"

[[providers.models]]
id = "{model}"
upstream = "{model}"
price = {{ input = "0.10", output = "0.40" }}
context_length = 10000000
max_output_tokens = 4096
"""


class Gateway(Server):
    """One process that answers at `batch_url` and `stream_url` what the provider behind it answers."""

    batch_url = ""
    stream_url = ""
    version = ""
    headers: tuple[str, ...] = ()
    spare_events = 0  # how many a stream may have more than the provider sent: some add one for usage
    required = True  # false: one that can't be measured is left out, with its reason
    store: Server | None = None  # a database of its own, whose CPU is counted apart
    answered = 0  # over all rounds

    @property
    def host(self) -> str:
        return "{}:{}".format(*self.address)


def command(*words: object) -> list[object]:
    """This installation's own command line, wherever its script is."""
    return [sys.executable, "-c", "from tollway.cli import main; main()", *words]


def provider(folder: Path, cores: frozenset[int]) -> Gateway:
    port = free_port()
    asked = command("simulate", "--listen", f"127.0.0.1:{port}")
    server = Gateway("provider", asked, cores, folder / "provider.log")
    server.address = ("127.0.0.1", port)
    server.ready_path = "/v1/models"
    server.batch_url = server.stream_url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return server


def nginx(folder: Path, cores: frozenset[int], behind: Gateway) -> Gateway | None:
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
            provider=behind.host,
            batch_port=batch_port,
            stream_port=stream_port,
        )
    )
    asked = [program, "-p", home, "-c", home / "nginx.conf", "-e", home / "nginx-error.log"]
    server = Gateway("nginx", asked, cores, home / "nginx.log")
    server.address = ("127.0.0.1", batch_port)
    server.batch_url = f"http://127.0.0.1:{batch_port}/v1/chat/completions"
    server.stream_url = f"http://127.0.0.1:{stream_port}/v1/chat/completions"
    shown = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=COMMAND_S_MAX)
    server.version = shown.stderr.strip().rpartition("/")[2]
    return server


class Router(Gateway):
    """`tollway serve` on one ledger, with a wallet that has credit and has signed in."""

    def __init__(self, name: str, ledger: str, folder: Path, cores: frozenset[int], behind: Gateway) -> None:
        self.home = folder / name
        self.home.mkdir()
        self.config = self.home / "tollway.toml"
        self.wallet = self.home / "wallet.json"
        asked = command("serve", "--config", self.config, "--log-level", "warning")
        super().__init__(name, asked, cores, self.home / "tollway.log")
        self.address = ("127.0.0.1", free_port())
        self.batch_url = self.stream_url = f"http://{self.host}/v1/chat/completions"
        self.version = __version__
        self.ledger = ledger
        self.configure(PROVIDER_CONFIG.format(id="simulator", address=behind.host, model=MODEL))

    def configure(self, providers: str) -> None:
        """Write its configuration, with these providers in it."""
        text = ROUTER_CONFIG.format(port=self.address[1], credit=CREDIT_USD, ledger=self.ledger)
        self.config.write_text(text + providers)

    def start(self) -> float:
        """As any server; then signed in anew, since a sign-in lasts an hour."""
        ready_s = super().start()
        if not self.wallet.exists():
            self._tollway("wallet", "new", "--chain", "solana", "--out", self.wallet)
        signed = self._tollway("sign-in", "--wallet", self.wallet, "--url", f"http://{self.host}", "--lifetime", "1h")
        self.headers = (f"Sign-In-With-X: {signed}",)
        return ready_s

    def books(self) -> dict[str, int]:
        """What an audit counts. BenchFailed when there are differences, or no books that can be reached."""
        counted: dict[str, int] = json.decode(self._tollway("ledger", "audit", "--config", self.config, "--json"))
        return counted

    def check_empty(self) -> None:
        """BenchFailed when these books are somebody's."""
        held = self.books()["accounts"]
        if held:
            raise BenchFailed(
                f"{self.ledger} holds {held} accounts: give an empty database, since load is booked in it"
            )

    def check(self) -> str:
        """That the books balance and hold each answer once, in a sentence. BenchFailed when they don't."""
        books = self.books()
        if (books["posts"], books["voids"], books["pending"]) != (self.answered, 0, 0):
            raise BenchFailed(f"{self.answered} answers were given by {self.name}, and its books say {books}")
        return f"{self.name}: the books balance, {self.answered} answers given and {self.answered} posted."

    def _tollway(self, *words: object) -> str:
        return run(*command(*words), more=self.environment)
