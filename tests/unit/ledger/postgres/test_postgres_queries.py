"""The SQL of the PostgreSQL store: every query is valid on the schema as it is now, is used, and finds what it
looks for by an index."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import tollway.ledger
from helpers.ledgers import HandClock
from helpers.postgres import Server
from tollway.config.places import LedgerUrl
from tollway.domain.observer import NullObserver
from tollway.ledger.postgres.queries import QUERIES, migrations
from tollway.ledger.postgres.server import SESSION, conninfo
from tollway.ledger.postgres.store import PostgresLedger

SOURCES = sorted((Path(tollway.ledger.__file__).parent / "postgres").glob("*.py"))
NOT_PLANNED = {"begin", "begin_read", "commit", "rollback", "create_schema", "create_schema_version", "lock_epochs"}


@pytest.fixture
async def books(postgres: Callable[[], Server]) -> "Iterator[LedgerUrl]":
    with postgres().database() as url:
        ledger = await PostgresLedger.open(url, HandClock(), NullObserver())
        await ledger.aclose()
        yield url


async def test_every_query_is_valid_on_the_newest_schema(books: LedgerUrl) -> None:
    with psycopg.connect(conninfo(books), autocommit=True) as connection:
        connection.execute(QUERIES["prepare_session"], SESSION)
        for name in sorted(QUERIES.keys() - NOT_PLANNED):
            # Prepared, a statement is checked against the tables and the types of its parameters, and not run.
            places = iter(range(1, 100))
            numbered = re.sub(r"%s", lambda _: f"${next(places)}", QUERIES[name])  # noqa: B023  # used at once
            connection.execute(f"PREPARE {name}_checked AS {numbered}".encode(), prepare=False)


def test_every_query_is_used_and_every_query_that_is_used_exists() -> None:
    text = "".join(path.read_text() for path in SOURCES)
    named = set(re.findall(r'"(\w+)"', text))
    assert [name for name in QUERIES if name not in named] == []
    assert set(re.findall(r'QUERIES\["(\w+)"\]', text)) <= QUERIES.keys()


def test_no_python_holds_sql() -> None:
    for path in SOURCES:
        assert not re.search(r'"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|BEGIN|COMMIT)\b', path.read_text()), path


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("openings", ["{a}"]),
        ("chains", ["{a}"]),
        ("lock_accounts", ["{a}", "{0}"]),
        ("nonces_used", ["{a}", "{b}"]),
        ("statement", [1, 10]),
        ("belongs", [1, "a"]),
        ("call_by_id", ["a", "b"]),
        ("call_by_response", ["a", 10, "b"]),
        ("usage", ["day", 1, 2, "a"]),
        ("usage_by_name", [1, 2, "a", "user", 5, 1, 2, "a"]),
        ("pending_holds", [1, 1, 5]),
    ],
)
async def test_lookups_use_an_index(books: LedgerUrl, name: str, parameters: list[object]) -> None:
    with psycopg.connect(conninfo(books), autocommit=True) as connection:
        connection.execute(QUERIES["prepare_session"], SESSION)
        # Tables this small are read whole unless that is forbidden; what has no index is read whole even then.
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute("EXPLAIN " + QUERIES[name], parameters))
        assert "Seq Scan" not in plan, plan
