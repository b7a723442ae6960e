"""How the command line ends: the exit codes, and one line on stderr for whatever went wrong.

It knows the process and its streams, not what a command does.
"""

import os
import re
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from typer import Abort
from typer.exceptions import TyperException

EXIT_FAILED = 1  # it could not be done; one line says why and what to do
EXIT_USAGE = 2  # the command line itself is wrong
EXIT_MISTAKE = 70  # a mistake in Tollway (sysexits.h: EX_SOFTWARE)
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_PIPE_CLOSED = 141  # 128 + SIGPIPE: whoever read the output has gone, as `| head` does

_STEERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # C0 and C1 but for tab and line feed


def complain(text: str) -> None:
    """The line that says why. Further lines only where each is a finding of its own."""
    try:
        print("tollway:", "\n".join(printable(line) for line in text.splitlines()), file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        return  # nobody can be told


def printable(text: str) -> str:
    """`text` for a terminal: what came from elsewhere can't move its cursor or change its title. Keeps line ends."""
    return _STEERS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r", ""))


def told(error: Exception) -> str:
    """An error as a line: the system's without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def ended(run: Callable[[], object]) -> NoReturn:
    """Run, flush what was printed, and leave with the exit code. `run` gives back a code, or None for success."""
    code = _flushed(_code(run))
    raise SystemExit(code)


def stdout_is_gone() -> bool:
    """Nobody reads what is printed any more. Tells that from a broken connection to somebody else."""
    waiting = select.poll()
    try:
        waiting.register(sys.stdout, 0)
        return any(found & (select.POLLERR | select.POLLHUP) for _, found in waiting.poll(0))
    except (OSError, ValueError):
        return False  # no file of the system's stands behind it


def open_what_is_closed() -> None:
    """A standard stream that the caller closed (`>&-`) must not become the number of the next file that is opened, and
    what is printed must fail as it does on a full disk."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # for as long as the process runs
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _code(run: Callable[[], object]) -> int:
    try:
        code = run()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else EXIT_FAILED if left.code else 0
    except TyperException as error:
        return _misused(error)
    except Abort:
        return EXIT_INTERRUPTED
    except Exception as mistake:
        if sys.flags.dev_mode:
            raise
        complain(f"{_where(mistake)}. That is a mistake in Tollway; PYTHONDEVMODE=1 shows more of it to report.")
        return EXIT_MISTAKE
    return code if isinstance(code, int) else 0


def _misused(error: TyperException) -> int:
    message = error.format_message()
    if message.startswith("Usage: "):  # help, in place of the command that was not named
        sys.stderr.write(message + "\n")
        return error.exit_code
    context = getattr(error, "ctx", None)
    hint = f" See: {context.command_path} --help" if context is not None else ""
    complain(" ".join(message.replace("Value error, ", "").split()) + hint)
    return error.exit_code


def _where(mistake: Exception) -> str:
    place = mistake.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = type(mistake).__name__
    if place is None:
        return f"{name}: {mistake}"
    return f"{name} in {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}: {mistake}"


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError as error:
        # What is left unwritten would be tried again, and complained of, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return EXIT_PIPE_CLOSED
        if not code:
            complain(f"standard output can't be written: {error.strerror}")
        return code or EXIT_FAILED
    return code
