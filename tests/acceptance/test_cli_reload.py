"""SIGHUP to `tollway serve`: a real process reads its files again, and nobody who calls it notices."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from helpers.commands import TIMEOUT_S, Process, configure, router, simulator
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id
from tollway.domain.money import parse_usd
from tollway.ledger import operator

pytestmark = pytest.mark.acceptance

RELOADS = 20
CALLERS = 4  # of each kind
RELOADED = r"the configuration was reloaded"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("simulator")) as process:
        yield process.url


def signed_in(serving: Process, folder: Path) -> dict[str, str]:
    wallet = SolanaWallet.new()
    asyncio.run(operator.credit(folder / "ledger.db", account_id(wallet), parse_usd("100.00"), "test"))
    return {"sign-in-with-x": sign_in_header(wallet, serving.url, 600, time.time_ns() // 1_000_000)}


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "tollway.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def hang_up(serving: Process, pattern: str = RELOADED) -> None:
    """Ask for one reload and wait until the log says what came of it."""
    serving.lines.clear()
    serving.running.send_signal(signal.SIGHUP)
    serving.said(pattern)


def price(serving: Process) -> str:
    listed = httpx2.get(f"{serving.url}/v1/models").json()["data"][0]
    return str(listed["pricing"]["input"])


def test_reloads_under_load_drop_nothing(provider: str, tmp_path: Path) -> None:
    """As many reloads as there are signals with an answer; each caller calls until they are through."""
    with router(tmp_path, provider) as serving:
        headers = signed_in(serving, tmp_path)
        answers = asyncio.run(_reloads_under_load(serving, headers, tmp_path))
        assert serving.running.poll() is None
    assert len(answers) >= 2 * CALLERS
    assert [answer for answer in answers if answer not in ("batch 200 whole", "stream 200 whole")] == []


async def _reloads_under_load(serving: Process, headers: dict[str, str], folder: Path) -> list[str]:
    answers: list[str] = []
    done = asyncio.Event()

    async def caller(client: httpx2.AsyncClient, stream: bool) -> None:
        body = {
            "model": "sim/model",
            "messages": [{"role": "user", "content": "simulate: tokens=30"}],
            "stream": stream,
        }
        while not done.is_set():
            answer = await client.post("/v1/chat/completions", json=body, headers=headers)
            end = answer.text.endswith("data: [DONE]\n\n") if stream else '"tollway":' in answer.text
            answers.append(f"{'stream' if stream else 'batch'} {answer.status_code} {'whole' if end else answer.text}")

    async with httpx2.AsyncClient(base_url=serving.url, timeout=TIMEOUT_S, verify=False) as client:
        callers = [asyncio.ensure_future(caller(client, stream)) for stream in (True, False) * CALLERS]
        for _ in range(RELOADS // 2):
            change(folder, 'input = "1"', 'input = "2"')
            await asyncio.to_thread(hang_up, serving)
            assert (await client.get("/readyz")).status_code == 200
            change(folder, 'input = "2"', 'input = "1"')
            await asyncio.to_thread(hang_up, serving)
        done.set()
        await asyncio.gather(*callers)
    return answers


def test_a_signal_applies_what_is_in_the_file_then_and_a_broken_file_is_kept_out(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving:
        assert price(serving) == "0.000001"
        change(tmp_path, 'input = "1"', 'input = "2"')
        hang_up(serving)
        assert price(serving) == "0.000002"
        change(tmp_path, 'input = "2"', "input = 3.0")
        file = tmp_path / "tollway.toml"
        file.rename(tmp_path / "aside")
        os.mkfifo(file)  # nobody writes to it: to wait for that would stop the router
        hang_up(serving, r"not reloaded: .*tollway\.toml.*\(not a regular file")
        (tmp_path / "aside").replace(file)
        hang_up(serving, r"not reloaded: providers\[0\]\.models\[0\]\.price\.input = 3\.0")
        assert price(serving) == "0.000002"
        change(tmp_path, "input = 3.0", 'input = "3"')
        hang_up(serving)
        assert price(serving) == "0.000003"
        serving.running.terminate()
        assert serving.ended() == 0


def test_an_address_that_changes_waits_for_a_restart(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving:
        configure(tmp_path, provider)  # with another free port
        hang_up(serving, r"only a restart applies it: server\.listen")
        assert httpx2.get(f"{serving.url}/readyz").status_code == 200
