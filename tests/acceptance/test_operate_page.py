"""docs/operate.md and docs/security.md where an operator has to be able to believe them: the unit and the proxy are
what systemd and nginx accept, a backup restores, secrets can be made anew, and no URL of a caller's is fetched."""

import asyncio
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
import trustme

from helpers.commands import CONFIG, ENVIRONMENT, TIMEOUT_S, TOLLWAY, printed, router, simulator, tollway
from helpers.console import BLOCK
from helpers.require import require_nginx, require_systemd
from helpers.running import chat, running
from tollway.client.api import RouterClient
from tollway.client.wallet import SolanaWallet, account_id

pytestmark = pytest.mark.acceptance

PAGE = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")


def block(language: str, heading: str) -> str:
    """The first block in a language below a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return next(match[2] for match in BLOCK.finditer(section) if match[1] == language)


def shell(script: str, folder: Path) -> None:
    path = f"{TOLLWAY.parent}:{ENVIRONMENT['PATH']}"
    ran = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**ENVIRONMENT, "PATH": path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert ran.returncode == 0, ran.stderr


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = require_systemd()
    unit = tmp_path / "tollway.service"
    unit.write_text(block("ini", "Run as a service").replace("/opt/tollway/bin/tollway", str(TOLLWAY)))
    ran = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert "tollway.service" not in ran.stderr, ran.stderr


def test_nginx_accepts_the_proxy(tmp_path: Path) -> None:
    nginx = require_nginx()
    certificate = trustme.CA().issue_cert("router.example.com")
    certificate.private_key_pem.write_to_path(tmp_path / "router.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "router.pem")
    server = block("nginx", "Behind a proxy").replace("/etc/ssl", str(tmp_path))
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{server}}}\n")
    command = [nginx, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-g", "error_log stderr;"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ran.returncode == 0, ran.stderr


def ask(url: str, wallet: SolanaWallet) -> str:
    body = {"model": "sim/model", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}
    with RouterClient(url, wallet) as client:
        balance: str = client.complete(body)["tollway"]["balance_usd"]
    return balance


def test_a_backup_of_a_running_router_restores_what_was_there(tmp_path: Path) -> None:
    wallet = SolanaWallet.new()
    account = account_id(wallet)
    with simulator(tmp_path) as provider:
        with router(tmp_path, provider.url) as serving:
            printed(tollway("ledger", "credit", account, "1.00", "--ref", "first", cwd=tmp_path))
            backed_up = ask(serving.url, wallet)
            shell(block("console", "Back up").splitlines()[0].removeprefix("$ "), tmp_path)
            assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
            assert ask(serving.url, wallet) != backed_up
            printed(tollway("ledger", "credit", account, "2.00", "--ref", "second", cwd=tmp_path))
        shell(block("sh", "Restore"), tmp_path)
        with router(tmp_path, provider.url) as serving:
            with RouterClient(serving.url, wallet) as client:
                assert client.get("/session/balance")["total_usd"] == backed_up
            printed(tollway("ledger", "credit", account, "2.00", "--ref", "second", cwd=tmp_path))
            ask(serving.url, wallet)
        printed(tollway("ledger", "audit", cwd=tmp_path))


def test_secrets_that_were_taken_out_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "tollway.toml").write_text(CONFIG.format(listen="127.0.0.1:0", base_url="http://127.0.0.1:9/v1"))

    def secrets() -> dict[str, bytes]:
        with sqlite3.connect(tmp_path / "ledger.db") as books:
            found = dict(books.execute("SELECT name, value FROM secrets").fetchall())
        books.close()
        return found

    with router(tmp_path, "http://127.0.0.1:9/v1"):
        before = secrets()
    shell(block("sh", "Keys and secrets").replace("tollway.db", "ledger.db"), tmp_path)
    assert secrets().keys() == {"receipts"}
    with router(tmp_path, "http://127.0.0.1:9/v1"):
        after = secrets()
    assert after.keys() == before.keys()
    assert {name for name, value in after.items() if value == before[name]} == {"receipts"}


@pytest.mark.asyncio
async def test_an_address_in_a_message_is_not_asked_for_anything() -> None:
    """The page that only waits to be fetched is fetched by nobody, and its address arrives as it was written."""
    asked: list[bytes] = []

    async def bait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(bait, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/image.png"
    content = [{"type": "text", "text": url}, {"type": "image_url", "image_url": {"url": url}}]
    async with server, running({"sim": "tokens=5"}) as served:
        wallet = await served.wallet("1.00")
        answer = await served.post(wallet, chat(messages=[{"role": "user", "content": content}]))
        assert answer.status_code == 200, answer.text
        await served.simulator.idle()
        (attempt,) = served.simulator.log
    assert asked == []
    assert json.loads(attempt.body)["messages"][0]["content"] == content
