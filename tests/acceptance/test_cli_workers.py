"""`tollway serve --workers`: real router processes on one PostgreSQL, as a load balancer or an operator meets them."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from helpers.commands import CONFIG, Process, complaint, free_address, here, printed, simulator, started, tollway
from helpers.postgres import Server
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id
from tollway.config.places import LedgerUrl

pytestmark = pytest.mark.acceptance

SERVING = r"serving at (http://\S+)/api/v1 with 2 workers"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("simulator")) as process:
        yield process.url


@pytest.fixture
def books(postgres: Callable[[], Server]) -> Iterator[LedgerUrl]:
    with postgres().database() as url:
        yield url


def configure(folder: Path, provider: str, books: LedgerUrl, more: str = "") -> dict[str, str]:
    """Writes the configuration; the environment that its commands need."""
    text = CONFIG.format(listen=free_address("127.0.0.1:0"), base_url=provider)
    ledger = f'url = "{books.conninfo}"\n' + ("" if books.password is None else 'password_env = "BOOKS_PASSWORD"\n')
    (folder / "tollway.toml").write_text(text.replace('url = "sqlite:///ledger.db"\n', ledger) + more)
    return {} if books.password is None else {"BOOKS_PASSWORD": books.password.reveal()}


def neighbouring_ports() -> int:
    """The first of two that are free: each worker's operator listens one above the one before."""
    for _ in range(100):
        port = free_address("127.0.0.1:0").port
        with socket.socket() as neighbour, contextlib.suppress(OSError, OverflowError):
            neighbour.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two free ports stand side by side")


def workers_of(process: Process) -> list[int]:
    listing = Path(f"/proc/{process.running.pid}/task/{process.running.pid}/children").read_text()
    return [int(pid) for pid in listing.split()]


def audited(folder: Path, environment: dict[str, str]) -> dict[str, int]:
    report: dict[str, int] = json.loads(printed(here("ledger", "audit", "--json", cwd=folder, environment=environment)))
    return report


def soon(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def hammer(url: str, wallet: SolanaWallet, callers: int, each: int) -> list[httpx2.Response]:
    """Every call on a connection of its own, so that both workers get some of them."""
    body = {"model": "sim/model", "messages": [{"role": "user", "content": "simulate: tokens=5"}], "max_tokens": 10}
    sign_in = sign_in_header(wallet, url, 600, time.time_ns() // 1_000_000)

    async def call() -> list[httpx2.Response]:
        answers = []
        for _ in range(each):
            async with httpx2.AsyncClient(base_url=url, timeout=60, verify=False) as client:
                answers.append(
                    await client.post("/api/v1/chat/completions", json=body, headers={"sign-in-with-x": sign_in})
                )
        return answers

    return [answer for answers in await asyncio.gather(*(call() for _ in range(callers))) for answer in answers]


def test_two_router_processes_under_128_callers_never_overspend_one_wallet(
    provider: str, books: LedgerUrl, tmp_path: Path
) -> None:
    environment = configure(tmp_path, provider, books)
    wallet = SolanaWallet.new()
    printed(here("ledger", "credit", account_id(wallet), "0.005", "--ref", "r", cwd=tmp_path, environment=environment))
    port = neighbouring_ports()
    environment["TOLLWAY_OPS__LISTEN"] = f"127.0.0.1:{port}"
    with started("serve", "--workers", "2", cwd=tmp_path, ready=SERVING, environment=environment) as serving:
        assert len(workers_of(serving)) == 2
        for number in range(2):  # each has an operator's listener of its own
            assert httpx2.get(f"http://127.0.0.1:{port + number}/readyz", verify=False).status_code == 200
        answers = asyncio.run(hammer(serving.url, wallet, callers=128, each=2))
        assert {answer.status_code for answer in answers} == {200, 402}, {answer.text for answer in answers}
        serving.running.terminate()
        assert serving.ended() == 0
    served = [answer for answer in answers if answer.status_code == 200]
    report = audited(tmp_path, environment)
    assert report["differences"] == [] and report["pending"] == 0
    assert report["posts"] == len(served)
    assert 0 < report["charged_total"] <= report["credited_total"] == 5_000_000
    assert "Traceback" not in "".join(serving.lines)


def test_a_worker_that_dies_is_replaced_and_the_others_serve_on(
    provider: str, books: LedgerUrl, tmp_path: Path
) -> None:
    environment = configure(tmp_path, provider, books)
    wallet = SolanaWallet.new()
    printed(here("ledger", "credit", account_id(wallet), "5", "--ref", "r", cwd=tmp_path, environment=environment))
    with started("serve", "--workers", "2", cwd=tmp_path, ready=SERVING, environment=environment) as serving:
        before = workers_of(serving)
        os.kill(before[0], signal.SIGKILL)
        serving.said(r"worker 0 ended by itself \(SIGKILL\); another is started")
        answers = asyncio.run(hammer(serving.url, wallet, callers=8, each=2))
        assert {answer.status_code for answer in answers} == {200}
        soon(lambda: len(set(workers_of(serving)) - set(before)) == 1)
        workers = workers_of(serving)
        assert len(workers) == 2 and before[1] in workers
        serving.running.kill()
        soon(lambda: not any(_runs(pid) for pid in workers))  # none outlives the process that looks after it
    assert audited(tmp_path, environment)["posts"] == 16


def test_more_than_one_worker_needs_postgresql(provider: str, tmp_path: Path) -> None:
    text = CONFIG.format(listen="127.0.0.1:0", base_url=provider)
    (tmp_path / "tollway.toml").write_text(text)
    said = complaint(tollway("serve", "--workers", "2", cwd=tmp_path))
    assert re.match(r"--workers 2 needs a ledger that processes can share: .*postgresql://", said)


def test_workers_that_cannot_start_say_why_and_end_the_command(provider: str, tmp_path: Path) -> None:
    nowhere = LedgerUrl(store="postgresql", conninfo="postgresql://tollway@127.0.0.1:1/books")
    environment = configure(tmp_path, provider, nowhere)
    ran = tollway("serve", "--workers", "2", cwd=tmp_path, environment=environment)
    assert ran.returncode == 1
    assert "The ledger's database can't be used" in ran.stderr and "did not start: see above" in ran.stderr
    assert "Traceback" not in ran.stderr


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
