"""What every command shares: one-line errors that say what to do, `--json`, tables."""

import functools
import os
import sys
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, ParamSpec, TypeVar

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from tollway.cli.ending import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_PIPE_CLOSED,
    complain,
    printable,
    stdout_is_gone,
    told,
)
from tollway.client.errors import ReceiptError, RouterError, RouterUnreachable, WalletError
from tollway.domain.errors import LedgerUnusable, TollwayError
from tollway.wire import json

P = ParamSpec("P")
R = TypeVar("R")


class _Out(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        """What a router or a receipt says in it can't steer the terminal."""
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **options)


# What callers and operators wrote is shown as it is: square brackets in it are no markup. NO_COLOR means no escape
# sequence of any kind; without a terminal, or on a dumb one, there is none anyway.
out = _Out(highlight=False, soft_wrap=True, markup=False, color_system=None if os.environ.get("NO_COLOR") else "auto")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", envvar="TOLLWAY_CONFIG", help="Configuration file (default ./tollway.toml).")
]
UrlOption = Annotated[str, typer.Option("--url", envvar="TOLLWAY_URL", help="The router's address.")]
WalletOption = Annotated[Path, typer.Option("--wallet", envvar="TOLLWAY_WALLET", help="Wallet file.")]

WalletIfNoKey = Annotated[
    Path | None, typer.Option("--wallet", envvar="TOLLWAY_WALLET", help="Wallet file, if there is no key.")
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", envvar="TOLLWAY_KEY", help="A delegated key; better in the environment than typed."),
]

DEFAULT_URL = "http://127.0.0.1:8080"
SIMULATED_AT = "127.0.0.1:9100"  # where `tollway simulate` listens


COLUMN_GAP = 2  # between columns of a table


class CommandFailed(Exception):
    """A command can't do what it was asked; its text says what to do."""


USER_ERRORS = (
    CommandFailed,
    LedgerUnusable,
    ReceiptError,
    RouterError,
    RouterUnreachable,
    TollwayError,
    WalletError,
    OSError,
    ValueError,  # ConfigError is one
)


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Everything that a user can cause ends in one line on stderr and exit code 1, never in a traceback."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except USER_ERRORS as error:
            if isinstance(error, BrokenPipeError) and stdout_is_gone():
                raise typer.Exit(EXIT_PIPE_CLOSED) from None
            fail(told(error))
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return run


def fail(message: str) -> NoReturn:
    complain(message)
    raise typer.Exit(EXIT_FAILED)


def print_json(value: Any) -> None:
    put(json.encode(value).decode() + "\n")


def put(text: str) -> None:
    """To stdout, as it is. Raises CommandFailed for a full disk, and BrokenPipeError when nobody reads any more."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailed(f"standard output can't be written: {error.strerror}") from None


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), whole: Sequence[str] = ()
) -> None:
    """`right`: columns of figures. `whole`: columns that are copied from. Folded to the width of a terminal, these two
    after all others; into a pipe or a file each row is one line."""
    if not out.is_terminal:
        _print_lines(columns, rows, right)
        return
    cells = [[printable(cell) for cell in row] for row in rows]
    kept = _kept(columns, cells, {*right, *whole})
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        header = column.replace(" ", "\n") if column in kept else column
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(header, justify=justify, overflow="fold", no_wrap=column in kept)
    for row in cells:
        table.add_row(*row)
    out.print(table)


def _kept(columns: Sequence[str], rows: Sequence[Sequence[str]], wanted: Container[str]) -> Container[str]:
    """The columns out of `wanted` whose cells are not folded: none where the table fits anyway, and none where too
    little would be left for the others."""
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    if sum(widths) + COLUMN_GAP * (len(widths) - 1) <= out.width:
        return ()
    left = out.width + COLUMN_GAP
    for name, *cells in zip(columns, *rows, strict=True):
        words = [*cells, *name.split()] if name in wanted else name.split()
        left -= COLUMN_GAP + max(map(cell_len, words), default=0)
    return wanted if left >= 0 else ()


def _print_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    lines = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        padded = (
            " " * (width - cell_len(cell)) + cell if name in right else cell + " " * (width - cell_len(cell))
            for name, cell, width in zip(columns, line, widths, strict=True)
        )
        text += "  ".join(padded).rstrip() + "\n"
    put(text)
