"""What a database can do to the store: be away, die under load, be slow, be full of others, refuse one row."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest

from helpers.ledgers import START_MS, USD, WALLET, HandClock, WatchingObserver, burn, credit, fresh_id, hold, post
from helpers.postgres import OwnServer, Server, own_server
from helpers.until import until
from tollway.config.places import LedgerUrl
from tollway.config.secret import Secret
from tollway.domain.commands import Burned, Command, Credited, Held, Insufficient, NoteDelivery, Posted, Result
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable, LedgerUnusable
from tollway.domain.usage import Usage
from tollway.ledger import operator
from tollway.ledger.postgres import server as servers
from tollway.ledger.postgres import session as sessions
from tollway.ledger.postgres import store as stores
from tollway.ledger.postgres.store import PostgresLedger
from tollway.ledger.postgres.transaction import Transaction


class Setting:
    def __init__(self, server: Server, url: LedgerUrl) -> None:
        self.server = server
        self.url = url
        self.clock = HandClock()
        self.observer = WatchingObserver()
        self.ledgers: list[PostgresLedger] = []

    async def open(self) -> PostgresLedger:
        self.ledgers.append(await PostgresLedger.open(self.url, self.clock, self.observer))
        return self.ledgers[-1]

    async def close(self) -> None:
        for ledger in self.ledgers:
            await ledger.aclose()

    def alarms(self) -> set[str]:
        return {name for name, _ in self.observer.alarms}


@pytest.fixture
async def setting(postgres: Callable[[], Server]) -> AsyncIterator[Setting]:
    with postgres().database() as url:
        setting = Setting(postgres(), url)
        yield setting
        await setting.close()


@pytest.fixture(scope="module")
def mortal() -> Iterator[OwnServer]:
    """A server that these tests may kill."""
    with own_server() as server:
        yield server


async def one(ledger: PostgresLedger, command: Command) -> Result:
    return (await ledger.apply([command]))[0]


async def until_booked(ledger: PostgresLedger, command: Command) -> Result:
    """As the booking of a call does: asked again, with the same id, until somebody answers."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(LedgerUnavailable, LedgerOutcomeUnknown):
                return await one(ledger, command)
            await asyncio.sleep(0.02)


# --- at the start


async def test_a_database_that_is_not_there_is_one_line_that_says_what_to_do() -> None:
    url = LedgerUrl(store="postgresql", conninfo="postgresql://tollway@127.0.0.1:1/books", password=Secret("hidden"))
    with pytest.raises(LedgerUnusable, match=r"can't be used .*check that PostgreSQL runs") as caught:
        await PostgresLedger.open(url, HandClock(), WatchingObserver())
    assert "\n" not in str(caught.value) and "hidden" not in str(caught.value)
    with pytest.raises(LedgerUnusable, match="check that PostgreSQL runs"):
        operator.audit(url)


async def test_a_wrong_password_is_told_and_never_shown(mortal: OwnServer) -> None:
    url = LedgerUrl(store="postgresql", conninfo=mortal.url, password=Secret("hidden-word"))
    with pytest.raises(LedgerUnusable, match="password authentication failed") as caught:
        await PostgresLedger.open(url, HandClock(), WatchingObserver())
    assert "hidden-word" not in str(caught.value)


async def test_a_url_that_libpq_does_not_understand_is_told() -> None:
    url = LedgerUrl(store="postgresql", conninfo="postgresql://h/db?no_such_option=1")
    with pytest.raises(LedgerUnusable, match=r"ledger\.url is not understood \(.*no_such_option"):
        await PostgresLedger.open(url, HandClock(), WatchingObserver())


async def test_replicas_may_start_at_once_on_an_empty_database(setting: Setting) -> None:
    ledgers = await asyncio.gather(*(setting.open() for _ in range(4)))
    assert {await one(ledgers[0], credit(5)), *[await one(ledger, hold(5)) for ledger in ledgers[1:2]]} == {
        Credited(available=5),
        Held(amount=5, available=0),
    }
    assert len({ledger._session.owner.shard for ledger in ledgers}) == 4


