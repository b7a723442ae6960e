"""The commands that a document shows, and a place to run them in as a reader would: in order, in one folder, in bash.

A command is a line of a ```console block that starts with `$ `; it goes on over the lines after it while a quote is
open. Ports of 127.0.0.1 are exchanged for free ones, the same for the same everywhere, since a machine that runs tests
may have them in use; nothing else of a command is changed.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from helpers.commands import ENVIRONMENT, TIMEOUT_S, TOLLWAY, Process, started
from tollway.cli.serve import free_address

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"127\.0\.0\.1:(\d+)")
ASSIGNMENT = re.compile(r"(\w+)=(?=\S)")

# What the commands use where nothing is said, and the line that says that one of them serves.
ROUTER, SIMULATOR, OPERATOR = "127.0.0.1:8080", "127.0.0.1:9100", "127.0.0.1:9464"
SERVES = {"serve": r"serving at (http://\S+)", "simulate": r"simulated provider at (http://\S+)"}


def blocks(document: Path, language: str) -> list[str]:
    found = BLOCK.finditer(document.read_text(encoding="utf-8"))
    return [match[2] for match in found if match[1] == language]


@dataclass
class Shown:
    command: str
    printed: str = ""


def commands(document: Path) -> list[str]:
    """Those that call tollway or curl; what calls make is run by other means."""
    return [one.command for one in shown(document.read_text(encoding="utf-8"))]


def shown(text: str) -> list[Shown]:
    """The same of a text, each with what it is shown to print."""
    found = [one for block in BLOCK.finditer(text) if block[1] == "console" for one in _commands(block[2])]
    return [one for one in found if re.search(r"\b(tollway|curl) ", one.command)]


def _commands(block: str) -> list[Shown]:
    found: list[Shown] = []
    is_open = False
    for line in block.splitlines():
        if is_open:
            found[-1].command += "\n" + line
        elif line.startswith("$ "):
            found.append(Shown(line.removeprefix("$ ")))
        elif found:
            found[-1].printed += line + "\n"
            continue
        is_open = bool(found) and _unfinished(found[-1].command)
    return found


def alike(printed: str, ran: str) -> bool:
    """Whether a command printed what it is shown to print, but for what differs from run to run: numbers, ids,
    addresses, times and dates, and the width of columns. A line `...` stands for any lines."""
    pattern = "".join(r"(?:.*\n)*" if line == "..." else re.escape(line) + r"\n" for line in _steady(printed))
    return re.fullmatch(pattern, "".join(line + "\n" for line in _steady(ran))) is not None


_DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} (?=\d{4} )")  # of an HTTP header


def _steady(text: str) -> list[str]:
    lines = (re.sub(r"[\w.:/+-]*\d[\w.:/+-]*", "0", _DATE.sub("0", line)) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]


def _unfinished(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return True
    return command.endswith("\\")


@dataclass
class Ran:
    command: str
    code: int
    stdout: str
    stderr: str


class Console(contextlib.ExitStack):
    """A folder and a shell's variables. What serves goes on until the console is closed."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.serving: dict[str, Process] = {}
        self._places: dict[str, str] = defaultdict(lambda: str(free_address("127.0.0.1:0")))
        self.variables = {
            "PATH": f"{TOLLWAY.parent}{os.pathsep}{ENVIRONMENT['PATH']}",
            "TOLLWAY_URL": f"http://{self._places[ROUTER]}",
            "TOLLWAY_SERVER__LISTEN": self._places[ROUTER],
            "TOLLWAY_OPS__LISTEN": self._places[OPERATOR],
        }

    def here(self, text: str) -> str:
        """`text` with the ports of this console."""
        return PLACE.sub(lambda match: self._places[match[0]], text)

    def run(self, shown: str) -> Ran:
        """Run a command as shown; one that serves is left running once it says so."""
        command = self.here(shown)
        words = shlex.split(command)
        if words[0] == "tollway" and words[1] in SERVES:
            return self._start(shown, words[1:])
        assigned = ASSIGNMENT.match(command)
        if assigned is not None:
            command += f'; printf %s "${assigned[1]}"'
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**ENVIRONMENT, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        if assigned is not None:
            self.variables[assigned[1]] = ran.stdout
        return Ran(shown, ran.returncode, ran.stdout, ran.stderr)

    def script(self, text: str) -> Ran:
        """Run a script of Python."""
        ran = subprocess.run(
            [sys.executable, "-c", self.here(text)],
            cwd=self.folder,
            env={**ENVIRONMENT, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        return Ran(text, ran.returncode, ran.stdout, ran.stderr)

    def _start(self, shown: str, words: list[str]) -> Ran:
        if words[0] == "simulate" and "--listen" not in words:
            words = [*words, "--listen", self._places[SIMULATOR]]
        ready = SERVES[words[0]]
        process = self.enter_context(started(*words, cwd=self.folder, ready=ready, environment=self.variables))
        self.serving[words[0]] = process
        return Ran(shown, 0, process.said(ready).string, "")
