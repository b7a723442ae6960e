"""This machine: open files for the calls that are allowed, and the versions that run."""

import platform
import resource
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from tollway import __version__
from tollway.cli.doctor.finding import Area, Finding

FILES_A_CALL = 2  # the caller's connection and the provider's
FILES_BESIDE = 100  # the books, the listeners, the log, idle connections
PACKAGES = ("aiohttp", "starlette", "uvloop", "msgspec")


def machine(calls_max: int | None) -> list[Finding]:
    """`calls_max` is server.max_calls; None when it isn't known."""
    area = Area("machine")
    if calls_max is not None:
        open_files(area, calls_max, *resource.getrlimit(resource.RLIMIT_NOFILE))
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    area.ok(
        "versions",
        f"tollway {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}",
    )
    return area.findings


def open_files(area: Area, calls_max: int, soft: int, hard: int) -> None:
    """`soft` and `hard` as getrlimit has them; the hard limit is what a user may raise the soft one to."""
    needed = calls_max * FILES_A_CALL + FILES_BESIDE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        area.ok("open files", f"enough for server.max_calls = {calls_max}")
        return
    fits = max(1, (soft - FILES_BESIDE) // FILES_A_CALL)
    raised = hard == resource.RLIM_INFINITY or hard >= needed
    how = f"ulimit -n {needed} before the start" if raised else "have the hard limit raised"
    area.warning(
        "open files",
        f"{soft} are allowed, {calls_max} calls at once need {needed}",
        f"{how} (systemd: LimitNOFILE={needed}), or write server.max_calls = {fits}",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
