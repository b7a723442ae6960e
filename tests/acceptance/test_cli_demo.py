"""`tollway demo`: the whole thing on this machine alone, shown as it happens, and nothing of it left behind."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.commands import ENVIRONMENT, STOP_S, TIMEOUT_S, TOLLWAY, printed, tollway
from helpers.require import require_curl
from tollway.simulator import expected_text

pytestmark = pytest.mark.acceptance

WALLETS = [r"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:[1-9A-HJ-NP-Za-km-z]{32,44}", r"eip155:0x[0-9a-f]{40}"]
ROWS = [r"credit +1\.00 ", r"hold +0\.\d+ ", r"post +0\.\d+ +0\.\d+ "]
SIMULATED_TOKENS = 16  # the simulator's own length of an answer


def demo(folder: Path, *arguments: str) -> str:
    return printed(tollway("demo", *arguments, cwd=folder, environment={"TMPDIR": str(folder)}))


def check_shown(shown: str, model: str) -> None:
    """Wallets, credits, two billed answers, two statements with hold and post, and the audit."""
    for account in WALLETS:
        assert re.search(account, shown)
    for row in ROWS:
        assert len(re.findall(row, shown)) == 2, row
    charges = re.findall(r"(\d+) \+ (\d+) tokens, (0\.\d+) USD", shown)
    assert len(charges) == 2
    for prompt, completion, cost in charges:
        assert int(prompt) > 0
        assert int(completion) > 0
        assert re.search(rf"post +{re.escape(cost)} .* {re.escape(model)}", shown)
    assert "the books balance" in shown
    assert "2 posts" in shown


def test_the_demo_without_a_model_shows_everything_and_leaves_nothing(tmp_path: Path) -> None:
    shown = demo(tmp_path, "--simulated", "--exit")
    check_shown(shown, "simulator/")
    assert shown.count(expected_text(SIMULATED_TOKENS)) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.model
def test_the_demo_with_a_real_model_shows_everything_and_leaves_nothing(tmp_path: Path) -> None:
    shown = demo(tmp_path)  # without a terminal it ends by itself
    check_shown(shown, "local/")
    assert "SmolLM2" in shown
    assert "rivers" in shown.split("Write one sentence about rivers.")[1].lower()
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_the_demo_serves_on_and_its_curl_line_works(tmp_path: Path) -> None:
    require_curl()
    terminal, stdin = os.openpty()
    try:
        with subprocess.Popen(
            [TOLLWAY, "demo", "--simulated"],
            cwd=tmp_path,
            env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            try:
                assert running.stdout is not None
                shown = iter(running.stdout.readline, "")
                assert any("In another terminal" in line for line in shown)
                command = ""
                for line in shown:
                    if command and not line.strip():
                        break
                    command += line if line.strip() else ""
                ran = subprocess.run(
                    ["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, timeout=TIMEOUT_S
                )
                assert ran.stdout.endswith("data: [DONE]\n\n"), (command, ran)
                running.send_signal(signal.SIGINT)
                assert running.wait(STOP_S) == 0
                assert "Traceback" not in running.communicate()[1]
            finally:
                if running.poll() is None:
                    running.kill()
    finally:
        os.close(terminal)
        os.close(stdin)
    assert list(tmp_path.iterdir()) == []
