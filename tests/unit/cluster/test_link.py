"""The connection to Valkey: what a lost one costs, what is said of it, and that it comes back by itself."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from helpers.until import until
from helpers.valkey import Valkey, running_valkey
from tollway.cluster import link as link_module
from tollway.cluster.link import BATCH_MAX, SAID_MAX, Link
from tollway.config.valkey import ValkeyUrl, valkey_url
from tollway.domain.errors import LimitsUnavailable
from tollway.domain.observer import NullObserver

LOOK = ("take", False, "", [("k", 1, -1, [(10, 60)])])
TAKE = ("take", True, "", [("k", 1, -1, [(1_000_000, 60)])])


class Alarms(NullObserver):
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def alarm(self, what: str, detail: str) -> None:
        self.said.append((what, detail))

    @property
    def names(self) -> list[str]:
        return [what for what, _ in self.said]


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "PROBE_S", 0.02)


@asynccontextmanager
async def linked(
    url: ValkeyUrl, password: str | None = None, answer_s: float = 30
) -> AsyncIterator[tuple[Link, Alarms]]:
    alarms = Alarms()
    link = Link(url, password, alarms, answer_s=answer_s)
    await link.open()
    try:
        yield link, alarms
    finally:
        await link.aclose()


async def used(link: Link) -> int:
    (_, _, (((left, *_),),)) = await link.ask(("take", False, "", [("k", 1, -1, [(1_000_000, 60)])]))
    return 1_000_000 - int(left)


@pytest.fixture
def own() -> Iterator[Valkey]:
    """A Valkey that the test may kill."""
    with running_valkey() as server:
        yield server


# --- while it is there


async def test_those_who_ask_at_once_are_answered_in_their_order(valkey: Callable[[], Valkey]) -> None:
    server = valkey()
    server.empty()
    with server.client() as client:
        client.config_resetstat()
    async with linked(server.url) as (link, alarms):
        many = 3 * BATCH_MAX
        answers = await asyncio.gather(*(link.ask(TAKE) for _ in range(many)))
        assert [1_000_000 - levels[0][0][0] for _, _, levels in answers] == list(range(1, many + 1))
        with server.client() as client:
            calls = client.info("commandstats")
        assert alarms.said == []
        assert calls["cmdstat_evalsha"]["calls"] < many / 10  # type: ignore[index]


async def test_what_is_said_is_carried_out_before_what_is_asked_after_it(valkey: Callable[[], Valkey]) -> None:
    server = valkey()
    server.empty()
    async with linked(server.url) as (link, _):
        link.say(TAKE)
        assert await used(link) == 1


async def test_what_is_still_to_be_said_is_said_before_the_end(valkey: Callable[[], Valkey]) -> None:
    server = valkey()
    server.empty()
    async with linked(server.url) as (link, _):
        for _ in range(2 * BATCH_MAX):
            link.say(TAKE)
    async with linked(server.url) as (link, _):
        assert await used(link) == 2 * BATCH_MAX


async def test_who_has_gone_before_it_was_sent_asked_nothing(valkey: Callable[[], Valkey]) -> None:
    server = valkey()
    server.empty()
    async with linked(server.url) as (link, _):
        asking = asyncio.ensure_future(link.ask(TAKE))
        await asyncio.sleep(0)
        asking.cancel()
        assert await used(link) == 0


async def test_a_valkey_that_has_forgotten_its_scripts_is_told_them(valkey: Callable[[], Valkey]) -> None:
    server = valkey()
    server.empty()
    async with linked(server.url) as (link, alarms):
        await link.ask(TAKE)
        with server.client() as client:
            client.script_flush()
        await link.ask(TAKE)
        assert (await used(link), alarms.said) == (2, [])


async def test_a_unix_socket_and_a_numbered_database_are_places_of_their_own(valkey: Callable[[], Valkey]) -> None:
    server = valkey()
    server.empty()
    other = valkey_url(f"{server.socket_url}?db=3")
    async with linked(server.socket_url) as (first, _), linked(server.url) as (same, _), linked(other) as (third, _):
        await first.ask(TAKE)
        assert [await used(link) for link in (first, same, third)] == [1, 1, 0]


async def test_a_password_is_sent_and_never_shown() -> None:
    with running_valkey("--requirepass", "hidden-word") as server:
        async with linked(server.url, "hidden-word") as (link, alarms):
            assert (await used(link), alarms.said) == (0, [])
        async with linked(server.url, "wrong-word") as (link, alarms):
            assert alarms.names == ["cluster_lost"]
            assert "WRONGPASS" in alarms.said[0][1] or "invalid" in alarms.said[0][1]
            assert "word" not in alarms.said[0][1].replace("password", "")
        async with linked(server.url) as (_, alarms):
            assert "uthentication" in alarms.said[0][1]


# --- while it is lost


async def test_one_that_is_not_there_stops_no_start_and_is_found_when_it_comes(own: Valkey) -> None:
    own.kill()
    async with linked(own.url) as (link, alarms):
        assert link.lost
        with pytest.raises(LimitsUnavailable):
            await link.ask(LOOK)
        own.start()
        await until(lambda: not link.lost)
        await link.ask(LOOK)
    assert alarms.names == ["cluster_lost", "cluster_recovered"]
    assert str(own.url) in alarms.said[0][1]


async def test_a_killed_one_fails_everybody_at_once_says_so_once_and_comes_back(own: Valkey) -> None:
    async with linked(own.url) as (link, alarms):
        await link.ask(TAKE)
        own.kill()
        answers = await asyncio.gather(*(link.ask(TAKE) for _ in range(1_000)), return_exceptions=True)
        assert all(isinstance(answer, LimitsUnavailable) for answer in answers)
        assert alarms.names == ["cluster_lost"]
        own.start()
        await until(lambda: not link.lost)
        assert await used(link) == 0  # it keeps nothing
        assert alarms.names == ["cluster_lost", "cluster_recovered"]


async def test_a_hanging_one_makes_only_those_wait_who_had_asked(own: Valkey) -> None:
    async with linked(own.url, answer_s=0.2) as (link, alarms):
        with own.hanging():
            with pytest.raises(LimitsUnavailable):
                await link.ask(TAKE)
            assert link.lost
            with pytest.raises(LimitsUnavailable):
                link.ask(TAKE).send(None)  # without waiting for anything
        await until(lambda: not link.lost)
        assert alarms.names == ["cluster_lost", "cluster_recovered"]


async def test_while_it_is_lost_the_newest_that_was_said_is_kept(own: Valkey) -> None:
    async with linked(own.url) as (link, _):
        own.kill()
        with pytest.raises(LimitsUnavailable):
            await link.ask(LOOK)
        for i in range(SAID_MAX + 5):
            link.say(("take", True, "", [(str(i), 1, -1, [(1, 60)])]))
        own.start()
        await until(lambda: not link.lost)
        await link.ask(LOOK)
        with own.client() as client:
            kept = {key.rpartition(b":")[2] for key in client.scan_iter("tollway:1:w:60:*", count=1000)}
        assert len(kept) == SAID_MAX and b"5" in kept and b"4" not in kept


async def test_a_valkey_that_refuses_to_write_is_lost_until_it_can(own: Valkey) -> None:
    async with linked(own.url) as (link, alarms):
        with own.client() as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(LimitsUnavailable):
                await link.ask(TAKE)
            client.config_set("maxmemory", 0)
        await until(lambda: not link.lost)
        await link.ask(TAKE)
        assert "OOM" in alarms.said[0][1] or "memory" in alarms.said[0][1]


async def test_a_server_that_is_no_valkey_is_lost(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with linked(valkey_url(f"redis://127.0.0.1:{port}")) as (link, alarms):
            assert link.lost and alarms.names == ["cluster_lost"]


# --- TLS


@asynccontextmanager
async def behind_tls(server: Valkey, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of what decrypts for a Valkey, as a proxy beside it does."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    carried: set[asyncio.Task[None] | None] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried.add(asyncio.current_task())
        to_valkey = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pass_on(reader, to_valkey[1]), pass_on(to_valkey[0], writer))

    listening = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
    await asyncio.gather(*(task for task in carried if task is not None))


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_checked_against_the_machines_authorities(
    valkey: Callable[[], Valkey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if trusted:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    server = valkey()
    server.empty()
    async with (
        behind_tls(server, context) as port,
        linked(valkey_url(f"rediss://127.0.0.1:{port}")) as (link, alarms),
    ):
        assert link.lost is not trusted
        assert ("CERTIFICATE_VERIFY_FAILED" in str(alarms.said)) is not trusted
        if trusted:
            assert await used(link) == 0
