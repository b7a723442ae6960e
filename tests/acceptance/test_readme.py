"""README.md and docs/ show what happens: each `tollway` and `curl` line in a console block is run as it stands."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.commands import ENVIRONMENT, TIMEOUT_S
from helpers.console import BLOCK, PLACE, Console, Ran, Shown, alike, blocks, commands, shown
from helpers.node import FOLDER, install
from helpers.require import require_curl, require_node

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"  # begins by itself
DOCS = [page for page in sorted((ROOT / "docs").glob("*.md")) if commands(page) and page != QUICKSTART]
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
    if "curl -i" in ran.command:
        assert re.match(r"HTTP/1.1 20[04] ", ran.stdout), ran
    elif '"stream": true' in ran.command:
        assert ran.stdout.endswith("data: [DONE]\n\n"), ran
        assert '"error"' not in ran.stdout, ran
    else:
        answer = json.loads(ran.stdout)
        assert "error" not in answer, ran
        assert answer.get("choices") or answer.get("data") or "balance_usd" in answer or "nonce" in answer, ran


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
def test_what_a_page_shows_happens_where_the_readme_has_been_followed(played, document):
    """Its commands, with what they print, and its scripts that call the router: in the order of the page."""
    console, _ = played
    for block in BLOCK.finditer(document.read_text(encoding="utf-8")):
        if block[1] == "python" and PLACE.search(block[2]):
            ran = console.script(block[2])
            assert (ran.code, bool(ran.stdout.strip())) == (0, True), ran
        for one in shown(block[0]):
            play(console, one)


def play(console: Console, one: Shown) -> None:
    ran = console.run(one.command)
    check(ran)
    # `init` prints it only where the usual port is taken, as it may be on the machine that tests.
    printed = re.sub(r"  export TOLLWAY_URL=http://127\.0\.0\.1:\d+\n", "", ran.stdout + ran.stderr)
    assert alike(one.printed, printed) or not one.printed, ran


def test_the_readmes_lines_of_python_run_with_the_sign_in_it_shows(played):
    console, _ = played
    (code,) = blocks(README, "python")
    ran = console.script(f"sign_in = {console.variables['SIGN_IN']!r}\n{code}")
    assert ran.code == 0, ran
    text, _, cost = ran.stdout.strip().rpartition(" ")
    assert text
    assert float(cost) > 0


def test_the_quick_start_goes_from_nothing_to_an_answer_that_is_paid_for(tmp_path):
    with Console(tmp_path) as console:
        # What init writes has the ports that a reader's machine has free.
        console.variables |= {
            "TOLLWAY_SERVER__PUBLIC_URL": console.here("http://127.0.0.1:8080"),
            "TOLLWAY_PROVIDERS__SIMULATOR__BASE_URL": console.here("http://127.0.0.1:9100/v1"),
        }
        init, *rest = shown(QUICKSTART.read_text(encoding="utf-8"))
        variables, console.variables = console.variables, {"PATH": console.variables["PATH"]}
        play(console, init)
        console.variables = variables
        for one in rest:
            play(console, one)


CLIENTS = ROOT / "docs" / "clients.md"


@pytest.mark.node
@pytest.mark.parametrize("index", range(len(blocks(CLIENTS, "js"))))
def test_each_block_of_javascript_for_clients_runs_with_the_sign_in_of_the_readme(played, index):
    install()
    console, _ = played
    code = console.here(blocks(CLIENTS, "js")[index])
    environment = {**ENVIRONMENT, "SIGN_IN": console.variables["SIGN_IN"]}
    command = [require_node(), "--input-type=module", "-e", code]  # beside the packages of the tests
    ran = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


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
    assert shown(document.read_text())[0].printed == "printed\n"
    assert commands(document) == ["curl -d '{\n  }' x", "tollway a \\\n  b"]


def test_what_a_command_printed_may_differ_in_its_numbers_alone():
    assert alike("listening at 127.0.0.1:80\n  2 calls\n", "listening at 127.0.0.1:8080\n10   calls\n")
    assert alike("first\n...\nlast\n", "first\nsecond\nthird\nlast\n")
    assert not alike("2 calls\n", "2 posts\n")
    assert not alike("2 calls\n", "2 calls\nTraceback\n")
