"""The database file: opening it, its schema, and what a process reads at its start. Blocking; runs in threads.

Knows nothing of batches, of who waits, or of the rules of the books.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from tollway.domain.commands import Disabled, Frozen
from tollway.domain.errors import LedgerUnusable
from tollway.ledger.rows import read_transfer
from tollway.ledger.schema import OTHERS, check_current, digest, version_of
from tollway.ledger.sqlite.queries import QUERIES, migrations
from tollway.ledger.transfer import LOSS, REVENUE, Account, Transfer

SQLITE_VERSION_MIN = (3, 24, 0)  # upserts
STATEMENTS_KEPT = 256  # prepared, by a connection that writes: those of statements.COUNTS for each query

Connect = Callable[[Path], sqlite3.Connection]


def true_path(path: Path) -> Path:
    """Where the file really is. A ledger has one lock and one socket, by whichever symbolic link it is opened."""
    return Path(os.path.realpath(path))


class State(msgspec.Struct, frozen=True):
    """The one row of table `state`."""

    batch: int
    next_seq: int
    next_account_no: int
    pending_from: int
    newest_ms: int
    forgotten_ms: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the books are rebuilt from in memory, apart from what is loaded when it is needed."""

    epoch: int
    state: State
    pending: tuple[Transfer, ...]
    accounts: tuple[Account, ...]  # those of the pending holds, and the router's own
    nonces: tuple[tuple[str, str, int], ...]
    revocations: dict[str, int]
    disabled: dict[str, Disabled]
    frozen: dict[str, Frozen]
    secrets: dict[str, bytes]


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes. Every commit is on disk before it returns (WAL, synchronous=FULL)."""
    if sqlite3.sqlite_version_info < SQLITE_VERSION_MIN:
        raise LedgerUnusable(f"SQLite {sqlite3.sqlite_version} is too old: use a Python with SQLite 3.24 or later.")
    # The file holds keys: nobody but its owner may read it. SQLite gives its side files the same mode.
    # Only a new file is opened here: to close a file drops every lock that this process has on it (POSIX), those of its
    # other connections too, and then whoever opens the books and leaves takes himself for the last and deletes the log.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_KEPT)
    return _prepared(connection, QUERIES["wait_for_locks"], QUERIES["use_wal"], QUERIES["sync_every_commit"])


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that can't write, and sees what is committed. Raises LedgerUnusable when there are no books yet."""
    if not path.exists():
        raise LedgerUnusable(f"There is no ledger at {path}: credit an account or start the router first.")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    return _prepared(connection, QUERIES["wait_for_locks"])


def migrate(connection: sqlite3.Connection, now_ms: int) -> None:
    """Bring the schema up to date, all of it or nothing. Raises LedgerUnusable, see `check_schema`."""
    known = check_schema(connection)
    scripts = migrations()
    if known == max(scripts):
        return
    connection.execute(QUERIES["begin"])
    try:
        if not known:
            connection.execute(QUERIES["create_schema_version"])
        for version, script in scripts.items():
            if version > known:
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(QUERIES["insert_schema_version"], (version, now_ms, digest(script)))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def check_schema(connection: sqlite3.Connection) -> int:
    """The schema's version, 0 for an empty file. Raises LedgerUnusable for a file that isn't a ledger, and for tables
    that this tollway didn't make and can't bring up to date."""
    try:
        (tables,) = connection.execute(QUERIES["count_tables"]).fetchone()
        (ours,) = connection.execute(QUERIES["has_schema_version"]).fetchone()
        (told,) = connection.execute(QUERIES["has_digests"]).fetchone()
    except sqlite3.DatabaseError as error:
        raise LedgerUnusable(f"The ledger's file can't be read ({error}): restore it from a backup.") from error
    if not ours:
        if tables:
            raise LedgerUnusable("The file is a database, but not a tollway ledger: name another file.")
        return 0
    if not told:
        raise LedgerUnusable(OTHERS)
    return version_of(connection.execute(QUERIES["applied"]).fetchall(), migrations())


