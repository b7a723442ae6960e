"""Columns of rows as PostgreSQL's array literals: a statement writes all rows of a transaction one parameter a column.

psycopg would make each element by itself, in Python: many times the time.
"""

from collections.abc import Iterable, Sequence
from typing import Any

Row = tuple[Any, ...]
_INTEGERS = {int}
_TEXTS = {str}


def text(value: str) -> str:
    """`value` as the server can store it: it has neither NUL nor halves of surrogate pairs."""
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """One literal a column. A column is of integers, booleans, text or bytes, each with NULLs."""
    return tuple(_literal(column) for column in zip(*rows, strict=True))


def literal_of(values: Iterable[str]) -> str:
    """An array of text."""
    return _literal(tuple(values))


def _literal(column: tuple[Any, ...]) -> str:
    kinds = set(map(type, column))
    if kinds == _INTEGERS:
        return "{" + ",".join(map(str, column)) + "}"
    if kinds == _TEXTS:
        joined = '","'.join(column)
        # Most columns are plain words: nothing in them has to be written otherwise.
        if (
            joined.isascii()
            and joined.count('"') == 2 * (len(column) - 1)
            and "\\" not in joined
            and "\0" not in joined
        ):
            return '{"' + joined + '"}'
    return "{" + ",".join([_element(value) for value in column]) + "}"


def _element(value: Any) -> str:
    if isinstance(value, str):
        return '"' + text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bytes):
        return '"\\\\x' + value.hex() + '"'
    return "NULL" if value is None else str(value)  # an int, or a bool: True and False are read as such
