"""Commands that are imported when they are called: showing a wallet doesn't wait for a web server to load.

The one place of the project that imports by name.
"""

import importlib
from collections import UserDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Lazy(NamedTuple):
    """Where a command is, `module:attribute` (a function, or a Typer of subcommands), and the line that lists it."""

    place: str
    summary: str


class Completion(NamedTuple):
    """What a shell's completion reads of a name that fits."""

    value: str
    help: str
    type: str = "plain"


class Commands(UserDict[str, Any]):
    """typer's commands by name, each made on first use."""

    def __init__(self, table: Mapping[str, Lazy]) -> None:
        super().__init__(table)

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, Lazy):
            found = self.data[name] = _load(name, found.place)
        return found


class LazyGroup(TyperGroup):
    """A group over `table`. Listing it loads nothing."""

    table: Mapping[str, Lazy] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands(self.table)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in self.table.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Names out of the table: completing a command loads none of them."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [Completion(name, lazy.summary) for name, lazy in self.table.items() if name.startswith(incomplete)]


def load(place: str) -> Any:
    """What is at `module:attribute`, for a command that needs it for one of its options only."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _load(name: str, place: str) -> Any:
    found = load(place)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(found)
        found = app
    found.info.name = name
    return typer.main.get_command(found)
