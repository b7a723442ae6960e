"""`tollway init`: from nothing to a configuration that serves, with answers typed at a terminal or with none."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import (
    ENVIRONMENT,
    STOP_S,
    TIMEOUT_S,
    TOLLWAY,
    complaint,
    here,
    printed,
    simulator,
    started,
    tollway,
)
from helpers.played import answering, playing
from helpers.raw_server import Received
from tollway.cli.common import DEFAULT_URL
from tollway.cli.init.command import HOST, PORT
from tollway.cli.serve import free_address
from tollway.config.load import load
from tollway.config.presets import PRESETS
from tollway.metering.price_list import price_list

pytestmark = pytest.mark.acceptance

KEY = "sk-this-key-is-shown-to-nobody-0123"
LISTED = {"object": "list", "data": [{"id": "gpt-4o"}, {"id": "gpt-4.1-mini", "created": 5}, {"id": "whisper-1"}]}
WITHOUT_KEYS = {name: "" for preset in PRESETS.values() for name in preset.keys}


def provider(request: Received) -> tuple[int, bytes]:
    if request.header("authorization") != f"Bearer {KEY}":
        return 401, b'{"error":{"message":"wrong key"}}'
    return 200, json.dumps(LISTED).encode()


def init(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What it says of what it wrote."""
    ran = here("init", "--json", *arguments, cwd=folder, environment={**WITHOUT_KEYS, **(environment or {})})
    told: dict[str, Any] = json.loads(printed(ran))
    return told


# --- with flags


def test_a_key_in_the_environment_gives_a_provider_with_what_it_lists_and_is_not_shown(tmp_path: Path) -> None:
    with playing(answering(provider)) as server:
        environment = {**WITHOUT_KEYS, "OPENAI_API_KEY": KEY}
        given = ("init", "--provider", f"openai={server.url}/v1")
        ran = here(*given, cwd=tmp_path, environment=environment)
        shown = printed(ran) + ran.stderr
    text = (tmp_path / "tollway.toml").read_text()
    assert KEY not in shown + text
    assert "Found OpenAI: key in OPENAI_API_KEY, lists 3 models" in shown
    config = load(tmp_path / "tollway.toml", {"OPENAI_API_KEY": KEY})
    assert [model.id for model in config.providers[0].models] == ["openai/gpt-4.1-mini", "openai/gpt-4o"]
    assert len(price_list(config)) == 2
    assert shown.index("tollway doctor") < shown.index("tollway serve") < shown.index("tollway wallet new")


def test_a_key_that_is_refused_is_said_and_the_configuration_written_all_the_same(tmp_path: Path) -> None:
    with playing(answering(provider)) as server:
        environment = {**WITHOUT_KEYS, "OPENAI_API_KEY": "sk-wrong"}
        ran = here("init", "--provider", f"openai={server.url}/v1", cwd=tmp_path, environment=environment)
    assert "it refuses the key in OPENAI_API_KEY" in ran.stderr
    assert "sk-wrong" not in printed(ran) + ran.stderr
    load(tmp_path / "tollway.toml", environment)


def test_a_server_of_ones_own_gives_its_models_for_nothing(tmp_path: Path) -> None:
    body = b'{"data":[{"id":"llama3.1:8b"},{"id":"nomic-embed-text"},{"id":"qwen3","max_model_len":40960}]}'
    with playing(answering(lambda _: (200, body))) as server:
        told = init(tmp_path, "--provider", f"ollama={server.url}/v1")
    assert told["providers"] == [{"id": "ollama", "key": None, "models": ["ollama/llama3.1:8b", "ollama/qwen3"]}]
    models = load(tmp_path / "tollway.toml", {}).providers[0].models
    assert [(model.upstream, model.context_length) for model in models] == [("llama3.1:8b", 4_096), ("qwen3", 40_960)]


