"""Files that a configuration is or names, read whole and never waited for. Knows nothing of what is in them."""

import errno
import os
import stat
from pathlib import Path

NOT_REGULAR = "not a regular file: a pipe or a device may never end"


def read(path: Path, bytes_max: int) -> bytes:
    """The file's bytes; of one that is larger, one more than `bytes_max`. A pipe that nobody writes to would hold up a
    start, and stop a router that reads its configuration again: it is neither waited for nor read.

    Raises OSError, and ValueError for what can be no file's name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, NOT_REGULAR)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(bytes_max + 1)
    finally:
        os.close(descriptor)
