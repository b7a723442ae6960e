"""A sign that long work goes on: on a terminal, on stderr, and gone when the work is done.

It knows nothing of the work. Where stderr is no terminal, or escape sequences are not wanted, it shows nothing.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.status import Status


@contextlib.contextmanager
def working(what: str) -> Iterator[Callable[[], None]]:
    """Shown until the block ends, or until what it gives is called (any number of times)."""
    with _sign(what) as sign:
        yield (lambda: None) if sign is None else sign.stop


@contextlib.contextmanager
def telling(what: str) -> Iterator[Callable[[str], None]]:
    """Shown until the block ends; what it gives changes what is said."""
    with _sign(what) as sign:
        yield (lambda _: None) if sign is None else sign.update


@contextlib.contextmanager
def _sign(what: str) -> Iterator[Status | None]:
    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal or os.environ.get("NO_COLOR"):
        yield None
        return
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    with console.status(what, spinner=spinner) as sign:
        yield sign
