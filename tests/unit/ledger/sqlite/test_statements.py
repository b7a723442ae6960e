"""Many rows by few statements: each row is written once and in its order, whatever their number."""

import sqlite3

import pytest

from tollway.ledger.sqlite.database import connect, migrate
from tollway.ledger.sqlite.queries import QUERIES
from tollway.ledger.sqlite.statements import COUNTS, PARAMETERS_MAX, steps_of, write_rows


@pytest.fixture
def connection(tmp_path_factory: pytest.TempPathFactory) -> sqlite3.Connection:
    connection = connect(tmp_path_factory.mktemp("books") / "books.db")
    migrate(connection, 0)
    return connection


@pytest.mark.parametrize("count", [*range(130), 1000])
def test_every_row_is_written_once_and_in_its_order(connection: sqlite3.Connection, count: int) -> None:
    values: list[object] = []
    for number in range(count):
        values += (f"account{number}", f"nonce{number}", number)
    write_rows(connection, "insert_nonce", values)
    rows = connection.execute("SELECT account, nonce, expires_ms FROM nonces ORDER BY rowid").fetchall()
    assert rows == [(f"account{number}", f"nonce{number}", number) for number in range(count)]
    connection.close()


@pytest.mark.parametrize("count", COUNTS)
def test_so_many_rows_are_one_statement(connection: sqlite3.Connection, count: int) -> None:
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    write_rows(connection, "insert_call", [value for seq in range(count) for value in (seq, "", bytearray(b"{}"))])
    assert len([statement for statement in seen if statement.startswith("INSERT")]) == 1
    connection.close()


def test_a_row_that_stands_twice_in_a_statement_is_what_the_later_says(connection: sqlite3.Connection) -> None:
    write_rows(connection, "insert_account", [1, "wallet", 0, 0, 0, 5, 1, 1, "wallet", 0, 2, 0, 5, 2])
    assert connection.execute("SELECT debits_posted, last_seq FROM accounts").fetchall() == [(2, 2)]
    connection.close()


def test_what_a_column_of_each_call_lacks_is_null(connection: sqlite3.Connection) -> None:
    write_rows(connection, "insert_post", [2, "id", 0, 1, 1, 5, 5, 3, "model", 9, 5, 4, -1, 0, ""])
    write_rows(connection, "insert_call", [2, "", bytearray(b"{}")])
    assert connection.execute("SELECT over_max, key FROM transfers").fetchall() == [(None, None)]
    assert connection.execute("SELECT response_id, record FROM calls").fetchall() == [(None, b"{}")]
    connection.close()


def test_a_query_that_inserts_no_values_is_run_once_a_row(connection: sqlite3.Connection) -> None:
    write_rows(connection, "insert_claim", ["a", "id1", "r", 1, "b", "id2", "r", 2])
    write_rows(connection, "answer_claim", [bytearray(b"x"), "a", "id1", bytearray(b"y"), "b", "id2"])
    rows = connection.execute("SELECT place, answer FROM claims WHERE answered ORDER BY place").fetchall()
    assert rows == [("a", b"x"), ("b", b"y")]
    connection.close()


def test_no_statement_has_more_parameters_than_any_sqlite_takes() -> None:
    for name, query in QUERIES.items():
        steps = steps_of(query)
        assert all(statement.count("?") == size <= PARAMETERS_MAX for size, statement in steps), name
    assert max(len(steps_of(query)) for query in QUERIES.values()) == len(COUNTS)
