"""Every error has its line in docs/errors.md, and is brought about by a test here, or can't be for a reason."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollway.domain import errors

HERE = Path(__file__).parent
DOCS = Path(__file__).parents[2] / "docs" / "errors.md"

# Codes that no request can bring about in this version, and why.
UNREACHED: dict[str, str] = {}

RETRY = {False: "no", True: "yes", None: "SDK's rules"}
_ROW = re.compile(r"\| `([a-z_]+)` \| ([0-9]{3}) \| (.+?) \| (.+?) \| (.+?) \|\Z")


def tree(kind: type[errors.TollwayError]) -> Iterator[type[errors.TollwayError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


ERRORS = {kind.code: kind for kind in tree(errors.TollwayError)}
ROWS = [row for row in map(_ROW.match, DOCS.read_text().splitlines()) if row]


def test_every_code_has_one_line_in_the_docs_and_no_line_is_of_another() -> None:
    assert [row[1] for row in ROWS] == list(dict.fromkeys(row[1] for row in ROWS))
    assert {row[1] for row in ROWS} == set(ERRORS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_the_docs_say_each_errors_status_and_whether_to_send_again(row: re.Match[str]) -> None:
    kind = ERRORS[row[1]]
    assert (int(row[2]), row[3]) == (kind.status, RETRY[kind.should_retry])


def test_the_lines_are_in_the_order_of_their_status() -> None:
    statuses = [int(row[2]) for row in ROWS]
    assert statuses == sorted(statuses)


def test_one_code_has_one_status_type_and_retry() -> None:
    for kind in tree(errors.TollwayError):
        same = ERRORS[kind.code]
        assert (kind.status, kind.type, kind.should_retry) == (same.status, same.type, same.should_retry)


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_error_is_brought_about_through_http_or_there_is_a_reason_why_not(code: str) -> None:
    tests = [path.read_text() for path in HERE.glob("test_*.py") if path != Path(__file__)]
    if code in UNREACHED:
        assert not any(f'{ERRORS[code].status}, "{code}"' in test for test in tests), "it is reached: take it out"
    else:
        assert any(f'"{code}"' in test for test in tests)


def test_the_tree_in_the_docstring_names_every_class_with_its_status() -> None:
    drawn = errors.__doc__ or ""
    for kind in tree(errors.TollwayError):
        assert re.search(rf"\b{kind.__name__}\b", drawn), kind.__name__
        if kind.status not in (400, 401):
            assert re.search(rf"\b{kind.__name__} {kind.status}\b", drawn) or kind is errors.TollwayError, kind.__name__
