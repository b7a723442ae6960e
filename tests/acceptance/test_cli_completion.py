"""Completion, in a real bash on a terminal; and what zsh and fish are told."""

import shutil
from pathlib import Path

import pytest

from helpers.commands import TOLLWAY, tollway
from helpers.terminal import Terminal

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(shutil.which("bash") is None, reason="bash is missing")]


def test_bash_completes_commands_subcommands_options_and_choices(tmp_path: Path) -> None:
    environment = {"PATH": f"{TOLLWAY.parent}:/usr/bin:/bin", "PS1": "$ ", "INPUTRC": "/dev/null"}
    with Terminal(["bash", "--norc", "--noprofile"], cwd=tmp_path, environment=environment) as screen:
        screen.types('PS1="ready> "; eval "$(_TOLLWAY_COMPLETE=source_bash tollway)"\n')
        screen.shows("^ready> $")
        screen.types("tollway bal\t")
        screen.shows("tollway balance $")
        screen.types("--wal\t")
        screen.shows("--wallet $")
        screen.types("\x15tollway ledger au\t")
        screen.shows("tollway ledger audit $")
        screen.types("\x15tollway usage --by mo\t")
        screen.shows("tollway usage --by model $")


def test_installing_writes_the_shells_own_file(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": f"{TOLLWAY.parent}:/usr/bin:/bin", "PS1": "ready> "}
    with Terminal(["bash", "--norc", "--noprofile"], cwd=tmp_path, environment=environment) as screen:
        screen.types("tollway --install-completion\n")
        screen.shows("bash completion installed")
    assert "bash_completions/tollway.sh" in (tmp_path / ".bashrc").read_text()
    assert "complete" in (tmp_path / ".bash_completions" / "tollway.sh").read_text()


@pytest.mark.parametrize(("shell", "words"), [("zsh", "compdef"), ("fish", "complete --command tollway")])
def test_other_shells_get_theirs(shell: str, words: str, tmp_path: Path) -> None:
    assert words in tollway(cwd=tmp_path, environment={"_TOLLWAY_COMPLETE": f"source_{shell}"}).stdout


@pytest.mark.parametrize(("typed", "offered"), [("tollway wal", "wallet"), ("tollway wallet n", "new")])
def test_what_is_offered_comes_with_what_it_does(typed: str, offered: str, tmp_path: Path) -> None:
    environment = {"_TOLLWAY_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": typed}
    assert f'"{offered}":"Make ' in tollway(cwd=tmp_path, environment=environment).stdout
