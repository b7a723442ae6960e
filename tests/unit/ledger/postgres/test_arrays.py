"""Array literals: the server reads from them what was put in."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.postgres import Server
from tollway.ledger.postgres.arrays import columns, literal_of, text

ANY_TEXT = st.text(max_size=20) | st.sampled_from(['"', "\\", "{}", "NULL", ",", "", '","', "\0", "\ud800", "a\\b"])


@pytest.fixture(scope="module")
def connection(postgres: Callable[[], Server]) -> Any:
    server = postgres()
    with psycopg.connect(server.url, password=server.password, autocommit=True) as connection:
        yield connection


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.none() | st.integers(0, 9),
            ANY_TEXT,
            st.none() | ANY_TEXT,
            st.none() | st.booleans(),
            st.none() | st.binary(max_size=20),
        ),
        max_size=5,
    )
)
def test_the_server_reads_what_was_written(connection: Any, rows: list[tuple[Any, ...]]) -> None:
    kinds = ("bigint", "bigint", "text", "text", "boolean", "bytea")
    casts = ", ".join(f"%s::{kind}[]" for kind in kinds)
    if not rows:
        assert columns(rows) == ()
        return
    read = connection.execute(f"SELECT * FROM unnest({casts})", columns(rows)).fetchall()
    stored = [tuple(text(value) if isinstance(value, str) else value for value in row) for row in rows]
    assert read == stored


@given(words=st.lists(ANY_TEXT, max_size=5))
@settings(max_examples=60, deadline=None)
def test_words_are_read_as_words(connection: Any, words: list[str]) -> None:
    (read,) = connection.execute("SELECT %s::text[]", (literal_of(words),)).fetchone()
    assert read == [text(word) for word in words]


def test_text_loses_only_what_cannot_be_stored() -> None:
    assert text("añ\0b\ud800c") == "añ\ufffdb?c"
    assert text("plain") == "plain"
