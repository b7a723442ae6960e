"""Books are used by the tollway that knows their tables; migrations never change once they were made."""

from pathlib import Path

import pytest

import tollway.ledger
from tollway.domain.errors import LedgerUnusable
from tollway.ledger.schema import SchemaBehind, check_current, digest, version_of

LEDGER = Path(tollway.ledger.__file__).parent

# Books keep the digest of each migration that made them, and a tollway that has another one refuses them. So these
# files are frozen: a change to the tables is a new migration, 0002 and on, of both stores, and a further row here.
FROZEN = {
    "postgres/migrations/0001_books.sql": "255e487c15b03e8e3624f631c37c7e84efcd786dc673ce801a4cf413e7bdc697",
    "postgres/migrations/0002_kept_answers.sql": "1b905d52a290e5a26b4b57b858b5c3d2912619743d48ed688b3153e74c04c134",
    "sqlite/migrations/0001_books.sql": "89fc1fd845fc46e54f18402ae2bca347bc06b60aa0143c26c0e45cd2823e575f",
    "sqlite/migrations/0002_kept_answers.sql": "9fd33540e5149b5833fff10cca97eade2fbe2ec10caef909f8b38621a6b1f46a",
}

SCRIPTS = {1: "one", 2: "two"}
ONE, TWO = (1, digest("one")), (2, digest("two"))


def test_a_migration_is_never_changed_once_books_were_made_with_it() -> None:
    files = sorted(LEDGER.glob("*/migrations/*.sql"))
    found = {file.relative_to(LEDGER).as_posix(): digest(file.read_text(encoding="utf-8")) for file in files}
    assert found == FROZEN, "write a new migration instead"


@pytest.mark.parametrize(("applied", "version"), [([], 0), ([ONE], 1), ([ONE, TWO], 2)])
def test_books_that_our_migrations_made_have_their_version(applied: list[tuple[int, str]], version: int) -> None:
    assert version_of(applied, SCRIPTS) == version


def test_books_of_a_later_tollway_are_refused() -> None:
    with pytest.raises(LedgerUnusable, match=r"version 3, this tollway knows up to 2: use the tollway that wrote it"):
        version_of([ONE, TWO, (3, "x")], SCRIPTS)


@pytest.mark.parametrize("applied", [[(1, "x")], [ONE, (2, "x")], [TWO], [(0, "x"), ONE]])
def test_books_that_other_migrations_made_are_refused(applied: list[tuple[int, str]]) -> None:
    with pytest.raises(LedgerUnusable, match="none that a released tollway makes: go on with the tollway that made"):
        version_of(applied, SCRIPTS)


def test_books_are_read_at_the_newest_version_only() -> None:
    check_current(2, SCRIPTS)
    with pytest.raises(SchemaBehind, match=r"version 1, this tollway reads 2: `tollway serve` brings it up to date"):
        check_current(1, SCRIPTS)
