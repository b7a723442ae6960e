"""The limit of open files, raised as far as the system lets a process do it by itself.

Shells start with 1,024 for the sake of programs that wait with select(2). Nothing here does.
"""

import contextlib
import resource

FILES_MAX = 1 << 20  # what Linux allows at most unless told otherwise (fs.nr_open); tried where no hard limit is set


def raise_open_files() -> int | None:
    """Raise the soft limit to the hard one; how many files may be open from now on, None for any number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else hard
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit of its own: what there is has to do
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
