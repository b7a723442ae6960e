"""A command in a terminal of its own: a real pseudo terminal, with what it shows read as a person would.

with Terminal([TOLLWAY, "chat"], cwd=folder) as screen:
    screen.shows(r"> $")
    screen.types("hello\\n")
"""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from helpers.commands import ENVIRONMENT, TIMEOUT_S

ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()=>].?)")
READ_BYTES = 65_536

# Makes the terminal its own, so that Ctrl-C and window sizes reach it, and becomes the command.
TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """`columns` x `rows`. What has been waited for is not found again."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self._mine, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        unset = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}
        kept = {name: value for name, value in ENVIRONMENT.items() if name not in unset}
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE, *map(str, command)],
            cwd=cwd,
            env={**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **(environment or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.raw = ""  # everything so far, escape sequences included
        self._bytes = b""
        self._seen = 0

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait(10)
        os.close(self._mine)

    def closes(self) -> int:
        """Close the window, and wait for the command's end; the exit code."""
        os.close(self._mine)
        self._mine = os.open(os.devnull, os.O_RDWR)
        return self._process.wait(TIMEOUT_S)

    @property
    def text(self) -> str:
        """Everything so far, as lines of text."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n").replace("\r", "")

    def types(self, keys: str) -> None:
        os.write(self._mine, keys.encode())

    def shows(self, pattern: str) -> re.Match[str]:
        """Wait until what came since the last match has this."""
        until = time.monotonic() + TIMEOUT_S
        while True:
            match = re.compile(pattern, re.MULTILINE).search(self.text, self._seen)
            if match is not None:
                self._seen = match.end()
                return match
            assert self._read(until), f"{pattern!r} was not shown:\n{self.text[self._seen :]}"

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        until = time.monotonic() + TIMEOUT_S
        while self._read(until):
            pass
        return self._process.wait(TIMEOUT_S)

    def _read(self, until: float) -> bool:
        """More of what is shown; False at its end, or when nothing came in time."""
        if not select.select([self._mine], [], [], max(0.0, until - time.monotonic()))[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):  # Linux says EIO when the other side is closed
            data = os.read(self._mine, READ_BYTES)
        self._bytes += data
        self.raw = self._bytes.decode("utf-8", "ignore")
        return bool(data)
