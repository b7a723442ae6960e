"""How a transport comes to a connection: names, addresses, proxies, TLS; and what is limited while it does."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from helpers.raw_server import Connection, RawServer
from helpers.transports import HELLO, Play, fetch, post, server_side
from helpers.until import until
from tollway.domain.errors import ProviderFault
from tollway.domain.proxies import Proxies, Proxy
from tollway.domain.seams import Transport
from tollway.upstream.http1.names import Address
from tollway.upstream.http1.transport import Http1Transport

SHORT_S = 0.2  # a connect limit that is meant to pass


class Directory:
    """Answers for names, as a resolver: with these addresses, once `open` is set."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self.addresses = [Address(socket.AF_INET, address) for address in addresses]
        self.asked: list[tuple[str, int]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append((host, port))
        await self.open.wait()
        return self.addresses


@contextlib.contextmanager
def nobody_accepts() -> Iterator[int]:
    """The port of a listener whose queue is full: who connects hears nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def files() -> int:
    """How many descriptors this process has: a socket that is still connecting has no peer to be known by."""
    return len(list(Path("/dev/fd").iterdir()))


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


async def refused(transport: Transport, url: str, *, limit_s: float = 10.0) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        await transport.send(post(url, connect_timeout=limit_s))
    assert caught.value.outcome == "connect_failed"
    return caught.value


def trusting(authority: trustme.CA, **options: Any) -> Http1Transport:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Http1Transport(ssl_context=context, **options)


# --- names and addresses


async def test_a_name_is_asked_of_the_system(transport: Transport) -> None:
    """localhost may be ::1 first, where nobody listens."""
    async with RawServer(Play(HELLO)) as server:
        assert await fetch(transport, post(f"http://localhost:{server.port}/")) == b"hello"


async def test_an_address_that_says_nothing_is_not_waited_for() -> None:
    with nobody_accepts() as dead:
        async with RawServer(Play(HELLO)) as server:
            transport = Http1Transport(resolve=Directory(("127.0.0.1", dead), ("127.0.0.1", server.port)))
            before = files()
            assert await fetch(transport, post("http://provider.test/", connect_timeout=30)) == b"hello"
            await transport.aclose()
            await server.connections[0].dropped.wait()
            await until(lambda: files() == before)


async def test_an_address_that_refuses_is_followed_by_the_next() -> None:
    async with RawServer(Play(HELLO)) as server:
        transport = Http1Transport(resolve=Directory(("127.0.0.1", unused_port()), ("127.0.0.1", server.port)))
        assert await fetch(transport, post("http://provider.test/")) == b"hello"
        await transport.aclose()


async def test_a_name_is_looked_up_again_once_none_of_its_addresses_answers() -> None:
    directory = Directory(("127.0.0.1", unused_port()), ("127.0.0.1", unused_port()))
    transport = Http1Transport(resolve=directory)
    for _ in range(2):
        fault = await refused(transport, "http://provider.test:81/")
        assert isinstance(fault.__cause__, ConnectionRefusedError)
    assert directory.asked == [("provider.test", 81)] * 2
    await transport.aclose()


async def test_a_name_is_looked_up_once_for_all_who_wait_and_those_who_come_soon_after() -> None:
    async with RawServer(Play(HELLO)) as server:
        directory = Directory(("127.0.0.1", server.port))
        directory.open.clear()
        transport = Http1Transport(resolve=directory)
        fetching = [asyncio.create_task(fetch(transport, post("http://provider.test/"))) for _ in range(5)]
        await until(lambda: directory.asked)
        fetching[0].cancel()
        directory.open.set()
        assert await asyncio.gather(*fetching[1:]) == [b"hello"] * 4
        with pytest.raises(asyncio.CancelledError):
            await fetching[0]
        await asyncio.gather(*(fetch(transport, post("http://provider.test/")) for _ in range(8)))
        assert directory.asked == [("provider.test", 80)]
        await transport.aclose()


async def test_a_name_without_an_address_leads_nowhere() -> None:
    transport = Http1Transport(resolve=Directory())
    await refused(transport, "http://provider.test/")
    await transport.aclose()


async def test_connecting_is_limited_from_the_name_on() -> None:
    directory = Directory()
    directory.open.clear()
    transport = Http1Transport(resolve=directory)
    assert "connect limit" in (await refused(transport, "http://provider.test/", limit_s=SHORT_S)).detail
    await transport.aclose()
    directory.open.set()


async def test_connecting_is_limited_where_no_address_answers(transport: Transport) -> None:
    with nobody_accepts() as dead:
        before = files()
        assert "connect limit" in (await refused(transport, f"http://127.0.0.1:{dead}/", limit_s=SHORT_S)).detail
        assert files() == before


async def test_who_gives_up_while_addresses_are_tried_leaves_no_socket() -> None:
    with nobody_accepts() as dead, nobody_accepts() as dead_too:
        transport = Http1Transport(resolve=Directory(("127.0.0.1", dead), ("127.0.0.1", dead_too)))
        before = files()
        sending = asyncio.create_task(transport.send(post("http://provider.test/")))
        await until(lambda: files() == before + 2)  # one after the other
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: files() == before)
        await transport.aclose()


# --- proxies


def proxies(server: RawServer, **fields: Any) -> Proxies:
    """Everything through `server`, with credentials."""
    proxy = Proxy(host="127.0.0.1", port=server.port, authorization="Basic c2VjcmV0", **fields)
    return Proxies(http=proxy, https=proxy, direct=["direct.test"])


class Gateway:
    """A proxy's script: answers CONNECT with `said`, then passes bytes to and from `port`."""

    def __init__(self, port: int, said: bytes = b"HTTP/1.1 200 Connection established\r\nx: 1\r\n\r\n") -> None:
        self.port = port
        self.said = said
        self.heads: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, connection: Connection) -> None:
        head = await connection.head()
        if head is None:
            return
        self.heads.append((head[0], dict(head[1])))
        await connection.send(self.said)
        if b" 200 " not in self.said:
            await connection.wait_dropped()
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(pass_on(connection.reader, writer), pass_on(reader, connection.writer))
        finally:
            writer.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


