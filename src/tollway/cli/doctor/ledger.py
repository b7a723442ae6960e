"""The books: where they are, who owns them, whether they can be read, and whether they balance. Only ever reads them.

Looks at what a start would look at, so that a start has no surprise left.
"""

import os
import shutil
import socket
import sqlite3
import stat
from pathlib import Path
from typing import assert_never

from tollway.cli.doctor.finding import Area, Finding
from tollway.config.places import LedgerUrl
from tollway.domain.errors import LedgerUnusable
from tollway.domain.money import format_usd
from tollway.ledger import operator
from tollway.ledger.control import socket_path
from tollway.ledger.schema import SchemaBehind
from tollway.ledger.sqlite.database import (
    SQLITE_VERSION_MIN,
    check_schema,
    check_sums,
    connect_read_only,
    read_state,
    true_path,
)
from tollway.ledger.sqlite.lock import lock_path, owner
from tollway.ledger.sqlite.queries import migrations

AUDITED_MAX = 200_000  # transfers that are replayed here: a few seconds; more are `tollway ledger audit`'s
FREE_BYTES_MIN = 100 << 20  # below it a busy day may fill the disk: the books stop, and calls with them
FREE_BYTES_LOW = 1 << 30
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def ledger(url: LedgerUrl) -> list[Finding]:
    """Blocking; for a thread."""
    area = Area("ledger")
    match url.store:
        case "memory":
            area.warning(
                "memory:",
                "the books are in memory alone: every balance is forgotten at the end",
                'write url = "sqlite:///tollway.db" for anything but a trial',
            )
        case "sqlite":
            assert url.path is not None, "SQLite's books are in a file"
            _sqlite(area, true_path(url.path))
        case "postgresql":
            _database(area, url)
        case _:
            assert_never(url.store)
    return area.findings


def _sqlite(area: Area, path: Path) -> None:
    folder = path.parent
    if sqlite3.sqlite_version_info < SQLITE_VERSION_MIN:
        area.problem("SQLite", f"{sqlite3.sqlite_version} is too old", "use a Python with SQLite 3.24 or later")
    if not folder.is_dir():
        area.problem(str(path), f"there is no folder {folder}", f"make it: mkdir -p {folder}")
        return
    _rights(area, path)
    _room(area, folder)
    running = _owner(area, path)
    if not path.exists():
        area.ok(str(path), "there are no books yet: the first credit, or the first start, makes them")
    else:
        _books(area, path, running)


def _database(area: Area, url: LedgerUrl) -> None:
    """PostgreSQL: whether it can be reached and read. That debits equal credits, each start sees for itself."""
    try:
        operator.disabled_providers(url)
    except SchemaBehind as error:
        area.ok("PostgreSQL", f"can be reached. {error} Make a backup before it.")
    except LedgerUnusable as error:
        found, _, mend = str(error).rpartition(": ")
        area.problem("PostgreSQL", found, mend)
    else:
        area.ok("PostgreSQL", "can be reached and read; `tollway ledger audit` replays each of its transfers")


def _rights(area: Area, path: Path) -> None:
    """The folder is written to as well: SQLite's log and the lock and socket stand beside the file."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        area.problem(
            str(path),
            f"this user may not write in {path.parent}",
            "run as the router's user, or give that user the folder",
        )
    if not path.exists():
        return
    if not os.access(path, os.R_OK | os.W_OK):
        area.problem(
            str(path), "this user may not read and write it", "run as the router's user, or give that user the file"
        )
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & OTHERS:
        area.warning(str(path), f"others have rights to it (mode {mode:04o}), and it holds keys", f"chmod 600 {path}")


def _room(area: Area, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**30:.1f} GiB are free in {folder}"
    mend = "make room there: when the disk is full, nothing can be booked and no call is served"
    if free < FREE_BYTES_MIN:
        area.problem("disk", said, mend)
    elif free < FREE_BYTES_LOW:
        area.warning("disk", said, mend)
    else:
        area.ok("disk", said)


def _owner(area: Area, path: Path) -> bool:
    """Whether a router runs on these books."""
    try:
        place = socket_path(path)
    except LedgerUnusable as error:
        found, _, mend = str(error).rpartition(". ")
        area.problem("control socket", found, mend)
        return False
    process = owner(lock_path(path))
    listens = _listens(area, place)
    if process is None:
        area.ok("lock", "free: no router runs on these books")
    elif listens:
        area.ok("lock", f"a router runs on these books (process {process})")
    else:
        area.problem(
            "lock",
            f"process {process} owns the books, but doesn't listen at {place.name}",
            "if it is starting or stopping, try again in a moment; else look at that process and stop it",
        )
    return process is not None


def _listens(area: Area, place: Path) -> bool:
    """Whether somebody answers at the control socket."""
    try:
        if not stat.S_ISSOCK(place.lstat().st_mode):
            area.problem("control socket", f"{place} is in its way, and is no socket", "move that file away")
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(os.fspath(place))
    except (FileNotFoundError, ConnectionRefusedError):
        return False  # none, or one that a dead process left, which the next start replaces
    except OSError as error:
        area.warning("control socket", f"can't be used ({error.strerror})", "run as the router's user")
        return False
    return True


def _books(area: Area, path: Path, running: bool) -> None:
    try:
        connection = connect_read_only(path)
        try:
            version = check_schema(connection)
            readable = version == max(migrations())  # what is older is read once it has been brought up to date
            transfers = read_state(connection).next_seq - 1 if readable else 0
            if readable:
                check_sums(connection)
        finally:
            connection.close()
        _schema(area, path, version)
        if readable and transfers <= AUDITED_MAX:
            _audit(area, path)
        elif readable:
            area.ok(
                str(path),
                f"debits equal credits over {transfers} transfers; `tollway ledger audit` replays each of them",
            )
    except LedgerUnusable as error:
        found, _, mend = str(error).partition(": ")
        area.problem(str(path), found, mend or "restore it from a backup")
    except sqlite3.Error as error:
        busy = "stop what holds it, and try again" if running else "restore it from a backup, or name another file"
        area.problem(str(path), f"can't be read ({error})", busy)


def _schema(area: Area, path: Path, version: int) -> None:
    newest = max(migrations())
    if not version:
        area.ok(str(path), "the file is empty: the first start fills it")
    elif version < newest:
        area.ok(str(path), f"schema version {version}: the next start brings it to {newest}; make a backup before it")
    else:
        area.ok(str(path), f"schema version {version}, the newest")


def _audit(area: Area, path: Path) -> None:
    report = operator.audit(path)
    if report.clean:
        area.ok(
            str(path),
            f"the books balance: {report.accounts} accounts, {report.transfers} transfers, "
            f"{format_usd(report.credited_total)} USD credited, {format_usd(report.charged_total)} charged",
        )
    else:
        area.problem(
            str(path),
            f"the books don't balance: {report.difference_count} differences, the first: {report.differences[0]}",
            "keep the file as it is; `tollway ledger audit` shows all of them",
        )
