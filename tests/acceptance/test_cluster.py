"""Two routers as an operator runs them, in processes of their own, with one Valkey that is killed under load."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from helpers.commands import TIMEOUT_S, Process, complaint, configure, here, printed, simulator, started
from helpers.until import until
from helpers.valkey import Valkey, running_valkey
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id
from tollway.domain.money import parse_usd
from tollway.ledger import operator

pytestmark = pytest.mark.acceptance

BODY = {"model": "sim/model", "messages": [{"role": "user", "content": "simulate: tokens=3,prompt_tokens=10"}]}
CALLERS = 8


@contextlib.contextmanager
def replica(folder: Path, provider: str, valkey: Valkey, **limits: str) -> Iterator[Process]:
    folder.mkdir()
    configure(folder, provider)
    environment = {"TOLLWAY_CLUSTER__URL": str(valkey.url)}
    environment |= {f"TOLLWAY_LIMITS__{name.upper()}": value for name, value in limits.items()}
    with started("serve", cwd=folder, ready=r"serving at (http://\S+)/api/v1", environment=environment) as process:
        yield process


@contextlib.contextmanager
def replicas(folder: Path, **limits: str) -> Iterator[tuple[Valkey, list[Process], list[Path]]]:
    with (
        running_valkey() as valkey,
        simulator(folder) as provider,
        replica(folder / "a", provider.url, valkey, **limits) as one,
        replica(folder / "b", provider.url, valkey, **limits) as other,
    ):
        yield valkey, [one, other], [folder / "a", folder / "b"]


def signed_in(wallet: SolanaWallet, serving: Process) -> dict[str, str]:
    return {"sign-in-with-x": sign_in_header(wallet, serving.url, 600, time.time_ns() // 1_000_000)}


async def credited(folders: list[Path]) -> SolanaWallet:
    wallet = SolanaWallet.new()
    for folder in folders:
        await operator.credit(folder / "ledger.db", account_id(wallet), parse_usd("5.00"), "test")
    return wallet


async def test_two_processes_let_one_wallet_through_as_often_as_the_rate_says(tmp_path: Path) -> None:
    with replicas(tmp_path, requests="25/h") as (_, processes, folders):
        wallet = await credited(folders)
        async with httpx2.AsyncClient(timeout=TIMEOUT_S, verify=False) as http:
            answers = await asyncio.gather(
                *(
                    http.post(f"{process.url}/v1/chat/completions", json=BODY, headers=signed_in(wallet, process))
                    for process in processes
                    for _ in range(30)
                )
            )
        assert Counter(answer.status_code for answer in answers) == {200: 25, 429: 35}
        served = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers if answer.is_success]
        assert sorted(served) == list(range(25))


async def test_a_valkey_that_is_killed_and_started_again_under_load_costs_no_call_and_no_money(tmp_path: Path) -> None:
    with replicas(tmp_path, requests="100000/h", concurrency="100") as (valkey, processes, folders):
        wallet = await credited(folders)
        statuses: Counter[int] = Counter()
        ids: list[set[str]] = [set(), set()]
        stop = asyncio.Event()

        async def call(http: httpx2.AsyncClient, place: int) -> None:
            headers = signed_in(wallet, processes[place])
            while not stop.is_set():
                answer = await http.post(f"{processes[place].url}/v1/chat/completions", json=BODY, headers=headers)
                statuses[answer.status_code] += 1
                ids[place].add(answer.headers["x-request-id"])

        async def served(more: int) -> None:
            enough = statuses[200] + more
            await until(lambda: statuses[200] >= enough or any(caller.done() for caller in callers), TIMEOUT_S)

        async with httpx2.AsyncClient(timeout=TIMEOUT_S, verify=False) as http:
            callers = [asyncio.create_task(call(http, place % 2)) for place in range(CALLERS)]
            for _ in range(2):
                await served(40)
                valkey.kill()
                await served(40)
                valkey.start()
                for process in processes:
                    await asyncio.to_thread(process.said, "cluster_recovered")
                    process.lines.clear()
            await served(40)
            stop.set()
            await asyncio.gather(*callers)
        assert set(statuses) == {200}
        for folder, own in zip(folders, ids, strict=True):
            audit = json.loads(printed(here("ledger", "audit", "--json", cwd=folder)))
            assert (audit["posts"], audit["pending"], audit["differences"]) == (len(own), 0, [])


def test_the_log_says_once_that_valkey_is_lost_and_never_the_password(tmp_path: Path) -> None:
    configure(tmp_path)
    environment = {
        "TOLLWAY_CLUSTER__URL": "redis://router@127.0.0.1:9",
        "TOLLWAY_CLUSTER__PASSWORD_ENV": "WORD",
        "WORD": "hidden-word",
    }
    with started("serve", cwd=tmp_path, ready=r"serving at (http://\S+)/api/v1", environment=environment) as process:
        process.said("cluster_lost")
        for _ in range(20):
            httpx2.get(f"{process.url}/healthz")
    text = "".join(process.lines)
    assert text.count("cluster_lost") == 1
    assert "redis://router@127.0.0.1:9" in text and "hidden" not in text


def test_a_password_in_the_url_stops_the_start_and_is_not_shown(tmp_path: Path) -> None:
    configure(tmp_path)
    ran = here("serve", cwd=tmp_path, environment={"TOLLWAY_CLUSTER__URL": "redis://router:hidden@127.0.0.1:9"})
    said = complaint(ran)
    assert "cluster.password_env" in said and "hidden" not in said
