"""Who owns an embedded ledger: one process at a time, told by a file lock beside the database."""

import fcntl
import os
from pathlib import Path

from tollway.domain.errors import LedgerLocked


class FileLock:
    """An exclusive lock (flock) on `path`, which names the owner's process id. The system drops it when the owner dies.

    The file stays when the lock is released: removing it could take another owner's lock away."""

    def __init__(self, path: Path) -> None:
        """Raises LedgerLocked."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            raise LedgerLocked(
                f"Another tollway (process {owner or 'unknown'}) owns this ledger; use its control socket, or stop it."
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def lock_path(database: Path) -> Path:
    """Where the lock of the ledger at `database` is."""
    return database.with_name(database.name + ".lock")


def owner(path: Path) -> str | None:
    """The process that holds the lock at `path` ("unknown" when it doesn't say), None when nobody does. Looks with a
    shared lock that it lets go of at once. Raises OSError."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(file, 20).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(file)
    return None
