"""This machine: open files for the calls that are allowed, and the versions that run."""

import platform
import resource
import sqlite3
from importlib.metadata import PackageNotFoundError, version

from tollway import __version__
from tollway.cli.doctor.finding import Area, Finding
from tollway.limits.files import Room, needed, room

PACKAGES = ("httptools", "starlette", "uvloop", "msgspec")


def machine(wanted: Room | None) -> list[Finding]:
    """`wanted` is server.max_calls and server.max_connections; None when they aren't known."""
    area = Area("machine")
    if wanted is not None:
        open_files(area, wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    area.ok(
        "versions",
        f"tollway {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}",
    )
    return area.findings


def open_files(area: Area, wanted: Room, hard: int) -> None:
    """`hard` as getrlimit has it: what a router raises its own limit to."""
    fits = room(None if hard == resource.RLIM_INFINITY else hard, *wanted)
    if fits == wanted:
        area.ok("open files", f"enough for {wanted.calls} calls and {wanted.connections} connections at once")
        return
    files = needed(*wanted)
    area.warning(
        "open files",
        f"{hard} are allowed, {wanted.calls} calls and {wanted.connections} connections at once need {files}",
        f"have the hard limit raised (ulimit -Hn; systemd: LimitNOFILE={files}), or write server.max_calls = "
        f"{fits.calls} and server.max_connections = {fits.connections}",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
