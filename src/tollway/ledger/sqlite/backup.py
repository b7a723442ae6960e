"""A copy of the books in a file of its own, and books put back from one. Blocking; knows no router and no terminal.

A copy is taken by SQLite's online backup of one state of the file: whoever books meanwhile goes on, and what they book
later isn't in it. It gets its name only once an audit has found it whole; so does what is put back.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tollway.domain.errors import LedgerUnusable
from tollway.ledger.audit import AuditReport
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.database import check_schema, connect_read_only, migrate, true_path
from tollway.ledger.sqlite.lock import FileLock, lock_path
from tollway.ledger.sqlite.queries import QUERIES

SIDE_FILES = ("-wal", "-shm")  # what SQLite keeps beside a file that is open


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """A copy that was made and audited."""

    file: Path
    bytes: int
    audit: AuditReport
    aside: Path | None = None  # restore: where the books that were there are now


def backup(books: Path, file: Path) -> Copied:
    """Copy the books to `file`, which must not exist. Raises LedgerUnusable, or OSError when it can't be written."""
    if os.path.lexists(file):
        raise LedgerUnusable(f"{file} exists, and a backup overwrites nothing: name another file.")
    with _copied(books, file) as (copy, report):
        _name(copy, file)
    return Copied(file=file, bytes=file.stat().st_size, audit=report)


def restore(books: Path, file: Path, now: str) -> Copied:
    """Put the books in `file` in the place of `books`; those are kept beside, named after `now`.

    Raises LedgerLocked while a router runs, LedgerUnusable, or OSError."""
    books = true_path(books)
    lock = FileLock(lock_path(books))
    try:
        if books.exists() and file.exists() and books.samefile(file):
            raise LedgerUnusable(f"{file} is the ledger itself: name a backup of it.")
        with _copied(file, books) as (copy, report):
            aside = _keep(books, books.with_name(f"{books.name}.before-{now}"))
            copy.replace(books)
            _sync(books.parent)
    finally:
        lock.release()
    return Copied(file=books, bytes=books.stat().st_size, audit=report, aside=aside)


@contextlib.contextmanager
def _copied(source: Path, target: Path) -> Iterator[tuple[Path, AuditReport]]:
    """A copy of `source` in the folder of `target`, of this version's schema and audited. Gone on the way out, unless
    it was given another name."""
    copy = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _copy(source, copy)
        report = audit(copy)
        if not report.clean:
            raise LedgerUnusable(
                f"{source} doesn't balance ({report.difference_count} differences, the first: "
                f"{report.differences[0]}): no copy was kept. `tollway ledger audit` shows them all."
            )
        yield copy, report
    except sqlite3.Error as error:
        raise LedgerUnusable(f"{source} can't be copied to {target} ({error}): check the disk.") from error
    finally:
        for name in (copy, *(_beside(copy, suffix) for suffix in SIDE_FILES)):
            name.unlink(missing_ok=True)


def _copy(source: Path, copy: Path) -> None:
    with contextlib.closing(connect_read_only(source)) as reading, contextlib.closing(_new(copy)) as writing:
        if not check_schema(reading):
            raise LedgerUnusable(f"{source} is empty: nothing has been booked in it.")
        # Within a transaction of the source, so that no commit of a router makes the copy begin again.
        reading.execute(QUERIES["begin_read"])
        reading.backup(writing)
        migrate(writing, 0)
        writing.execute(QUERIES["use_no_wal"])  # one file, whole in itself


def _new(file: Path) -> sqlite3.Connection:
    """An empty file that nobody but its owner may read, since it will hold keys."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(file, isolation_level=None)


def _name(copy: Path, file: Path) -> None:
    """Give the copy its name, which nobody else may have taken meanwhile."""
    try:
        os.link(copy, file)
    except FileExistsError:
        raise LedgerUnusable(f"{file} has come into being meanwhile: name another file.") from None
    except OSError:  # a file system without hard links
        copy.rename(file)
    _sync(file.parent)


def _keep(books: Path, aside: Path) -> Path | None:
    """Keep the books that are there under another name, as they are: they may be broken, and opening them would change
    them. Their log, without which they lack the newest commits, goes with them."""
    if not books.exists():
        return None
    try:
        os.link(books, aside)
    except OSError:  # a file system without hard links
        books.rename(aside)
    for suffix in SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            _beside(books, suffix).rename(_beside(aside, suffix))
    return aside


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def _sync(folder: Path) -> None:
    """Make what a folder names durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