def test_without_any_provider_the_simulator_lets_a_newcomer_go_on(tmp_path: Path) -> None:
    told = init(tmp_path, "--provider", "simulator", "--public-url", DEFAULT_URL)
    assert told["next"] == [
        "tollway simulate",
        "tollway doctor",
        "tollway serve",
        "tollway wallet new --out wallet.json",
    ]
    assert [each.id for each in load(tmp_path / "tollway.toml", {}).providers] == ["simulator"]


def test_where_the_usual_port_is_taken_the_next_commands_take_client_commands_to_the_other_one(tmp_path: Path) -> None:
    with socket.socket() as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # taken by somebody else does as well
            usual.bind((HOST, PORT))
            usual.listen()
        told = init(tmp_path, "--provider", "simulator")
    assert told["public_url"] != DEFAULT_URL
    assert told["next"][-2:] == [f"export TOLLWAY_URL={told['public_url']}", "tollway wallet new --out wallet.json"]


@pytest.mark.parametrize("id", sorted(preset.id for preset in PRESETS.values() if preset.base_url and not preset.local))
def test_every_ready_made_provider_is_written_so_that_it_loads_once_its_key_is_there(id: str, tmp_path: Path) -> None:
    told = init(tmp_path, "--provider", id, "--public-url", "https://router.example.com")
    variable = PRESETS[id].keys[0]
    assert told["next"][0] == f"export {variable}=..."
    config = load(tmp_path / "tollway.toml", {variable: "sk-1"})
    assert (config.providers[0].id, config.server.public_url) == (id, "https://router.example.com")
    price_list(config)


def test_models_that_are_named_are_written_at_the_provider_that_has_them(tmp_path: Path) -> None:
    providers = ("--provider", "openai", "--provider", "groq")
    told = init(tmp_path, *providers, "--model", "gpt-4o", "--model", "groq/llama-3.3-70b-versatile")
    assert [each["models"] for each in told["providers"]] == [["openai/gpt-4o"], ["groq/llama-3.3-70b-versatile"]]
    assert "did you mean" in complaint(
        here("init", "--out", "b.toml", *providers, "--model", "gpt-4oo", cwd=tmp_path, environment=WITHOUT_KEYS)
    )
    assert not (tmp_path / "b.toml").exists()


