"""Other gateways: where each comes from, how it is set up for production, and how it is started.

Each is installed at a pinned version, with hashes, into an environment of its own under the cache; nothing of theirs is
in ours. One that can't be had here is left out of the run, with its reason."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from tollway.bench.gateways import MODEL, Gateway
from tollway.bench.server import BenchFailed, free_port, run

LOCKS = Path(__file__).parent / "peers"
INSTALL_S_MAX = 900.0  # LiteLLM's proxy is 120 packages
KEY = "sk-bench-0123456789abcdef"

LITELLM = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://{provider}/v1
      api_key: sk-provider
litellm_settings:
  request_timeout: 600
  set_verbose: false
  json_logs: true
general_settings:
  master_key: {key}
"""

ROLTER = """\
[server]
host = "127.0.0.1"
port = {port}

[queue]
capacity = 4096
workers = 64

[[providers]]
name = "simulator"
kind = "openai_compatible"
api_base = "http://{provider}"

[[routes]]
model = "{model}"
strategy = "round_robin"

[[routes.targets]]
provider = "simulator"
model = "{model}"

[[virtual_keys]]
key = "{key}"
name = "bench"
models = []

[[model_prices]]
model = "{model}"
input_per_mtok = 0.1
output_per_mtok = 0.4
"""

FERRO = """\
strategy:
  mode: single
targets:
  - virtual_key: openai
"""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway. `settings`: what of its own advice for production is followed, for the page with the figures."""

    name: str
    language: str
    source: str  # pypi or npm
    lock: str  # in bench/peers
    package: str
    settings: str
    set_up: Callable[["Place"], Gateway]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer is set up with: its installation, a folder for its configuration, and where the provider is."""

    name: str
    installed: Path
    home: Path
    cores: frozenset[int]
    provider: str  # host:port
    port: int

    def gateway(self, *command: object, ready: str, headers: tuple[str, ...] = (), **environment: str) -> Gateway:
        gateway = Gateway(self.name, command, self.cores, self.home / "log")
        gateway.required = False
        gateway.address = ("127.0.0.1", self.port)
        gateway.ready_path = ready
        gateway.headers = headers
        gateway.environment = environment
        gateway.batch_url = gateway.stream_url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        return gateway

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text.format(port=self.port, provider=self.provider, model=MODEL, key=KEY))
        return path

    def program(self, name: str) -> Path:
        return self.installed / "bin" / name


def litellm(place: Place) -> Gateway:
    config = place.write("config.yaml", LITELLM)
    return place.gateway(
        *(place.program("litellm"), "--config", config, "--host", "127.0.0.1"),
        *("--port", place.port, "--num_workers", 1),
        ready="/health/liveliness",
        headers=(f"Authorization: Bearer {KEY}",),
        LITELLM_MODE="PRODUCTION",
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )


def rolter(place: Place) -> Gateway:
    return place.gateway(
        *(place.program("rolter"), "gateway", "--config", place.write("rolter.toml", ROLTER)),
        ready="/readyz",
        headers=(f"Authorization: Bearer {KEY}",),
        RUST_LOG="warn",
    )


def vllm_router(place: Place) -> Gateway:
    return place.gateway(
        *(place.program("vllm-router"), "--host", "127.0.0.1", "--port", place.port),
        *("--worker-urls", f"http://{place.provider}", "--policy", "round_robin"),
        *("--prometheus-port", free_port(), "--log-level", "warning"),
        ready="/health",
    )


def ferro(place: Place) -> Gateway:
    gateway = place.gateway(
        *(place.program("ferrogw"), "serve"),
        ready="/readyz",
        headers=(f"Authorization: Bearer {KEY}",),
        PORT=str(place.port),
        GATEWAY_CONFIG=str(place.write("config.yaml", FERRO)),
        MASTER_KEY=KEY,
        OPENAI_API_KEY="sk-provider",
        OPENAI_BASE_URL=f"http://{place.provider}",
        LOG_LEVEL="warn",
        RATE_LIMIT_RPS="1000000",
        RATE_LIMIT_BURST="1000000",
    )
    gateway.spare_events = 1  # it asks for usage on its own
    return gateway


