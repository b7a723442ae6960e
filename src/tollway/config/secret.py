"""Secrets that come from the environment or a file, and never show themselves by accident: a message about one names
where it was looked for, never what was found."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import final

from tollway.config import files

KEY = "the provider's key"
SECRET_BYTES_MAX = 8 * 1024  # a header's worth; a larger file is not a key

_HEADER_SAFE = re.compile(r"[!-~]+\Z")


@final
class Secret:
    """A value that is only had by asking for it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def from_environment(name: str, environ: Mapping[str, str], what: str = KEY) -> Secret:
    """ValueError when the variable is not set or holds no such thing; `what` is what it should hold."""
    value = environ.get(name)
    if value is None:
        raise ValueError(f"the environment variable {name} is not set: export it with {what}")
    return _secret(value, f"the environment variable {name}", what)


def from_file(path: Path, what: str = KEY) -> Secret:
    """ValueError when the file can't be read or holds no such thing."""
    try:
        data = files.read(path, SECRET_BYTES_MAX)
    except (OSError, ValueError) as error:
        raise ValueError(f"the file {str(path)!r} can't be read ({_reason(error)})") from error
    if len(data) > SECRET_BYTES_MAX:
        raise ValueError(f"the file {str(path)!r} is over {SECRET_BYTES_MAX} bytes: it is no key")
    return _secret(data.decode("latin-1"), f"the file {str(path)!r}", what)


def _secret(value: str, origin: str, what: str) -> Secret:
    value = value.strip()
    if not value:
        raise ValueError(f"{origin} is empty: it should hold {what}")
    if not _HEADER_SAFE.match(value):
        raise ValueError(f"{origin} holds characters that {what} can't have (spaces, line breaks or beyond ASCII)")
    return Secret(value)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "not a file name"
