"""What holds for every command: help with an example, `--json`, errors in one line, no escape sequence in a pipe.

A command that is added is met here without being named; what it takes to work is a line in CALLS. A failure names the
command and the rule.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from helpers.command_tree import OPTION, groups, options, tree
from helpers.commands import ENVIRONMENT, TIMEOUT_S, TOLLWAY, here, printed, router, simulator, tollway
from helpers.terminal import Terminal

pytestmark = pytest.mark.acceptance

TREE = tree()
SERVE = {"serve", "simulate", "demo"}  # they go on until they are told to stop, and have nothing to list
REPORTS = [path for path in TREE if path not in SERVE]
DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"

# What makes a command do its work in the place below; --json is added to it, and {words} are those of the place.
CALLS = {
    "balance": "--wallet wallet --url {url}",
    "bench": "--rounds 1 --seconds 0.1 --streams 2 --ledger sqlite:",
    "chat": "hello --model model --wallet wallet --url {url}",
    "doctor": "",
    "init": "--provider simulator --out init.toml --force",
    "key end": "{key} --wallet wallet --url {url}",
    "key list": "--wallet wallet --url {url}",
    "key new": "--wallet wallet --url {url} --label everywhere --limit 1.00 --per day --expires 24h --model model",
    "ledger audit": "",
    "ledger backup": "another",
    "ledger credit": "{account} 0.10 --ref everywhere",
    "ledger export": "--format hledger --out another",
    "ledger freeze": "{other} --why everywhere",
    "ledger pay-provider": "sim 0.01 --ref everywhere --advance",
    "ledger report": "",
    "ledger reconcile": "sim --recorded",
    "ledger recounts": "",
    "ledger restore": "kept --config restored.toml",
    "ledger reverse": "{call} --why everywhere",
    "ledger statement": "{account}",
    "ledger unfreeze": "{other}",
    "models": "--url {url}",
    "prices diff": "",
    "prices set": "some-model --provider sim --input 1 --output 2 --to own.json",
    "prices show": "gpt-4o",
    "prices update": "--to updated.json",
    "provider disable": "sim",
    "provider enable": "sim",
    "provider list": "--url {url}",
    "receipt get": "{call} --wallet wallet --url {url}",
    "receipt keys": "--url {url}",
    "receipt verify": "receipt --keys keys",
    "route": "request.json",
    "sign-in": "--wallet wallet --url {url}",
    "statement": "--wallet wallet --url {url}",
    "usage": "--wallet wallet --url {url}",
    "wallet new": "--out another",
    "wallet show": "wallet",
}

# What can't be done, where nothing is: no wallet, no configuration that can be read, no router. {gone} is its address.
FAILURES = {
    "balance": "--wallet nowhere",
    "bench": "--folder nowhere",
    "chat": "hello --model model --wallet nowhere",
    "demo": "--listen nowhere --exit --simulated",
    "doctor": "--config nowhere",
    "init": "--provider nowhere",
    "key end": "no-id --wallet nowhere",
    "key list": "--wallet nowhere",
    "key new": "--wallet nowhere",
    "ledger audit": "",
    "ledger backup": "nowhere/backup.db",
    "ledger credit": "nobody 1 --ref x",
    "ledger export": "--format beancount --out nowhere/journal",
    "ledger freeze": "nobody --why everywhere",
    "ledger pay-provider": "nobody 1 --ref x",
    "ledger report": "--from yesterday",
    "ledger reconcile": "sim --recorded --config nowhere",
    "ledger recounts": "--days 0",
    "ledger restore": "nowhere",
    "ledger reverse": "nothing --why everywhere",
    "ledger statement": "nobody",
    "ledger unfreeze": "nobody",
    "models": "--url {gone}",
    "prices diff": "--config nowhere",
    "prices set": "some-model --provider sim",
    "prices show": "no-such-model-anywhere",
    "prices update": "--config nowhere",
    "provider disable": "nobody",
    "provider enable": "nobody",
    "provider list": "--config nowhere",
    "receipt get": "no-call --wallet nowhere",
    "receipt keys": "--url {gone}",
    "receipt verify": "nowhere --keys nowhere",
    "route": "nowhere",
    "serve": "--config nowhere",
    "sign-in": "--wallet nowhere",
    "simulate": "--scenario nonsense",
    "statement": "--wallet nowhere",
    "usage": "--wallet nowhere",
    "wallet new": "--out nowhere/wallet",
    "wallet show": "nowhere",
}


OTHER = "eip155:1:0x1111111111111111111111111111111111111111"


class Place(NamedTuple):
    folder: Path
    words: dict[str, str]

    def call(self, path: str, *more: str) -> subprocess.CompletedProcess[str]:
        given = CALLS[path].format(**self.words).split()
        return here(*path.split(), *given, *more, cwd=self.folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder with a router, a wallet with credit, and a request."""
    folder = tmp_path_factory.mktemp("everywhere")
    with simulator(folder) as provider, router(folder, provider.url) as serving:
        account = printed(here("wallet", "new", "--out", "wallet", cwd=folder)).strip()
        printed(here("ledger", "credit", account, "1.00", "--ref", "first", cwd=folder))
        body = {"model": "model", "messages": [{"role": "user", "content": "hello"}]}
        (folder / "request.json").write_text(json.dumps(body))
        mine = ("--wallet", "wallet", "--url", serving.url)
        printed(here("chat", "hello", "--model", "model", *mine, cwd=folder))
        call = json.loads(printed(here("statement", *mine, "--json", cwd=folder)))["data"][0]["id"]
        (folder / "receipt").write_text(printed(here("receipt", "get", call, *mine, cwd=folder)))
        (folder / "keys").write_text(printed(here("receipt", "keys", "--url", serving.url, cwd=folder)))
        printed(here("ledger", "backup", "kept", cwd=folder))
        configured = (folder / "tollway.toml").read_text()
        (folder / "restored.toml").write_text(configured.replace("ledger.db", "restored.db"))
        printed(here("key", "new", *mine, cwd=folder))
        key = json.loads(printed(here("key", "list", *mine, "--json", cwd=folder)))["data"][0]["id"]
        words = {"url": serving.url, "account": account, "other": OTHER, "call": call, "key": key}
        yield Place(folder, words)


