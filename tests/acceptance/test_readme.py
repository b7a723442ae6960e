"""README.md and docs/ show what happens: each `tollway` and `curl` line in a console block is run as it stands."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.commands import ENVIRONMENT, TIMEOUT_S
from helpers.console import Console, Ran, blocks, commands
from helpers.node import FOLDER, install
from helpers.require import require_curl, require_node

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = [document for document in sorted((ROOT / "docs").glob("*.md")) if commands(document)]
SHOWN = commands(README)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, list[Ran]]]:
    """The README's commands, run one after the other in a folder with the configuration it shows."""
    require_curl()
    folder = tmp_path_factory.mktemp("readme")
    with Console(folder) as console:
        (folder / "tollway.toml").write_text(console.here("\n".join(blocks(README, "toml"))))
        yield console, [console.run(command) for command in SHOWN]


def check(ran: Ran) -> None:
    """It did what it was shown for, which curl's exit code alone doesn't tell."""
    assert ran.code == 0, ran
    assert "Traceback" not in ran.stderr, ran
    assert ran.stdout.strip(), ran
    if "curl " not in ran.command or "/v1/" not in ran.command:
        return
    if '"stream": true' in ran.command:
        assert ran.stdout.endswith("data: [DONE]\n\n"), ran
        assert '"error"' not in ran.stdout, ran
    else:
        answer = json.loads(ran.stdout)
        assert "error" not in answer, ran
        assert answer.get("choices") or answer.get("data"), ran


def test_the_readme_shows_the_way_from_a_wallet_to_an_answer():
    text = "\n".join(SHOWN)
    for wanted in ("serve", "wallet new", "ledger credit", "sign-in", "chat", "balance", "statement", "ledger audit"):
        assert f"tollway {wanted}" in text, wanted
    curls = [command for command in SHOWN if "/chat/completions" in command]
    assert any("curl -N" in command and '"stream": true' in command for command in curls)
    assert any('"stream"' not in command for command in curls)


@pytest.mark.parametrize("index", range(len(SHOWN)), ids=[command[:40] for command in SHOWN])
def test_each_command_of_the_readme_does_what_it_shows(played, index):
    check(played[1][index])


@pytest.mark.parametrize("document", DOCS, ids=lambda document: document.name)
def test_each_command_of_the_docs_does_what_it_shows_where_the_readme_has_been_followed(played, document):
    console, _ = played
    for command in commands(document):
        check(console.run(command))


def test_the_readmes_lines_of_python_run_with_the_sign_in_it_shows(played):
    console, _ = played
    (code,) = blocks(README, "python")
    code = f"sign_in = {console.variables['SIGN_IN']!r}\n" + console.here(code)
    ran = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert ran.returncode == 0, ran.stderr
    text, _, cost = ran.stdout.strip().rpartition(" ")
    assert text
    assert float(cost) > 0


CLIENTS = ROOT / "docs" / "clients.md"


@pytest.mark.parametrize("index", range(len(blocks(CLIENTS, "python"))))
def test_each_block_of_python_for_clients_runs_with_the_sign_in_of_the_readme(played, index):
    console, _ = played
    code = console.here(blocks(CLIENTS, "python")[index])
    printed = run_block([sys.executable, "-c", code], console)
    assert printed.strip()


@pytest.mark.node
@pytest.mark.parametrize("index", range(len(blocks(CLIENTS, "js"))))
def test_each_block_of_javascript_for_clients_runs_with_the_sign_in_of_the_readme(played, index):
    install()
    console, _ = played
    code = console.here(blocks(CLIENTS, "js")[index])
    printed = run_block([require_node(), "--input-type=module", "-e", code], console)
    assert printed.strip()


def run_block(command: list[str], console: Console) -> str:
    """What code that has its sign-in from the environment prints; packages of Node.js are those of the tests."""
    environment = {**ENVIRONMENT, "SIGN_IN": console.variables["SIGN_IN"]}
    ran = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_books_of_the_readme_balance(played):
    console, _ = played
    ran = console.run("tollway ledger audit --json")
    check(ran)
    report = json.loads(ran.stdout)
    assert (report["pending"], report["differences"]) == (0, [])
    assert report["posts"] >= 3


def test_a_command_may_go_on_over_several_lines(tmp_path):
    document = tmp_path / "document.md"
    document.write_text(
        "```console\n$ curl -d '{\n  }' x\nprinted\n$ ls\n$ tollway a \\\n  b\n```\n$ tollway outside\n"
    )
    assert commands(document) == ["curl -d '{\n  }' x", "tollway a \\\n  b"]
