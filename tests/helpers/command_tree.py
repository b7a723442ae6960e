"""Every command of the command line, found by walking it: what a rule for all of them is held against."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from tollway.cli import Tollway, app

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def tree() -> dict[str, Any]:
    """typer's command by what a user types after `tollway`; groups are not in it, but each command of theirs is."""
    root = get_command(app)
    context = typer.Context(root, info_name="tollway")
    return dict(_below("", [(name, root.get_command(context, name)) for name in Tollway.table]))


def groups() -> list[str]:
    """What is no command by itself."""
    return sorted({path.rpartition(" ")[0] for path in tree()} - {""})


def options(command: Any) -> set[str]:
    """The long names of a command's options, but --help."""
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")} - {"--help"}


def arguments(command: Any) -> list[str]:
    """The names of what it takes without a name, in order."""
    return [parameter.name for parameter in command.params if parameter.param_type_name == "argument"]


def _below(prefix: str, commands: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, command in commands:
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            yield prefix + name, command
        else:
            yield from _below(f"{prefix}{name} ", list(subcommands.items()))