async def test_plain_http_is_asked_of_the_proxy_by_the_whole_url() -> None:
    async with RawServer(Play(HELLO)) as proxy:
        transport = Http1Transport(proxies=proxies(proxy))
        for url in ("http://provider.test/v1/chat?a=b", "http://other.test:8080"):
            assert await fetch(transport, post(url)) == b"hello"
        assert [request.line for request in proxy.requests] == [
            "POST http://provider.test/v1/chat?a=b HTTP/1.1",
            "POST http://other.test:8080/ HTTP/1.1",
        ]
        assert [request.header("host") for request in proxy.requests] == ["provider.test", "other.test:8080"]
        assert {request.header("proxy-authorization") for request in proxy.requests} == {"Basic c2VjcmV0"}
        assert len(proxy.connections) == 1
        await transport.aclose()


async def test_https_goes_through_a_tunnel_that_the_proxy_cannot_look_into(authority: trustme.CA) -> None:
    async with RawServer(Play(HELLO), tls=server_side(authority, "provider.test")) as server:
        gateway = Gateway(server.port)
        async with RawServer(gateway) as proxy:
            transport = trusting(authority, proxies=proxies(proxy))
            for _ in range(2):
                assert await fetch(transport, post("https://provider.test/v1")) == b"hello"
            await transport.aclose()
        assert gateway.heads == [
            (
                "CONNECT provider.test:443 HTTP/1.1",
                {"host": "provider.test:443", "proxy-authorization": "Basic c2VjcmV0"},
            )
        ]
        assert [request.line for request in server.requests] == ["POST /v1 HTTP/1.1"] * 2
        assert [request.header("proxy-authorization") for request in server.requests] == [None, None]


async def test_a_proxy_may_be_spoken_to_over_tls(authority: trustme.CA) -> None:
    async with RawServer(Play(HELLO), tls=server_side(authority, "provider.test")) as server:
        async with RawServer(Gateway(server.port), tls=server_side(authority, "127.0.0.1")) as proxy:
            transport = trusting(authority, proxies=proxies(proxy, tls=True))
            assert await fetch(transport, post("https://provider.test/")) == b"hello"
            await transport.aclose()
        async with RawServer(Play(HELLO), tls=server_side(authority, "127.0.0.1")) as proxy:
            transport = trusting(authority, proxies=proxies(proxy, tls=True))
            assert await fetch(transport, post("http://provider.test/")) == b"hello"
            await transport.aclose()


