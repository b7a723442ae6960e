"""Which tables books have, told by the migrations that made them: whether this tollway may use them. Pure.

A migration is known by its digest, which the books keep beside its version: two programs that call different tables by
the same number are told apart. Knows nothing of how a store reads or runs them.
"""

import hashlib
from collections.abc import Mapping, Sequence

from tollway.domain.errors import LedgerUnusable

Applied = Sequence[tuple[int, str]]  # what was done to the books: version and digest, ascending

OTHERS = (
    "The ledger's tables are none that a released tollway makes: go on with the tollway that made them, or name new "
    "books in ledger.url and credit there what the wallets have."
)


class SchemaBehind(LedgerUnusable):
    """Books that are read only once they have been brought up to date."""


def digest(script: str) -> str:
    """What a migration is known by: sha256, hex, of its text."""
    return hashlib.sha256(script.encode()).hexdigest()


def version_of(applied: Applied, scripts: Mapping[int, str]) -> int:
    """The version of the books' tables, 0 where there are none yet. Raises LedgerUnusable when this tollway is too old
    for them, and when they are others than its own of that version."""
    version, newest = max((number for number, _ in applied), default=0), max(scripts)
    if version > newest:
        raise LedgerUnusable(
            f"The ledger has schema version {version}, this tollway knows up to {newest}: use the tollway that wrote "
            "it, or a later one."
        )
    if tuple(applied) != tuple((number, digest(scripts[number])) for number in range(1, version + 1)):
        raise LedgerUnusable(OTHERS)
    return version


def check_current(version: int, scripts: Mapping[int, str]) -> None:
    """Raises SchemaBehind for tables that this tollway's queries may not fit. Only who books brings them up to date."""
    newest = max(scripts)
    if version < newest:
        raise SchemaBehind(
            f"The ledger has schema version {version}, this tollway reads {newest}: `tollway serve` brings it up to "
            "date when it starts, and so does any command that books."
        )
