"""`tollway wallet` and `tollway sign-in`: keys on this machine, made, shown and used; no router needed."""

import base64
import json
import re
import stat
from pathlib import Path

import pytest

from helpers.commands import complaint, here, printed, tollway

pytestmark = pytest.mark.acceptance

ACCOUNTS = {
    "solana": r"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:[1-9A-HJ-NP-Za-km-z]{32,44}",
    "evm": r"eip155:0x[0-9a-f]{40}",
}
FILES = {"solana": r"\[\d+(,\d+){63}\]\n", "evm": r"0x[0-9a-f]{64}\n"}  # the Solana tools' own, and a key in hex


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a wallet that tests may look at."""
    folder = tmp_path_factory.mktemp("wallets")
    printed(here("wallet", "new", "--out", "wallet", cwd=folder))
    return folder


@pytest.mark.parametrize("chain", ACCOUNTS)
def test_a_new_wallet_is_a_private_file_of_its_chains_own_kind_and_its_account_is_printed(
    chain: str, tmp_path: Path
) -> None:
    made = printed(tollway("wallet", "new", "--chain", chain, "--out", "wallet", cwd=tmp_path))
    file = tmp_path / "wallet"
    assert re.fullmatch(ACCOUNTS[chain], made.strip())
    assert re.fullmatch(FILES[chain], file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert printed(here("wallet", "show", "wallet", cwd=tmp_path)) == made


def test_a_wallet_is_shown_without_its_key(folder: Path) -> None:
    shown = printed(here("wallet", "show", "wallet", "--json", cwd=folder))
    assert set(json.loads(shown)) == {"address", "caip_account_id"}
    secret = json.loads((folder / "wallet").read_text())[:32]
    assert bytes(secret).hex() not in shown
    assert str(secret)[1:40] not in shown


def test_a_wallet_is_never_overwritten(folder: Path) -> None:
    before = (folder / "wallet").read_bytes()
    assert "never overwritten" in complaint(here("wallet", "new", "--out", "wallet", cwd=folder))
    assert (folder / "wallet").read_bytes() == before


def test_a_wallet_that_others_may_read_is_refused_with_the_command_that_mends_it(folder: Path) -> None:
    file = folder / "open"
    file.write_bytes((folder / "wallet").read_bytes())
    file.chmod(0o644)
    assert "chmod 600 open" in complaint(here("wallet", "show", "open", cwd=folder))


@pytest.mark.parametrize("command", [["wallet", "show"], ["sign-in", "--wallet"]], ids=" ".join)
def test_a_missing_wallet_file_is_one_line_that_says_how_to_make_one(command: list[str], tmp_path: Path) -> None:
    said = complaint(tollway(*command, "nowhere.json", cwd=tmp_path))
    assert "nowhere.json" in said
    assert "tollway wallet new" in said


def test_sign_in_prints_one_header_value_and_nothing_else(folder: Path) -> None:
    value = printed(tollway("sign-in", "--wallet", "wallet", "--url", "https://router.example.com", cwd=folder))
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*\n", value)
    envelope = json.loads(base64.b64decode(value))
    assert set(envelope) == {"message", "signature"}
    assert envelope["message"].startswith("router.example.com wants you to sign in with your Solana account:\n")


def test_sign_in_as_json_says_when_it_expires_and_takes_the_wallet_from_the_environment(folder: Path) -> None:
    arguments = ["sign-in", "--url", "http://localhost:1", "--lifetime", "5m", "--json"]
    shown = json.loads(printed(here(*arguments, cwd=folder, environment={"TOLLWAY_WALLET": "wallet"})))
    assert shown["header"] == "Sign-In-With-X"
    assert isinstance(shown["expires_at"], int)
    assert json.loads(base64.b64decode(shown["value"]))["message"].startswith("localhost:1 wants")


@pytest.mark.parametrize(
    ("option", "value", "words"), [("--lifetime", "soon", "--lifetime"), ("--url", "router", "http://host:port")]
)
def test_a_bad_option_of_sign_in_is_one_line(option: str, value: str, words: str, folder: Path) -> None:
    assert words in complaint(here("sign-in", "--wallet", "wallet", option, value, cwd=folder))
