"""Where a run keeps its files, and how many files it may open."""

import contextlib
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tollway.bench.gateways import FILES_MAX


@contextlib.contextmanager
def made_in(folder: Path) -> Iterator[Path]:
    """A new folder in this one, removed at the end. Not in the system's temporary folder, which may be memory: books
    have to wait for a real disk."""
    place = Path(tempfile.mkdtemp(prefix="tollway-bench-", dir=folder.resolve()))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def raise_file_limit() -> None:
    """As many open files as the system lets us have, for ourselves and for what we start."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if most == resource.RLIM_INFINITY else min(FILES_MAX, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
