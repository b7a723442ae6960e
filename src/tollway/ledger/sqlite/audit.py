"""The rows that an audit replays, from one consistent state of the file: it works while a router runs."""

import sqlite3
from pathlib import Path

from tollway.domain.errors import LedgerUnusable
from tollway.ledger.audit import AuditReport, Rows, replay
from tollway.ledger.sqlite.database import account_of, check_readable, connect_read_only
from tollway.ledger.sqlite.queries import QUERIES


def audit(path: Path) -> AuditReport:
    """Raises LedgerUnusable when there are no books at `path`, or the file can't be read."""
    connection = connect_read_only(path)
    try:
        check_readable(connection, path)
        connection.execute(QUERIES["begin_read"])
        return replay(_rows(connection))
    except sqlite3.Error as error:
        raise LedgerUnusable(f"The ledger at {path} can't be read ({error}): restore it from a backup.") from error
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection) -> Rows:
    (newest_epoch,) = connection.execute(QUERIES["newest_epoch"]).fetchone()
    return Rows(
        transfers=connection.execute(QUERIES["all_transfers"]),
        accounts=(account_of(row) for row in connection.execute(QUERIES["all_accounts"])),
        usage=connection.execute(QUERIES["usage_of_accounts"]),
        reversed={own for (own,) in connection.execute(QUERIES["reversed"])},
        pruned_to=connection.execute(QUERIES["pruned"]).fetchone()[0],
        abandoned=lambda epoch: epoch != newest_epoch,
    )
