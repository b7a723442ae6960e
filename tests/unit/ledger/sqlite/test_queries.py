"""The SQL: every query is valid on the schema as it is now, and is used."""

import re
from pathlib import Path

import pytest

import tollway.ledger
from tollway.ledger.decision import KINDS
from tollway.ledger.sqlite.database import connect, migrate
from tollway.ledger.sqlite.queries import QUERIES, migrations

LEDGER = Path(tollway.ledger.__file__).parent
SOURCES = [*LEDGER.glob("*.py"), *(LEDGER / "sqlite").glob("*.py")]
SCHEMA_STEPS = {"create_schema_version"}


@pytest.mark.parametrize("name", sorted(QUERIES.keys() - SCHEMA_STEPS))
def test_every_query_is_valid_on_the_newest_schema(name: str, tmp_path: Path) -> None:
    connection = connect(tmp_path / "books.db")
    migrate(connection, 0)
    parameters = [0] * len(re.sub(r"--.*", "", QUERIES[name]).split("?")[1:])
    connection.execute("EXPLAIN " + QUERIES[name], parameters)
    connection.close()


def test_every_query_is_used_and_every_query_that_is_used_exists() -> None:
    text = "".join(path.read_text() for path in SOURCES)
    used = set(re.findall(r'QUERIES\["(\w+)"\]', text)) | set(re.findall(r'"(insert_\w+)"', text))
    used |= {f"insert_{kind}" for kind in KINDS}  # named by the kind of transfer
    used |= {"answer_claim", "forget_claims", "forget_kept"}  # written by a batch
    assert used == QUERIES.keys()


def test_no_python_holds_sql() -> None:
    for path in SOURCES:
        assert not re.search(r'"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|COMMIT)\b', path.read_text()), path


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))


def test_lookups_use_an_index(tmp_path: Path) -> None:
    connection = connect(tmp_path / "books.db")
    migrate(connection, 0)
    lookups = ("account", "chain", "kept", "statement", "call_by_id", "call_by_response", "belongs", "pending_holds")
    for name in (*lookups, "usage", "usage_by_name"):
        count = QUERIES[name].count("?")
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + QUERIES[name], [0] * count)]
        scans = [step for step in plan if re.match(r"SCAN (?!page\b|walk\b|period\b|named\b|CONSTANT ROW)", step)]
        assert not scans, (name, plan)
    connection.close()