async def test_books_that_do_not_balance_are_refused_at_the_start(setting: Setting) -> None:
    ledger = await setting.open()
    await one(ledger, credit(5))
    await ledger.aclose()
    setting.server.execute("UPDATE tollway.accounts SET credits_posted = 6 WHERE id LIKE 'eip155:%'", setting.url)
    with pytest.raises(LedgerUnusable, match=r"don't balance .*-1 posted"):
        await setting.open()
    report = operator.audit(setting.url)
    assert any("sum over all accounts" in difference for difference in report.differences)


def test_an_empty_database_has_nothing_to_audit(postgres: Callable[[], Server]) -> None:
    with postgres().database() as url:
        with pytest.raises(LedgerUnusable, match="is empty"):
            operator.audit(url)
        assert operator.disabled_providers(url) == {}


# --- dying


@pytest.mark.parametrize("how", ["kill -9", "immediate"])
async def test_a_database_that_dies_under_load_loses_and_doubles_nothing(mortal: OwnServer, how: str) -> None:
    with mortal.database() as url:
        setting = Setting(mortal, url)
        ledgers = [await setting.open(), await setting.open()]
        await one(ledgers[0], credit(1_000 * USD))
        charged: list[int] = []
        stop = asyncio.Event()

        async def work(ledger: PostgresLedger) -> None:
            while not stop.is_set():
                own = fresh_id()
                assert isinstance(await until_booked(ledger, hold(1000, id=own)), Held)
                posted = await until_booked(ledger, post(own, 700, 500))
                assert isinstance(posted, Posted)
                charged.append(posted.charged)

        workers = [asyncio.create_task(work(ledger)) for ledger in ledgers for _ in range(16)]
        for _ in range(2):
            await until(lambda: len(charged) % 200 >= 150)
            await asyncio.to_thread(mortal.kill if how == "kill -9" else lambda: mortal.stop("immediate"))
            await asyncio.to_thread(mortal.start)
            enough = len(charged) + 50
            await until(lambda: len(charged) >= enough)  # noqa: B023  # awaited here
        stop.set()
        await asyncio.gather(*workers)
        await setting.close()
        report = operator.audit(url)
        assert report.clean, report.differences
        assert (report.posts, report.charged_total) == (len(charged), sum(charged))
        assert report.pending == report.unsettled == 0
        assert {"ledger_connection_lost"} <= setting.alarms()


async def test_while_the_database_is_away_nothing_is_booked_and_it_comes_back_by_itself(mortal: OwnServer) -> None:
    with mortal.database() as url:
        setting = Setting(mortal, url)
        ledger = await setting.open()
        await one(ledger, credit(1000))
        await asyncio.to_thread(mortal.stop, "immediate")
        with pytest.raises(LedgerUnavailable) as caught:
            await one(ledger, hold(5))
        assert caught.value.retry_after_ms == servers.RETRY_AFTER_MS
        for asked in (ledger.balance(WALLET), ledger.revoked("h"), ledger.disabled()):
            with pytest.raises(LedgerUnavailable):
                await asked
        await setting.observer.until("ledger_still_down")
        assert not ledger.ready
        with pytest.raises(LedgerUnavailable, match="can't be reached"):
            await one(ledger, hold(5))
        await asyncio.to_thread(mortal.start)
        await setting.observer.until("ledger_recovered")
        assert ledger.ready
        assert await one(ledger, hold(5)) == Held(amount=5, available=995)
        await setting.close()


async def test_a_ledger_that_is_closed_while_the_database_is_away_ends(mortal: OwnServer) -> None:
    with mortal.database() as url:
        setting = Setting(mortal, url)
        ledger = await setting.open()
        await asyncio.to_thread(mortal.stop, "immediate")
        with pytest.raises(LedgerUnavailable):
            await one(ledger, credit(5))
        await ledger.aclose()
        await asyncio.to_thread(mortal.start)


async def test_a_connection_that_the_server_ends_is_made_anew_and_nobody_notices(setting: Setting) -> None:
    ledger = await setting.open()
    await one(ledger, credit(1000))
    assert not await ledger.revoked("h")
    end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
    setting.server.execute(end_all + "pg_backend_pid()", setting.url)
    assert await one(ledger, hold(5)) == Held(amount=5, available=995)
    assert not await ledger.revoked("h")
    assert setting.alarms() == {"ledger_connection_lost"}


