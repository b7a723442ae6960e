"""The table of commands: each is there, says of itself what the list says, and loads nothing but itself."""

import subprocess
import sys

import pytest
from typer.main import get_command

from tollway import __version__
from tollway.cli import Tollway, app

HEAVY = ["httptools", "starlette", "httpx2", "uvloop", "sqlite3", "tollway.config.schema"]

LOADED = f"""
import sys
from tollway.cli import app
try:
    app(sys.argv[1:])
finally:
    print("loaded:", *(name for name in {HEAVY} if name in sys.modules))
"""


def loaded_by(*arguments: str) -> tuple[str, list[str]]:
    """What a command prints, and which heavy modules it brought in."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    printed, _, loaded = ran.stdout.rpartition("loaded:")
    return printed, loaded.split()


@pytest.mark.parametrize("name", Tollway.table)
def test_a_command_is_where_the_table_says_and_says_what_the_list_says(name: str) -> None:
    command = get_command(app).commands[name]
    assert command.name == name
    # A help's first sentence may go on where the list stops: "Ask a model. The answer goes to stdout ..."
    assert command.help.startswith(Tollway.table[name].summary.rstrip("."))


def test_the_list_of_commands_loads_none_of_them() -> None:
    printed, loaded = loaded_by("--help")
    assert loaded == []
    for name, lazy in Tollway.table.items():
        assert f"  {name}" in printed
        assert lazy.summary in printed


@pytest.mark.parametrize("arguments", [["wallet", "--help"], ["wallet", "show", "--help"]])
def test_a_command_without_a_network_loads_no_network_library_and_no_configuration(arguments: list[str]) -> None:
    printed, loaded = loaded_by(*arguments)
    assert "Usage: " in printed
    assert loaded == []


def test_signing_in_loads_no_network_library() -> None:
    _, loaded = loaded_by("sign-in", "--help")
    assert loaded == ["tollway.config.schema"]  # for the spelling of a lifetime


def test_a_client_command_loads_no_server() -> None:
    _, loaded = loaded_by("balance", "--help")
    assert loaded == ["httpx2"]


def test_a_misspelt_command_is_told_the_near_one() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADED, "modles"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "Did you mean 'models'?" in ran.stderr


def test_the_version_is_the_packages() -> None:
    printed, loaded = loaded_by("--version")
    assert printed == f"tollway {__version__}\n"
    assert loaded == []