def one_line(path: str, ran: subprocess.CompletedProcess[str], code: int) -> str:
    rule = f"`tollway {path}` that goes wrong exits with {code} and says why in one line on stderr"
    assert ran.returncode == code, f"{rule}: {ran}"
    assert re.fullmatch(r"tollway: [^\n\x1b]+\n", ran.stderr), f"{rule}: {ran.stderr!r}"
    return ran.stderr


@pytest.mark.parametrize("path", TREE)
def test_help_says_what_the_command_does_and_shows_an_example_that_can_be_typed(path: str, tmp_path: Path) -> None:
    shown = printed(here(*path.split(), "--help", cwd=tmp_path))
    assert shown.startswith(f"Usage: tollway {path}"), path
    examples = [line.strip() for line in shown.splitlines() if re.match(r"    (tollway|.*\$\(tollway) ", line)]
    assert "  Example:\n" in shown, f"the help of `tollway {path}` has no paragraph `\\b Example:`"
    assert examples, f"the help of `tollway {path}` has no example line that begins with tollway"
    for example in examples:
        assert re.search(rf"\btollway {path}(?=[ )]|$)", example), f"`tollway {path}`: an example of it: {example}"
        shlex.split(example)
        named = set(OPTION.findall(example.partition("tollway")[2]))
        assert named <= options(TREE[path]), f"`tollway {path}`: its example has options that it hasn't: {example}"


@pytest.mark.parametrize("path", ["", *groups()])
def test_a_group_alone_shows_its_help_and_is_no_success(path: str, tmp_path: Path) -> None:
    ran = here(*path.split(), cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, ""), path
    assert ran.stderr.startswith(f"Usage: tollway {path}".rstrip()), path


@pytest.mark.parametrize("path", REPORTS)
def test_what_reports_something_has_json(path: str) -> None:
    assert "--json" in options(TREE[path]), f"`tollway {path}` has no --json"
    assert path in CALLS, f"say in CALLS how `tollway {path}` is called, so that its --json is tried"


@pytest.mark.parametrize("path", CALLS)
def test_json_is_one_document_without_a_float_for_money(path: str, place: Place) -> None:
    (place.folder / "another").unlink(missing_ok=True)
    ran = place.call(path, "--json")
    rule = f"`tollway {path} --json` prints one JSON document"
    text = printed(ran)
    assert text.endswith("\n"), rule
    document = json.loads(text)
    assert isinstance(document, dict), rule
    wrong = [name for name, value in members(document) if isinstance(value, float) and MONEY.search(name)]
    assert not wrong, f"`tollway {path} --json` gives money as a float: {wrong}"
    assert "\x1b" not in text + ran.stderr, f"`tollway {path} --json` writes escape sequences into a pipe"


@pytest.mark.parametrize("path", CALLS)
def test_a_pipe_gets_plain_text(path: str, place: Place) -> None:
    (place.folder / "another").unlink(missing_ok=True)
    ran = place.call(path)
    assert printed(ran).strip(), f"`tollway {path}` prints nothing"
    assert "\x1b" not in ran.stdout + ran.stderr, f"`tollway {path}` writes escape sequences into a pipe"


@pytest.mark.parametrize("path", TREE)
def test_a_wrong_option_is_a_usage_error_in_one_line(path: str, tmp_path: Path) -> None:
    said = one_line(path, here(*path.split(), "--no-such-option", cwd=tmp_path), 2)
    assert f"See: tollway {path} --help" in said


