"""A router in a process of its own with a wallet of much credit and room for very many calls, and what an operator sees
that it holds."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from helpers.commands import TIMEOUT_S, TOLLWAY, Process, configure, here, printed, started
from helpers.crowd import Asked
from tollway.cli.serve import free_address
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id
from tollway.domain.money import parse_usd
from tollway.ledger import operator

ROOMY = """
[limits]
concurrency = 3000

[limits.address]
arriving = 3000
"""


class Loaded:
    """The router's process, how it is asked, and what it holds."""

    def __init__(self, process: Process, folder: Path, ops: str) -> None:
        self.process = process
        self.url = process.url
        self.folder = folder
        place = urlsplit(process.url)
        self.host, self.port = str(place.hostname), int(place.port or 0)
        wallet = SolanaWallet.new()
        asyncio.run(operator.credit(folder / "ledger.db", account_id(wallet), parse_usd("1000.00"), "test"))
        self.sign_in = sign_in_header(wallet, self.url, 600, time.time_ns() // 1_000_000)
        self._ops = httpx2.Client(base_url=f"http://{ops}", timeout=TIMEOUT_S)

    def close(self) -> None:
        self._ops.close()

    def request(self, scenario: str, **fields: Any) -> str:
        """A stream's, as it goes over the wire."""
        messages = [{"role": "user", "content": f"simulate: {scenario}"}]
        body = json.dumps({"model": "sim/model", "stream": True, "messages": messages, **fields})
        lines = {
            "host": "x",
            "sign-in-with-x": self.sign_in,
            "content-type": "application/json",
            "content-length": str(len(body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n{body}"

    def crowd_of(self, streams: int, scenario: str) -> Asked:
        return Asked(self.host, self.port, self.request(scenario), streams)

    def held(self) -> dict[str, float]:
        """The metrics, as `name label=value ...`: the labels that say something, in the order of their names."""
        return {
            " ".join(
                [sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()) if value)]
            ): sample.value
            for family in text_string_to_metric_families(self._ops.get("/metrics").text)
            for sample in family.samples
        }

    def at_rest(self) -> bool:
        """Nobody is connected, no call is in flight and no task runs but the router's own."""
        held = self.held()
        return not held["tollway_connections"] and not held["tollway_calls_in_flight"] and held["tollway_tasks"] < 10

    def rests(self) -> dict[str, float]:
        """Wait until it is at rest. What it holds then."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.at_rest():
            assert time.monotonic() < deadline, self.held()
            time.sleep(0.02)
        return self.held()

    def audit(self) -> Mapping[str, Any]:
        """What `tollway ledger audit` finds."""
        found: dict[str, Any] = json.loads(printed(here("ledger", "audit", "--json", cwd=self.folder)))
        return found


class Gates:
    """A simulator's, over HTTP."""

    def __init__(self, provider: str) -> None:
        self._http = httpx2.Client(base_url=provider.removesuffix("/v1"), timeout=TIMEOUT_S)

    def attempts(self) -> int:
        """How many have come so far."""
        return int(self._http.get("/seen").json()["seen"])

    def seen(self, attempts: int) -> None:
        """Wait until so many have come."""
        self._http.get("/seen", params={"count": attempts}).raise_for_status()

    def each(self, lockstep: str) -> int:
        """One event more in each stream that waits. How many went."""
        return int(self._http.post("/lockstep/each", params={"id": lockstep}).raise_for_status().json()["went"])

    def free(self, lockstep: str) -> None:
        self._http.post("/lockstep/free", params={"id": lockstep}).raise_for_status()

    def close(self) -> None:
        self._http.close()


@contextlib.contextmanager
def loaded(
    folder: Path, provider: str, server: str = "", *, program: Sequence[str | Path] = (TOLLWAY,)
) -> Iterator[Loaded]:
    """`tollway serve` on books in `folder`, in front of the provider at this base URL; `server` is more of [server],
    `program` how it is started."""
    ops = str(free_address("127.0.0.1:0"))
    configure(folder, provider)
    file = folder / "tollway.toml"
    text = file.read_text().replace('[ops]\nlisten = ""', f'[ops]\nlisten = "{ops}"\n{ROOMY}')
    file.write_text(text.replace("[server]\n", f"[server]\n{server}\n"))
    ready = r"serving at (http://\S+)/api/v1"
    with started("serve", cwd=folder, ready=ready, program=program) as process:
        router = Loaded(process, folder, ops)
        try:
            yield router
        finally:
            router.close()