def check_readable(connection: sqlite3.Connection, path: Path) -> None:
    """Raises LedgerUnusable for books that our queries don't fit (see `check_schema`), and for empty ones."""
    version = check_schema(connection)
    if not version:
        raise LedgerUnusable(f"The ledger at {path} is empty: nothing has been booked yet.")
    check_current(version, migrations())


def begin_epoch(connection: sqlite3.Connection, now_ms: int) -> None:
    """Note that a process has opened the books: holds of earlier ones have lost their owner."""
    connection.execute(QUERIES["insert_epoch"], (now_ms,))


def read_state(connection: sqlite3.Connection) -> State:
    return State(*connection.execute(QUERIES["state"]).fetchone())


def read_snapshot(connection: sqlite3.Connection) -> Snapshot:
    """Raises LedgerUnusable when the sum over all accounts isn't zero."""
    check_sums(connection)
    state = read_state(connection)
    pending = tuple(
        read_transfer(row) for row in connection.execute(QUERIES["pending_holds"], (state.pending_from,)).fetchall()
    )
    wanted = dict.fromkeys(
        (REVENUE, LOSS, *(hold.account for hold in pending), *(hold.key for hold in pending if hold.key))
    )
    (epoch,) = connection.execute(QUERIES["newest_epoch"]).fetchone()
    return Snapshot(
        epoch=epoch,
        state=state,
        pending=pending,
        accounts=tuple(read_account(connection, account) for account in wanted),
        nonces=tuple(connection.execute(QUERIES["nonces"], (state.forgotten_ms,)).fetchall()),
        revocations=dict(connection.execute(QUERIES["revocations"]).fetchall()),
        disabled=read_disabled(connection),
        frozen=read_frozen(connection),
        secrets=dict(connection.execute(QUERIES["secrets"]).fetchall()),
    )


def read_disabled(connection: sqlite3.Connection) -> dict[str, Disabled]:
    rows = connection.execute(QUERIES["disabled"]).fetchall()
    return {provider: Disabled(since_ms=since_ms, why=why) for provider, since_ms, why in rows}


def read_frozen(connection: sqlite3.Connection) -> dict[str, Frozen]:
    rows = connection.execute(QUERIES["frozen"]).fetchall()
    return {account: Frozen(since_ms=since_ms, by=by, why=why) for account, since_ms, by, why in rows}


def check_sums(connection: sqlite3.Connection) -> None:
    pending_usd, pending_rest, posted_usd, posted_rest = connection.execute(QUERIES["sums"]).fetchone()
    pending = pending_usd * 10**9 + pending_rest
    posted = posted_usd * 10**9 + posted_rest
    if pending or posted:
        raise LedgerUnusable(
            f"The books don't balance (debits less credits: {pending} pending, {posted} posted, nano-USD): run "
            "`tollway ledger audit` and restore the file from a backup."
        )


def read_account(connection: sqlite3.Connection, id: str) -> Account:
    """The account; one without a number when the books don't know it."""
    row = connection.execute(QUERIES["account"], (id,)).fetchone()
    return account_of((id, *row)) if row is not None else Account(id=id)


def account_of(row: tuple[str, int, int, int, int, int, int]) -> Account:
    own_id, no, debits_pending, debits_posted, credits_pending, credits_posted, last_seq = row
    return Account(
        id=own_id,
        no=no,
        debits_pending=debits_pending,
        debits_posted=debits_posted,
        credits_pending=credits_pending,
        credits_posted=credits_posted,
        last_seq=last_seq,
        stored=(debits_pending - credits_pending, debits_posted - credits_posted),
    )


def _prepared(connection: sqlite3.Connection, *settings: str) -> sqlite3.Connection:
    """`connection` with `settings` made (queries), or closed when that fails: a file may be no database."""
    try:
        for setting in settings:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _statements(script: str) -> list[str]:
    """The statements of a script, one by one, so that they share a transaction."""
    found, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found
