"""The router serves HTTPS by itself: with real handshakes, OpenAI's client, and a certificate that is renewed."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
import trustme

from helpers.running import Running, chat, running
from helpers.settled import settled
from helpers.until import until
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import Wallet
from tollway.server import accepting
from tollway.simulator import expected_text

FILES = '[server]\ntls_cert = "{folder}/cert.pem"\ntls_key = "{folder}/key.pem"\n'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def issue(authority: trustme.CA, folder: Path, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> None:
    """A new certificate for this machine."""
    cert = authority.issue_cert("127.0.0.1", key_type=kind)
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    cert.private_key_pem.write_to_path(str(folder / "key.pem"))


@contextlib.asynccontextmanager
async def secured(authority: trustme.CA, folder: Path, scenario: str = "tokens=5") -> AsyncIterator[Running]:
    issue(authority, folder)
    async with running({"sim": scenario}, config=FILES.format(folder=folder)) as router:
        assert router.url.startswith("https://127.0.0.1:")
        yield router


def bearer(router: Running, wallet: Wallet) -> str:
    return sign_in_header(wallet, router.url, 600, time.time_ns() // 1_000_000)


async def shown(router: Running, trusting: ssl.SSLContext) -> tuple[int, str | None]:
    """The serial number of the certificate that a new connection is shown, and the version of TLS."""

    def connect() -> tuple[int, str | None]:
        place = urlsplit(router.url)
        assert place.hostname and place.port
        with (
            socket.create_connection((place.hostname, place.port), 10) as plain,
            trusting.wrap_socket(plain, server_hostname=place.hostname) as secure,
        ):
            found = secure.getpeercert()
            assert found is not None
            return int(str(found["serialNumber"]), 16), secure.version()

    return await asyncio.to_thread(connect)


async def test_openais_client_asks_and_streams_over_https(
    authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    async with secured(authority, tmp_path) as router:
        wallet = await router.wallet("1.00")
        client = openai.AsyncOpenAI(
            base_url=f"{router.url}/v1",
            api_key=bearer(router, wallet),
            http_client=openai.DefaultAsyncHttpxClient(verify=trusting),
        )
        async with client:
            answer = await client.chat.completions.create(**chat())
            assert answer.choices[0].message.content == expected_text(5)
            stream = await client.chat.completions.create(**chat(stream=True))
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert text == expected_text(5)
        assert (await settled(router, wallet))["charged"] > 0


async def test_who_does_not_trust_the_authority_is_not_served(authority: trustme.CA, tmp_path: Path) -> None:
    async with secured(authority, tmp_path) as router, httpx2.AsyncClient(base_url=router.url) as client:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get("/healthz")


async def test_plain_http_at_an_https_address_gets_no_answer_and_harms_nobody(
    authority: trustme.CA, tmp_path: Path
) -> None:
    async with secured(authority, tmp_path) as router:
        async with httpx2.AsyncClient() as client:
            with pytest.raises(httpx2.TransportError):
                await client.get(router.url.replace("https:", "http:") + "/healthz")
        assert (await router.http.get("/healthz")).status_code == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(authority: trustme.CA, tmp_path: Path) -> None:
    async with secured(authority, tmp_path) as router:
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = ssl.create_default_context()
            authority.configure_trust(context)
            context.minimum_version = context.maximum_version = version
            assert (await shown(router, context))[1] == name
        old = ssl.create_default_context()
        authority.configure_trust(old)
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            await shown(router, old)


@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
async def test_a_renewed_certificate_is_shown_after_a_reload_while_open_connections_go_on(
    authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path, kind: trustme.KeyType
) -> None:
    async with secured(authority, tmp_path) as router:
        first = (await shown(router, trusting))[0]
        assert (await router.http.get("/healthz")).status_code == 200
        issue(authority, tmp_path, kind)
        assert (await shown(router, trusting))[0] == first
        assert await router.reload()
        second = (await shown(router, trusting))[0]
        assert second != first
        assert (await router.http.get("/healthz")).status_code == 200  # on the connection from before
        issue(authority, tmp_path)
        assert await router.reload()
        assert (await shown(router, trusting))[0] not in (first, second)


async def test_a_certificate_that_does_not_fit_its_key_is_kept_out(
    authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured(authority, tmp_path) as router:
        before = await shown(router, trusting)
        key = (tmp_path / "key.pem").read_bytes()
        issue(authority, tmp_path)
        (tmp_path / "key.pem").write_bytes(key)
        assert not await router.reload()
        assert "server.tls_key: the key in" in caplog.text
        assert await shown(router, trusting) == before


async def test_turning_tls_off_waits_for_a_restart_and_takes_the_rest(
    authority: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured(authority, tmp_path) as router:
        files = FILES.format(folder=tmp_path).removeprefix("[server]\n")
        assert await router.reload((files, ""), ("max_output_tokens = 1000", "max_output_tokens = 7"))
        assert "only a restart applies it: server.tls_cert" in caplog.text
        assert (await shown(router, trusting))[1] is not None
        assert (await router.get("/models"))["data"][0]["max_output_tokens"] == 7
        wallet = await router.wallet("1")
        assert (await router.post(wallet, chat())).status_code == 200


async def test_a_handshake_that_does_not_come_takes_a_place_only_for_a_while(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "HANDSHAKE_S", 0.3)
    async with secured(authority, tmp_path) as router:
        open_now = router.router.metrics.process.connections
        place = urlsplit(router.url)
        lines = [await asyncio.open_connection(place.hostname, place.port) for _ in range(5)]
        try:
            await until(lambda: open_now() == 5)
            await until(lambda: open_now() == 0)
            assert [await reader.read() for reader, _ in lines] == [b""] * 5
        finally:
            for _, writer in lines:
                writer.close()
        wallet = await router.wallet("1.00")
        assert (await router.post(wallet, chat())).status_code == 200