def portkey(place: Place) -> Gateway:
    node = shutil.which("node")
    if node is None:
        raise BenchFailed("node is not installed")
    start = place.installed / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    return place.gateway(
        *(node, start, "--headless", f"--port={place.port}"),
        ready="/",
        headers=(
            "Authorization: Bearer sk-provider",
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://{place.provider}/v1",
        ),
        NODE_ENV="production",
    )


PEERS = (
    Peer(
        name="rolter",
        language="Rust",
        source="pypi",
        lock="rolter.txt",
        package="rolter",
        settings="one virtual key, one priced model, logs from warn, a queue that takes 500 streams at once; no Redis, "
        "so no budgets",
        set_up=rolter,
    ),
    Peer(
        name="vllm-router",
        language="Rust",
        source="pypi",
        lock="vllm-router.txt",
        package="vllm-router",
        settings="round robin, logs from warning; it has neither keys nor prices",
        set_up=vllm_router,
    ),
    Peer(
        name="Ferro",
        language="Go",
        source="pypi",
        lock="ferro.txt",
        package="ferrogw",
        settings="a master key, one target, logs from warn, no limit on rates; keys and configuration in memory",
        set_up=ferro,
    ),
    Peer(
        name="Portkey",
        language="JavaScript",
        source="npm",
        lock="portkey/package-lock.json",
        package="@portkey-ai/gateway",
        settings="headless, NODE_ENV=production, @hono/node-server held at 1.14.0: from 1.14.2 on its streams fail "
        "(its issue 1389); it has no keys of its own",
        set_up=portkey,
    ),
    Peer(
        name="LiteLLM",
        language="Python",
        source="pypi",
        lock="litellm.txt",
        package="litellm",
        settings="as its page on production says: LITELLM_MODE=PRODUCTION, LITELLM_LOG=ERROR, json_logs, a master key; "
        "one worker; no database, so no budgets",
        set_up=litellm,
    ),
)


def installed(lock: str, cache: Path, say: Callable[[str], None]) -> Path:
    """Where what a lock file names is installed; done once for each content of it. BenchFailed when it can't be."""
    path = LOCKS / lock
    name = path.parent.name if path.suffix == ".json" else path.stem
    place = cache / name
    stamp = place / ".locked"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return place
    say(f"installing {name}")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if path.suffix == ".json":
        _install_npm(path.parent, place)
    else:
        _install_pypi(path, place)
    stamp.write_text(digest)
    return place


def _install_pypi(lock: Path, place: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", place)
    run(
        *(sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install", "--quiet"),
        # Not what each asks for but what was locked, which may differ: bench/peers/*.override says where and why.
        *("--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", lock),
        timeout_s=INSTALL_S_MAX,
    )


def _install_npm(source: Path, place: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise BenchFailed("npm is not installed")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(source / name, place)
    run(npm, "ci", "--prefix", place, "--no-progress", timeout_s=INSTALL_S_MAX)


def version(peer: Peer) -> str:
    """As the lock file has it."""
    lock = LOCKS / peer.lock
    if peer.source == "npm":
        packages = msgspec.json.decode(lock.read_bytes())["packages"]
        return str(packages[f"node_modules/{peer.package}"]["version"])
    for line in lock.read_text().splitlines():
        if line.startswith(f"{peer.package}=="):
            return line.removeprefix(f"{peer.package}==").split()[0]
    raise BenchFailed(f"{peer.lock} has no {peer.package}")


def set_up(
    peer: Peer, cache: Path, folder: Path, cores: frozenset[int], behind: Gateway, say: Callable[[str], None]
) -> Gateway:
    """Installed if need be, and ready to be started. BenchFailed when it can't be had here."""
    place = installed(peer.lock, cache, say)
    home = folder / peer.name
    home.mkdir()
    where = Place(name=peer.name, installed=place, home=home, cores=cores, provider=behind.host, port=free_port())
    gateway = peer.set_up(where)
    gateway.version = version(peer)
    return gateway
