"""Behind a real nginx, as docs/operate.md has it: streams flow, and the client's address comes through unforged."""

import asyncio
import contextlib
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from helpers.commands import STOP_S
from helpers.require import require_nginx
from helpers.running import chat, running
from helpers.until import until
from tollway.cli.serve import free_address

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx]

CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {listen};
        location / {{
            proxy_pass {router};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_buffering off;
            proxy_read_timeout 15m;
        }}
    }}
}}
"""
CLIENT = "127.0.0.2"  # this machine by another name: nginx and the router see each other as 127.0.0.1


@pytest.fixture
def listen() -> str:
    return str(free_address("127.0.0.1:0"))


@contextlib.contextmanager
def nginx(folder: Path, listen: str, router: str) -> Iterator[None]:
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, listen=listen, router=router))
    process = subprocess.Popen([require_nginx(), "-p", folder, "-c", folder / "nginx.conf"])
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_S)


async def test_calls_pass_and_the_log_has_the_clients_own_address(
    listen: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    domain = f'[auth]\ndomains = ["{listen}"]\n[server]\ntrusted_proxies = ["127.0.0.1"]\n'
    async with running({"sim": "tokens=20"}, config=domain) as router:
        wallet = await router.wallet("1")
        with nginx(tmp_path, listen, router.url):
            router.url = f"http://{listen}"  # what the wallet signs in to
            headers = router.headers(wallet)
            transport = httpx2.AsyncHTTPTransport(local_address=CLIENT)
            async with httpx2.AsyncClient(base_url=router.url, transport=transport, timeout=30) as client:

                async def up() -> bool:
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx2.TransportError:
                        return False

                await until(up)
                answers = await asyncio.gather(
                    *(client.post("/v1/chat/completions", json=chat(stream=s), headers=headers) for s in (True, False))
                )
                assert [answer.status_code for answer in answers] == [200, 200]
                assert answers[0].text.endswith("data: [DONE]\n\n")
                with caplog.at_level(logging.INFO, "tollway"):
                    forged = await client.get("/v1/session/balance", headers={"x-forwarded-for": "198.51.100.9"})
                assert forged.status_code == 401
        (line,) = [record.getMessage() for record in caplog.records if '"event":"refused"' in record.getMessage()]
        assert f'"client":"{CLIENT}"' in line
