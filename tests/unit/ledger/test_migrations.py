"""Books of another version, on both stores: brought up to date as a whole and once, or refused in one line."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from helpers.ledger_homes import HOMES, Home, OnPostgres, OnSqlite
from helpers.ledgers import credit, fresh_id, hold, post
from helpers.postgres import Server
from tollway.config.places import LedgerUrl
from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Credited, Held
from tollway.domain.errors import LedgerUnusable
from tollway.domain.observer import NullObserver
from tollway.ledger import operator
from tollway.ledger.postgres import desk as postgres_desk
from tollway.ledger.postgres import schema as postgres_schema
from tollway.ledger.postgres.queries import migrations as postgres_migrations
from tollway.ledger.postgres.store import PostgresLedger
from tollway.ledger.sqlite import database as sqlite_database
from tollway.ledger.sqlite.queries import migrations as sqlite_migrations

MORE = "CREATE TABLE more (x integer);\nINSERT INTO more (x) SELECT count(*) FROM transfers;\n"
HALF = "CREATE TABLE more (x integer);\nNONSENSE;\n"


class Setting:
    """Books in which something was booked, closed."""

    def __init__(self, home: Home, server: Server | None, patch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._server = server
        self._patch = patch
        self.newest = max(sqlite_migrations())

    @property
    def books(self) -> LedgerUrl | Path:
        return self.home.url if isinstance(self.home, OnPostgres) else self.home.folder / "books.db"

    def run(self, sql: str) -> list[tuple[object, ...]]:
        if isinstance(self.home, OnPostgres):
            assert self._server is not None
            return self._server.execute(sql.format(schema="tollway."), self.home.url)
        connection = sqlite3.connect(self.home.folder / "books.db")
        try:
            rows: list[tuple[object, ...]] = connection.execute(sql.format(schema="")).fetchall()
            connection.commit()
            return rows
        finally:
            connection.close()

    def knows(self, script: str) -> None:
        """From here on there is a further migration."""
        self._patch.setattr(sqlite_database, "migrations", lambda: {**sqlite_migrations(), self.newest + 1: script})
        for module in (postgres_schema, postgres_desk):
            self._patch.setattr(module, "migrations", lambda: {**postgres_migrations(), self.newest + 1: script})

    def has_more(self) -> bool:
        try:
            self.run("SELECT x FROM {schema}more")
        except Exception as error:
            assert "more" in str(error)
            return False
        return True

    def versions(self) -> list[object]:
        return [version for (version,) in self.run("SELECT version FROM {schema}schema_version ORDER BY version")]


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def setting(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Setting]:
    home = HOMES[request.param](tmp_path, postgres)
    await home.open()
    assert await home.one(credit(5)) == Credited(available=5)
    await home.ledger.aclose()
    assert isinstance(home, OnPostgres | OnSqlite)
    yield Setting(home, postgres() if isinstance(home, OnPostgres) else None, monkeypatch)
    await home.close()


async def test_books_are_brought_up_to_date_by_who_opens_them_and_keep_what_they_have(setting: Setting) -> None:
    setting.knows(MORE)
    await setting.home.open()
    assert await setting.home.one(hold(3)) == Held(amount=3, available=2)
    assert setting.versions() == list(range(1, setting.newest + 2))
    assert setting.run("SELECT x FROM {schema}more") == [(1,)]  # it saw what was booked before
    await setting.home.restart()
    assert setting.versions() == list(range(1, setting.newest + 2))
    assert (await asyncio.to_thread(operator.audit, setting.books)).clean


async def test_answers_that_books_of_the_first_version_keep_are_counted(setting: Setting) -> None:
    await setting.home.open()
    for number in range(2):
        own, key = fresh_id(), str(number) * 64
        kept = Kept(key=key, answer=b"x" * 30)
        claim = Claim(key=key, request=key)
        await setting.home.apply(hold(1, id=own, claim=claim), msgspec.structs.replace(post(own, 1), kept=kept))
    await setting.home.ledger.aclose()
    counted = setting.run("SELECT account, day, bytes FROM {schema}kept")
    assert [row[2] for row in counted] == [60]
    setting.run("DROP TABLE {schema}kept")
    setting.run("DELETE FROM {schema}schema_version WHERE version > 1")
    await setting.home.open()
    assert setting.run("SELECT account, day, bytes FROM {schema}kept") == counted


async def test_a_migration_that_fails_half_way_leaves_the_books_as_they_were(setting: Setting) -> None:
    setting.knows(HALF)
    with pytest.raises(LedgerUnusable, match="NONSENSE"):
        await setting.home.open()
    assert setting.versions() == list(range(1, setting.newest + 1)) and not setting.has_more()
    setting.knows(MORE)
    await setting.home.open()
    assert await setting.home.available() == 5


async def test_who_only_reads_says_that_the_books_have_to_be_brought_up_to_date(setting: Setting) -> None:
    setting.knows(MORE)
    for read in (operator.audit, operator.report, operator.disabled_providers):
        with pytest.raises(
            LedgerUnusable, match=rf"schema version {setting.newest}, this tollway reads .*`tollway serve`"
        ):
            read(setting.books)
    assert setting.versions() == list(range(1, setting.newest + 1))


async def test_books_of_a_later_tollway_are_refused_by_all(setting: Setting) -> None:
    setting.run("INSERT INTO {schema}schema_version VALUES (99, 0, 'x')")
    with pytest.raises(LedgerUnusable, match="schema version 99, this tollway knows up to"):
        await setting.home.open()
    with pytest.raises(LedgerUnusable, match="schema version 99"):
        operator.audit(setting.books)


async def test_books_whose_tables_were_made_otherwise_are_refused_by_all(setting: Setting) -> None:
    setting.run("UPDATE {schema}schema_version SET digest = 'another' WHERE version = 1")
    with pytest.raises(LedgerUnusable, match="none that a released tollway makes: go on with"):
        await setting.home.open()
    with pytest.raises(LedgerUnusable, match="none that a released tollway makes"):
        operator.report(setting.books)


async def test_books_from_before_migrations_were_frozen_are_refused_by_all(setting: Setting) -> None:
    setting.run("DROP TABLE {schema}schema_version")
    setting.run("CREATE TABLE {schema}schema_version (version integer PRIMARY KEY, applied_ms bigint NOT NULL)")
    setting.run("INSERT INTO {schema}schema_version VALUES (1, 0)")
    with pytest.raises(LedgerUnusable, match="none that a released tollway makes: go on with"):
        await setting.home.open()
    with pytest.raises(LedgerUnusable, match="none that a released tollway makes"):
        operator.audit(setting.books)


@pytest.mark.parametrize("setting", ["postgres"], indirect=True)
async def test_replicas_that_start_at_once_bring_the_books_up_to_date_once(setting: Setting) -> None:
    setting.knows(MORE)  # a second run of it would fail: the table exists
    assert isinstance(setting.home, OnPostgres)
    url = setting.home.url
    opened = await asyncio.gather(*(PostgresLedger.open(url, setting.home.clock, NullObserver()) for _ in range(4)))
    setting.home.ledger = opened[0]
    assert await setting.home.available() == 5
    assert setting.versions() == list(range(1, setting.newest + 2))
    assert setting.run("SELECT x FROM {schema}more") == [(1,)]
    for ledger in opened[1:]:
        await ledger.aclose()