def test_a_file_is_never_written_over_without_force(tmp_path: Path) -> None:
    (tmp_path / "tollway.toml").write_text("mine")
    assert "--force" in complaint(here("init", "--provider", "simulator", cwd=tmp_path))
    assert (tmp_path / "tollway.toml").read_text() == "mine"
    init(tmp_path, "--provider", "simulator", "--force")
    assert tomllib.loads((tmp_path / "tollway.toml").read_text())["providers"][0]["id"] == "simulator"
    assert [path.name for path in tmp_path.iterdir()] == ["tollway.toml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--provider", "opnai"), 'did you mean "openai"'),
        (("--provider", "azure"), "docs/providers.md"),
        (("--provider", "simulator", "--model", "gpt-4o"), "name the --provider that has it"),
        (("--provider", "openai", "--public-url", "router"), "https://"),
        (("--provider", "openai", "--out", "no/such/tollway.toml"), "there is no folder no/such"),
        (
            (
                "--provider",
                "ollama=http://127.0.0.1:9/v1",
            ),
            "nothing listens there",
        ),
    ],
)
def test_what_can_not_be_written_is_one_line_and_no_file(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = here("init", *arguments, cwd=tmp_path, environment=WITHOUT_KEYS)
    assert ran.returncode == 1
    assert said in ran.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


# --- at a terminal


class Terminal:
    """A command in a pseudo terminal, and what it has shown."""

    def __init__(self, fd: int) -> None:
        self.shown = ""
        self._seen = 0  # up to where a test has looked
        self._fd = fd

    def until(self, text: str) -> None:
        """Wait until `text` is shown after what was waited for before."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < deadline, f"{text!r} was not shown:\n{self.shown}"
            if select.select([self._fd], [], [], 1.0)[0]:
                try:
                    data = os.read(self._fd, 65_536)
                except OSError:  # Linux says so at the end
                    data = b""
                assert data, f"ended without {text!r}:\n{self.shown}"
                self.shown += data.decode()
        self._seen = self.shown.index(text, self._seen) + len(text)

    def type(self, line: str) -> None:
        os.write(self._fd, f"{line}\n".encode())


@contextlib.contextmanager
def terminal(folder: Path, *arguments: str, **environment: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [TOLLWAY, *arguments],
            cwd=folder,
            env={**ENVIRONMENT, **WITHOUT_KEYS, "TERM": "xterm", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(ours), process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(STOP_S)
    finally:
        os.close(ours)


def test_at_a_terminal_it_asks_and_asks_again_what_can_not_be_read(tmp_path: Path) -> None:
    serving, opened = playing(answering(provider)), terminal(tmp_path, "init", OPENAI_API_KEY=KEY)
    with serving as server, opened as (screen, process):
        screen.until("Providers, with commas between them")
        screen.type("opnai")
        screen.until('did you mean "openai"?')
        screen.until("Providers, with commas between them")
        screen.type(f"openai={server.url}/v1")
        screen.until("Models of OpenAI [gpt-4.1-mini, gpt-4o]")
        screen.type("gpt-4oo")
        screen.until('did you mean "gpt-4o"?')
        screen.until("Models of OpenAI")
        screen.type("gpt-4o")
        screen.until("What callers type to reach the router [http://127.0.0.1:")
        screen.type("https://router.example.com/")
        screen.until("tollway wallet new")
        assert process.wait(TIMEOUT_S) == 0
    assert KEY not in screen.shown
    config = load(tmp_path / "tollway.toml", {"OPENAI_API_KEY": KEY})
    assert [model.id for model in config.providers[0].models] == ["openai/gpt-4o"]
    assert config.server.public_url == "https://router.example.com"


def test_ctrl_c_at_a_question_leaves_no_file(tmp_path: Path) -> None:
    with terminal(tmp_path, "init") as (screen, process):
        screen.until("Providers, with commas between them")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
    assert list(tmp_path.iterdir()) == []


def test_from_init_to_an_answer_by_its_own_words(tmp_path: Path) -> None:
    """What a newcomer types: init, the commands it names, and a chat."""
    with terminal(tmp_path, "init") as (screen, process):
        screen.until("Providers, with commas between them")
        screen.type("simulator")
        screen.until("What callers type")
        screen.type("")
        screen.until("tollway wallet new --out wallet.json")
        assert process.wait(TIMEOUT_S) == 0
    named = re.findall(r"^  (tollway .+?)\r?$", screen.shown.partition("Next:")[2], re.MULTILINE)
    assert [line.split()[1] for line in named] == ["simulate", "doctor", "serve", "wallet"]
    # Ports that a machine which runs tests may have in use are exchanged, nothing else.
    listen, ops = str(free_address("127.0.0.1:0")), str(free_address("127.0.0.1:0"))
    with simulator(tmp_path) as simulated:
        environment = {
            "TOLLWAY_SERVER__LISTEN": listen,
            "TOLLWAY_SERVER__PUBLIC_URL": f"http://{listen}",
            "TOLLWAY_OPS__LISTEN": ops,
            "TOLLWAY_PROVIDERS__SIMULATOR__BASE_URL": simulated.url,
        }
        assert "0 problems" in printed(tollway("doctor", cwd=tmp_path, environment=environment))
        with started("serve", cwd=tmp_path, ready=r"serving at (http://\S+)/api/v1", environment=environment) as router:
            account = printed(tollway("wallet", "new", "--out", "wallet.json", cwd=tmp_path)).strip()
            printed(tollway("ledger", "credit", account, "5.00", "--ref", "first", cwd=tmp_path))
            asked = ("chat", "hello", "--wallet", "wallet.json", "--model", "simulator/sim", "--url", router.url)
            assert printed(tollway(*asked, cwd=tmp_path)).strip()
            findings = printed(tollway("doctor", "--ask", cwd=tmp_path, environment=environment))
    assert "leads to this router" in findings
    assert "tokens used" in findings
