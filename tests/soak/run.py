"""A router in a process of its own under constant load, what it holds meanwhile, and what is left of it after."""

import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from chaos.books import SqliteBooks, audit, credit_at_rest
from chaos.load import Wallets
from chaos.tally import PRICES
from chaos.trial import CONFIG, PROVIDER
from helpers.commands import TOLLWAY, Process, simulator, started
from helpers.until import until
from soak.callers import Callers
from soak.verdict import Row, Sample, rows
from tollway.cli.serve import free_address

RATE = 60.0  # calls a second: a third of what one core of a small machine serves
SAMPLE_S = 0.5
RELOAD_S = 5.0
PRIMING_CALLS = 200  # before what there is is taken for what there was: modules, caches, files
REST_S = 60.0  # for all that was under way to end, and idle connections to providers to grow old
CREDIT_USD = "100000"
SERVER = 'slow_reader = "2s"\nslow_sender = "2s"\n'
TIMEOUTS = 'timeouts = { first_byte = "1s", idle = "1s" }\n'
LEAKING = ("-m", "soak.leaking")


@dataclass
class Outcome:
    """What a run came to."""

    rows: list[Row]
    calls: Counter[str]
    bad: Counter[str]
    reloads: int
    differences: list[str]

    @property
    def faults(self) -> list[str]:
        """Each leak, and each thing that went wrong beside."""
        found = [f"{row.what}: {row.after:g} after the load, at most {row.bound:g}" for row in self.rows if row.leaks]
        if self.calls["broken off"]:
            found.append(f"answers broken off: {self.calls['broken off']}")
        return found + self.differences


@dataclass
class Watched:
    """A running router, and how it is asked what it holds."""

    process: Process
    books: SqliteBooks
    ops: httpx2.AsyncClient
    callers: Callers
    samples: list[Sample] = field(default_factory=list)

    async def sample(self) -> Sample:
        text = (await self.ops.get("/metrics")).text
        found = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.labels
        }
        held = await asyncio.to_thread(self.books.rows, "SELECT coalesce(sum(debits_pending), 0) FROM accounts")
        return Sample(
            calls=self.callers.calls.total(),
            memory=found["process_resident_memory_bytes"],
            files=found["process_open_fds"],
            tasks=found["tollway_tasks"],
            connections=found["tollway_connections"],
            upstream=found["tollway_provider_connections"],
            in_flight=found["tollway_calls_in_flight"],
            held=int(held[0][0]),
        )

    async def rest(self, seconds: float, like: Sample | None = None) -> Sample:
        """What is left when nobody calls: once it is no more than `like`, or when so much time has passed."""
        end = time.monotonic() + seconds
        while True:
            now = await self.sample()
            wanted = like or Sample(0, 0, 1e9, now.tasks if not now.in_flight else 0, 0, 0, 0, 0)
            there = (now.files, now.tasks, now.connections, now.upstream, now.in_flight, now.held)
            most = (wanted.files, wanted.tasks, wanted.connections, wanted.upstream, 0, 0)
            if all(value <= bound for value, bound in zip(there, most, strict=True)) or time.monotonic() > end:
                return now
            await asyncio.sleep(SAMPLE_S)

    async def load(self, seconds: float) -> int:
        """Sample, and reload the configuration now and then. How often that was done."""
        loop = asyncio.get_running_loop()
        begun, reloads = loop.time(), 0
        while (passed := loop.time() - begun) < seconds:
            self.samples.append(await self.sample())
            if passed > (reloads + 1) * RELOAD_S:
                reloads += 1
                self.process.running.send_signal(signal.SIGHUP)
            await asyncio.sleep(SAMPLE_S)
        return reloads


@contextlib.asynccontextmanager
async def watched(folder: Path, provider: str, seed: int, leaks: tuple[str, ...]) -> AsyncIterator[Watched]:
    books, wallets, ops = SqliteBooks(folder), Wallets(4), free_address("127.0.0.1:0")
    text = CONFIG.format(ledger=books.url).replace('[ops]\nlisten = ""', f'[ops]\nlisten = "{ops}"')
    text = text.replace("[server]\n", f"[server]\n{SERVER}")
    for own, (of_prompt, of_answer) in PRICES.items():
        text += PROVIDER.format(id=own, base_url=provider, input=of_prompt, output=of_answer) + TIMEOUTS
    (folder / "tollway.toml").write_text(text)
    for account in wallets.accounts:
        await asyncio.to_thread(credit_at_rest, books, account, CREDIT_USD, "start")
    program = (sys.executable, *LEAKING, ",".join(leaks)) if leaks else (TOLLWAY,)
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    serving = r"serving at (http://\S+)/api/v1"
    arguments = ("serve", "--log-level", "error")
    with started(*arguments, cwd=folder, ready=serving, environment=environment, program=program) as process:
        place = urlsplit(process.url)
        callers = Callers((str(place.hostname), int(place.port or 0)), wallets, random.Random(seed), RATE)
        async with httpx2.AsyncClient(base_url=f"http://{ops}", timeout=60.0, verify=False) as http:
            yield Watched(process, books, http, callers)


async def soak(
    folder: Path,
    seconds: float,
    seed: int,
    leaks: tuple[str, ...] = (),
    *,
    rest_s: float = REST_S,
    primed: int = PRIMING_CALLS,
) -> Outcome:
    """Load for so long, and then at most `rest_s` for all that was under way to end. `leaks` makes the router one that
    has them (leaking.py)."""
    with simulator(folder) as provider:
        async with watched(folder, provider.url, seed, leaks) as made:
            priming = Callers(made.callers.place, made.callers.wallets, random.Random(seed), RATE)
            priming.start()
            await until(lambda: priming.calls.total() >= primed, 60)
            await priming.stop()
            before = await made.rest(rest_s)
            made.callers.start()
            reloads = await made.load(seconds)
            await made.callers.stop()
            after = await made.rest(rest_s, before)
            found = audit(made.books)
            if leaks:
                made.process.running.kill()  # it would wait for what will never end
            return Outcome(
                rows(before, made.samples, after), made.callers.calls, made.callers.bad, reloads, _differences(found)
            )


def _differences(found: dict[str, Any]) -> list[str]:
    return [f"the books: {json.dumps(difference)}" for difference in found["differences"]]
