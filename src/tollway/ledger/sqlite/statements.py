"""Rows of one shape written by few statements: each lets go of the interpreter's lock and waits to have it back. With
one for each row, the writer and the event loop would hand it to and fro hundreds of times a commit.

Knows the form of queries; neither what their rows mean nor transactions.
"""

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from tollway.ledger.sqlite.queries import QUERIES

# How many rows are written by one statement. A commit has few of a kind at an ordinary rate, and they are to be one
# statement; with twice as many as the most it gains nothing more.
COUNTS = (64, 48, 32, 24, 16, 12, 8, 7, 6, 5, 4, 3, 2, 1)
PARAMETERS_MAX = 999  # of one statement, in SQLite before 3.32

_ROW = re.compile(r"VALUES (\((?:[^()]|\([^()]*\))*\))")  # a value may be in brackets

Steps = tuple[tuple[int, str], ...]  # how many parameters a statement takes, and its text; that of most rows first


def steps_of(query: str) -> Steps:
    """The statements that write COUNTS rows of what `query` writes one of; `query` alone if it isn't an INSERT of
    values."""
    width = query.count("?")
    found = _ROW.search(query)
    if found is None:
        return ((width, query),)
    before, row, after = query[: found.start(1)], found[1], query[found.end(1) :]
    return tuple(
        (count * width, before + ", ".join([row] * count) + after)
        for count in COUNTS
        if count * width <= PARAMETERS_MAX or count == 1
    )


_STEPS = {name: dict(steps_of(query)) for name, query in QUERIES.items()}


def write_rows(connection: sqlite3.Connection, query: str, values: Sequence[Any]) -> None:
    """Run the query of that name once for each row in `values`, which has the parameters of one after another's."""
    steps, place, end = _STEPS[query], 0, len(values)
    if (whole := steps.get(end)) is not None:
        connection.execute(whole, values)
        return
    for size, statement in steps.items():
        while end - place >= size:
            connection.execute(statement, values[place : place + size])
            place += size