async def test_what_is_to_be_asked_directly_is() -> None:
    async with RawServer(Play(HELLO)) as server, RawServer(Connection.wait_dropped) as proxy:
        transport = Http1Transport(proxies=proxies(proxy), resolve=Directory(("127.0.0.1", server.port)))
        for host in ("direct.test", "below.direct.test", "127.0.0.1", "localhost"):
            assert await fetch(transport, post(f"http://{host}:{server.port}/")) == b"hello"
        assert not proxy.connections
        await transport.aclose()


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 407 What is c2VjcmV0\r\nproxy-authenticate: Basic\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nbad",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 299 OK\r\n" + b"x: 1\r\n" * 5_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
        b"HTTP/1.1 299 OK\r\n\r\nunasked",
    ],
    ids=["407", "502", "101", "no HTTP", "an endless head", "endless 1xx", "more than its answer"],
)
async def test_a_proxy_that_does_not_lead_there_is_a_failed_connection(said: bytes) -> None:
    async with RawServer(Gateway(0, said)) as proxy:
        transport = Http1Transport(proxies=proxies(proxy))
        fault = await refused(transport, "https://provider.test/")
        assert "c2VjcmV0" not in fault.detail
        await proxy.connections[0].dropped.wait()
        await transport.aclose()


async def test_connecting_is_limited_together_with_the_proxys_answer() -> None:
    async with RawServer(Connection.wait_dropped) as proxy:
        transport = Http1Transport(proxies=proxies(proxy))
        assert "connect limit" in (await refused(transport, "https://provider.test/", limit_s=SHORT_S)).detail
        await proxy.connections[0].dropped.wait()
        await transport.aclose()


async def test_who_gives_up_on_a_proxy_leaves_no_socket() -> None:
    async with RawServer(Connection.wait_dropped) as proxy:
        transport = Http1Transport(proxies=proxies(proxy))
        sending = asyncio.create_task(transport.send(post("https://provider.test/")))
        await until(lambda: proxy.connections)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await proxy.connections[0].dropped.wait()
        await transport.aclose()


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def test_a_certificate_of_a_trusted_authority_is_accepted(authority: trustme.CA) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    transport = Http1Transport(ssl_context=context)
    async with RawServer(Play(HELLO), tls=server_side(authority, "127.0.0.1")) as server:
        assert await fetch(transport, post(server.url)) == b"hello"
        assert await fetch(transport, post(server.url)) == b"hello"
        assert len(server.connections) == 1
        await transport.aclose()


@pytest.mark.parametrize(("trusted", "name"), [(False, "127.0.0.1"), (True, "provider.example")])
async def test_a_certificate_of_nobody_we_trust_or_for_another_host_is_refused(
    authority: trustme.CA, trusted: bool, name: str
) -> None:
    context = ssl.create_default_context()
    if trusted:
        authority.configure_trust(context)
    transport = Http1Transport(ssl_context=context)
    async with RawServer(Play(HELLO), tls=server_side(authority, name)) as server:
        with pytest.raises(ProviderFault) as caught:
            await transport.send(post(server.url))
        assert not server.requests
    assert caught.value.outcome == "connect_failed"
    await transport.aclose()


async def test_certificates_are_checked_without_being_told_to(transport: Transport, authority: trustme.CA) -> None:
    async with RawServer(Play(HELLO), tls=server_side(authority, "127.0.0.1")) as server:
        with pytest.raises(ProviderFault):
            await transport.send(post(server.url))
        assert not server.requests


async def test_a_host_is_named_in_the_handshake_and_its_session_is_taken_up_again(authority: trustme.CA) -> None:
    named: list[str | None] = []
    resumed: list[bool] = []

    async def script(connection: Connection) -> None:
        resumed.append(connection.writer.get_extra_info("ssl_object").session_reused)
        await connection.request()
        await connection.send(HELLO.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))

    context = server_side(authority, "provider.test")
    context.sni_callback = lambda _, name, __: named.append(name)
    async with RawServer(script, tls=context) as server:
        transport = trusting(authority, resolve=Directory(("127.0.0.1", server.port)))
        for _ in range(3):
            assert await fetch(transport, post("https://provider.test/")) == b"hello"
        await transport.aclose()
    assert named[0] == "provider.test"
    assert resumed == [False, True, True]