@pytest.mark.parametrize("path", TREE)
def test_what_can_not_be_done_is_one_line(path: str, tmp_path: Path) -> None:
    assert path in FAILURES, f"say in FAILURES how `tollway {path}` goes wrong"
    given = FAILURES[path].format(gone="http://127.0.0.1:9").split()
    assert not one_line(path, here(*path.split(), *given, cwd=tmp_path), 1).startswith("tollway: [Errno")


def members(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from members(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from members(item, name)


MONEY = re.compile(r"usd|cost|price|rates|amount|balance|held|charged")


def test_a_full_disk_is_one_line(place: Place) -> None:
    with Path("/dev/full").open("w") as full:
        ran = run(place, "prices", "show", stdout=full)
    assert (ran.returncode, ran.stderr) == (1, "tollway: standard output can't be written: No space left on device\n")


def test_a_closed_stdout_is_one_line_and_no_file_is_taken_for_it(place: Place) -> None:
    command = f"{shlex.quote(str(TOLLWAY))} ledger credit {place.words['account']} 0.01 --ref closed >&-"
    ran = run(place, "-c", command, program="bash")
    assert ran.returncode == 1
    assert re.fullmatch(r"tollway: [^\n]*Bad file descriptor\n", ran.stderr), ran.stderr
    assert printed(here("ledger", "audit", cwd=place.folder)).startswith("the books balance")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_silence_and_the_exit_code_of_a_broken_pipe(place: Place, unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        ran = run(place, "prices", "show", stdout=pipe, PYTHONUNBUFFERED=unbuffered)
    assert (ran.returncode, ran.stderr) == (141, "")


def test_a_wallet_that_can_not_be_read_is_one_line(place: Place) -> None:
    assert "is no router" not in one_line("wallet show", tollway("wallet", "show", ".", cwd=place.folder), 1)


def test_no_color_is_taken_ahead_of_any_command(place: Place) -> None:
    assert printed(here("--no-color", "models", "--url", place.words["url"], cwd=place.folder)).startswith("model")


def run(
    place: Place, *given: str, program: str | Path = TOLLWAY, stdout: Any = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *given],
        cwd=place.folder,
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
    )


def sections() -> dict[str, str]:
    """What docs/cli.md says of each command, by the command."""
    parts = re.split(r"^### `tollway ([a-z -]+)`$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_document_has_every_command_and_no_other() -> None:
    said = sections()
    assert set(said) == set(TREE), f"docs/cli.md: {set(said) ^ set(TREE)}"


@pytest.mark.parametrize("path", TREE)
def test_the_document_has_every_option_of_a_command_and_no_other(path: str) -> None:
    rows = re.findall(r"^\| `([^`]+)`", sections().get(path, ""), re.MULTILINE)
    named = {option for row in rows for option in OPTION.findall(row)}
    apart = named ^ options(TREE[path])
    assert not apart, f"docs/cli.md, `tollway {path}`: {sorted(apart)} of the table and of the command differ"


def test_long_work_shows_a_sign_on_a_terminal_which_is_gone_at_the_end_and_nothing_elsewhere(place: Place) -> None:
    with Terminal([TOLLWAY, "ledger", "audit"], cwd=place.folder) as screen:
        screen.shows("recomputing every account")
        screen.shows("the books balance")
        assert screen.ended() == 0
    assert "\x1b[2Kthe books balance" in screen.raw, "the sign is erased"
    assert run(place, "ledger", "audit", stdout=subprocess.DEVNULL).stderr == ""


def test_ctrl_c_ends_a_command_without_a_traceback(place: Place) -> None:
    words = {"TOLLWAY_URL": place.words["url"], "TOLLWAY_WALLET": "wallet", "TOLLWAY_MODEL": "model"}
    with Terminal([TOLLWAY, "chat", "simulate: tokens=500,gap=50ms"], cwd=place.folder, environment=words) as screen:
        screen.shows(r"^\w+ \w+ ")
        screen.types("\x03")
        assert screen.ended() == 130
    assert "Traceback" not in screen.text
    assert "charged" in screen.text


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_on_a_terminal_keeps_to_its_width(place: Place, columns: int) -> None:
    with Terminal([TOLLWAY, "prices", "show", "gpt-4o"], cwd=place.folder, columns=columns) as screen:
        assert screen.ended() == 0
    assert max(len(line.rstrip()) for line in screen.text.splitlines()) <= columns
    assert re.search(r"^openai +gpt-4o ", screen.text, re.MULTILINE)


def test_what_is_copied_from_a_table_and_figures_are_not_folded_on_a_narrow_terminal(place: Place) -> None:
    with Terminal([TOLLWAY, "prices", "show", "grok-4.20-reasoning-latest"], cwd=place.folder, columns=80) as screen:
        assert screen.ended() == 0
    assert re.search(r"^xai +grok-4.20-reasoning-latest +1.25 +2.5 ", screen.text, re.MULTILINE)
