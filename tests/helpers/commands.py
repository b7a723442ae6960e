"""The `tollway` command as a user has it: the console script in a process of its own, or the same without a process."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from typer.testing import CliRunner

from tollway.cli import app
from tollway.cli.serve import free_address

TOLLWAY = Path(sys.executable).with_name("tollway")
TIMEOUT_S = 60  # for anything that hangs; no test waits for it to pass
STOP_S = 20

# What the shell that runs the tests has set for a router of its own must not reach them.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_")}

CONFIG = """\
[server]
listen = "{listen}"

[ops]
listen = ""

[ledger]
url = "sqlite:///ledger.db"

[[providers]]
id = "sim"
base_url = "{base_url}"

[[providers.models]]
id = "sim/model"
upstream = "sim"
aliases = ["model"]
context_length = 100000
max_output_tokens = 1000
price = {{ input = "1", output = "10" }}
"""


def tollway(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [TOLLWAY, *arguments],
        cwd=cwd,
        env={**ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def here(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same command in this process: a tenth of the time, for the many ways that one can be called."""
    given = [str(argument) for argument in arguments]
    cleared = {name: None for name in (*os.environ, "NO_COLOR") if name.startswith(("TOLLWAY_", "NO_COLOR"))}
    with contextlib.chdir(cwd):
        ran = CliRunner().invoke(app, given, env={**cleared, **(environment or {})})
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return subprocess.CompletedProcess([TOLLWAY, *given], ran.exit_code, ran.stdout, ran.stderr)


def printed(ran: subprocess.CompletedProcess[str]) -> str:
    """What a command that did what it was asked wrote to stdout."""
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout


def complaint(ran: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that could not do what it was asked."""
    assert ran.returncode == 1, (ran.stdout, ran.stderr)
    lines = ran.stderr.splitlines()
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("tollway: "), lines
    return lines[0].removeprefix("tollway: ")


class Process:
    """A command that runs until it is told to stop, and the lines it says on stderr."""

    def __init__(self, running: subprocess.Popen[str], stderr: IO[str]) -> None:
        self.running = running
        self.lines: list[str] = []
        self.url = ""
        self._stderr = stderr
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._stderr:
            with self._said:
                self.lines.append(line)
                self._said.notify_all()
        with self._said:
            self.lines.append("")  # the end
            self._said.notify_all()

    def said(self, pattern: str) -> re.Match[str]:
        """Wait for a line on stderr that matches. The test fails when the process ends without it."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        with self._said:
            self._said.wait_for(lambda: found() or "" in self.lines, TIMEOUT_S)
            match = found()
        assert match is not None, f"{pattern!r} was not said:\n{''.join(self.lines)}"
        return match

    def ended(self) -> int:
        """Wait for its end; the exit code (negative: ended by that signal)."""
        code = self.running.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return code


@contextlib.contextmanager
def started(
    *arguments: str | Path,
    cwd: Path,
    ready: str,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str | Path] = (TOLLWAY,),
) -> Iterator[Process]:
    """A command that serves; `ready` is the line that says so, its first group the URL. Stopped on the way out."""
    popen = subprocess.Popen(
        [*program, *arguments],
        cwd=cwd,
        env={**ENVIRONMENT, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with popen:
        assert popen.stderr is not None
        process = Process(popen, popen.stderr)
        try:
            process.url = process.said(ready)[1]
            yield process
        finally:
            if popen.poll() is None:
                popen.terminate()
                try:
                    popen.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    popen.kill()
            process.ended()


@contextlib.contextmanager
def simulator(cwd: Path, *arguments: str) -> Iterator[Process]:
    """`tollway simulate`; its URL ends in /v1."""
    with started(
        "simulate", "--listen", "127.0.0.1:0", *arguments, cwd=cwd, ready=r"simulated provider at (\S+)"
    ) as process:
        yield process


def configure(folder: Path, provider: str = "http://127.0.0.1:9/v1") -> str:
    """Write the config file; the address (with a port that is free now) that a router will listen at."""
    listen = str(free_address("127.0.0.1:0"))
    (folder / "tollway.toml").write_text(CONFIG.format(listen=listen, base_url=provider))
    return listen


@contextlib.contextmanager
def router(folder: Path, provider: str, *arguments: str) -> Iterator[Process]:
    """`tollway serve` with a config file and its books in `folder`, in front of the provider at this base URL."""
    configure(folder, provider)
    with started("serve", *arguments, cwd=folder, ready=r"serving at (http://\S+)/api/v1") as process:
        yield process