def lose_the_connection(monkeypatch: pytest.MonkeyPatch, *, committed: bool) -> None:
    """Break the connection of the next transaction with its COMMIT on the way: whether that arrived, only the server
    knows."""
    left = [True]

    class Losing(Transaction):
        async def run(self, *arguments: Any) -> Any:
            if not left:
                return await super().run(*arguments)
            left.clear()
            if committed:
                await super().run(*arguments)
            self.commit_sent = True
            await self._connection.close()
            raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(sessions, "Transaction", Losing)


@pytest.mark.parametrize("committed", [True, False])
async def test_what_may_have_been_committed_is_asked_again_and_booked_once(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    ledger = await setting.open()
    await one(ledger, credit(1000))
    own = fresh_id()
    lose_the_connection(monkeypatch, committed=committed)
    assert await one(ledger, hold(100, id=own)) == Held(amount=100, available=900)
    lose_the_connection(monkeypatch, committed=committed)
    assert await one(ledger, post(own, 80)) == Posted(charged=80, loss=0, available=920)
    report = operator.audit(setting.url)
    assert (report.clean, report.holds, report.posts, report.pending) == (True, 1, 1, 0)


@pytest.mark.parametrize("committed", [True, False])
async def test_a_nonce_whose_burning_is_unknown_is_not_granted(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    ledger = await setting.open()
    lose_the_connection(monkeypatch, committed=committed)
    with pytest.raises(LedgerOutcomeUnknown):
        await one(ledger, burn("n"))
    assert (await one(ledger, burn("n")) == Burned()) is not committed


async def test_an_unknown_outcome_stays_unknown_until_the_server_can_be_asked(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await setting.open()
    own = fresh_id()
    await ledger.apply([credit(1000), hold(100, id=own)])
    away = [True]
    real = sessions.connect

    async def connect(info: str) -> servers.Connection:
        if away:
            raise psycopg.OperationalError("connection refused")
        return await real(info)

    monkeypatch.setattr(sessions, "connect", connect)
    lose_the_connection(monkeypatch, committed=True)
    for _ in range(2):
        with pytest.raises(LedgerOutcomeUnknown):
            await one(ledger, post(own, 80))
    with pytest.raises(LedgerUnavailable):
        await one(ledger, hold(5))
    away.clear()
    await setting.observer.until("ledger_recovered")
    assert await one(ledger, post(own, 80)) == Posted(charged=80, loss=0, available=920)


# --- slow, full, odd


async def test_a_lock_that_somebody_keeps_is_given_up_and_nothing_is_booked(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "SESSION", ("50", "10000", "5000"))
    ledger = await setting.open()
    await one(ledger, credit(1000))
    password = None if setting.url.password is None else setting.url.password.reveal()
    with psycopg.connect(setting.url.conninfo, password=password) as somebody:
        somebody.execute("SELECT * FROM tollway.accounts FOR UPDATE")
        with pytest.raises(LedgerUnavailable, match="nothing was booked"):
            await one(ledger, hold(5))
        assert ledger.ready
    assert await one(ledger, hold(5)) == Held(amount=5, available=995)
    assert setting.alarms() == {"ledger_commit_refused"}


async def test_a_server_that_stops_answering_is_cut_off(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "SESSION", ("0", "0", "0"))
    ledger = await setting.open()
    await one(ledger, credit(1000))
    monkeypatch.setattr(sessions, "TRANSACTION_S_MAX", 0.1)
    password = None if setting.url.password is None else setting.url.password.reveal()
    with psycopg.connect(setting.url.conninfo, password=password) as somebody:
        somebody.execute("SELECT * FROM tollway.accounts FOR UPDATE")
        with pytest.raises(LedgerUnavailable, match="can't be reached"):
            await one(ledger, hold(5))
    await setting.observer.until("ledger_recovered")
    assert await one(ledger, hold(5)) == Held(amount=5, available=995)


async def test_readers_that_are_all_busy_are_told_and_not_awaited_for_ever(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "READER_WAIT_S_MAX", 0.05)
    ledger = await setting.open()
    await one(ledger, credit(1000))
    password = None if setting.url.password is None else setting.url.password.reveal()
    with psycopg.connect(setting.url.conninfo, password=password) as somebody:
        somebody.execute("LOCK TABLE tollway.revocations, tollway.secrets IN ACCESS EXCLUSIVE MODE")
        busy = [asyncio.create_task(ledger.secret(f"s{number}")) for number in range(servers.READERS_MAX)]
        await asyncio.sleep(0.02)
        with pytest.raises(LedgerUnavailable, match="too slow"):
            await ledger.balance(WALLET)
        assert await one(ledger, hold(5)) == Held(amount=5, available=995)  # booking has a connection of its own
    assert [len(secret) for secret in await asyncio.gather(*busy)] == [32] * servers.READERS_MAX


async def test_a_queue_that_is_full_refuses_holds_and_takes_everything_else(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "QUEUE_COMMANDS_MAX", 3)
    ledger = await setting.open()
    own = fresh_id()
    await ledger.apply([credit(1000), hold(5, id=own)])
    queued = [asyncio.create_task(one(ledger, credit(1))) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(LedgerUnavailable, match="too far behind"):
        await one(ledger, hold(5))
    assert isinstance(await one(ledger, post(own, 5)), Posted)
    await asyncio.gather(*queued)


async def test_a_row_that_the_database_refuses_does_not_fail_the_others(setting: Setting) -> None:
    ledger = await setting.open()
    await one(ledger, credit(1000))
    calls = [fresh_id() for _ in range(8)]
    await ledger.apply([hold(10, id=own) for own in calls])
    posts = [post(own, 5, over_max=10**19 if own == calls[3] else None) for own in calls]
    said = await asyncio.gather(*(one(ledger, command) for command in posts), return_exceptions=True)
    assert [isinstance(answer, Posted) for answer in said] == [own != calls[3] for own in calls]
    assert isinstance(said[3], LedgerUnavailable)


async def test_text_that_postgresql_cannot_store_is_stored_without_it(setting: Setting) -> None:
    ledger = await setting.open()
    call = fresh_id()
    usage = Usage(prompt=1, completion=1)
    fields = {"user": "a\0b", "response_id": 'r\0"\\{}', "usage": usage, "model": "m"}
    await ledger.apply([credit(1000), hold(10, id=call), post(call, 5, **fields)])
    found = await ledger.call(WALLET, 'r\0"\\{}')
    assert found is not None and found.id == call and found.user == "a\0b"
    assert await ledger.call(WALLET, "no\0such\ud800id") is None
    assert operator.audit(setting.url).clean


async def test_a_note_of_a_delivery_waits_for_no_commit_and_is_known_at_once(setting: Setting) -> None:
    ledger = await setting.open()
    call = fresh_id()
    await ledger.apply([credit(1000), hold(10, id=call), post(call, 5, delivery="unknown")])
    await one(ledger, NoteDelivery(id=call, delivery="complete"))
    assert setting.server.execute("SELECT count(*) FROM tollway.deliveries", setting.url) == [(0,)]
    found = await ledger.call(WALLET, call)
    assert found is not None and found.delivery == "complete"
    await ledger.aclose()
    assert setting.server.execute("SELECT delivery FROM tollway.deliveries", setting.url) == [("complete",)]


async def test_operators_credit_while_routers_run(setting: Setting) -> None:
    ledger = await setting.open()
    account = "eip155:8453:0x" + "ab" * 20
    assert await operator.credit(setting.url, account, 500, "invoice") == Credited(available=500)
    assert await operator.credit(setting.url, account, 500, "invoice") == Credited(available=500)
    assert await one(ledger, hold(600)) == Insufficient(available=500)
    assert [entry.amount for entry in operator.statement(setting.url, account, 10).entries] == [500]
    with pytest.raises(ValueError, match="cursor"):
        operator.statement(setting.url, account, 10, "s1")
    money = operator.report(setting.url)
    assert (money.balanced, money.liabilities, money.brought_in) == (True, 500, 500)


async def test_expired_nonces_and_revocations_are_forgotten_in_time(setting: Setting) -> None:
    ledger = await setting.open()
    assert await one(ledger, burn("n", expires_ms=START_MS + 1))
    setting.clock.ms += stores.FORGET_EVERY_MS
    await ledger._do_chores()
    assert setting.server.execute("SELECT count(*) FROM tollway.nonces", setting.url) == [(0,)]
