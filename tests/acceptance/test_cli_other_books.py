"""Books whose tables this tollway doesn't know: every command that meets them says so in one line, and what to do."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.commands import complaint, configure, here, tollway
from helpers.postgres import Server
from tollway.client.wallet import SolanaWallet, account_id

pytestmark = pytest.mark.acceptance

EARLIER = [
    "DROP TABLE schema_version",
    "CREATE TABLE schema_version (version integer PRIMARY KEY, applied_ms bigint NOT NULL)",
    "INSERT INTO schema_version VALUES (1, 0)",
]
LATER = ["INSERT INTO schema_version VALUES (99, 0, 'x')"]


def make_books(folder: Path, environment: dict[str, str] | None = None) -> None:
    configure(folder)
    credit = ("ledger", "credit", account_id(SolanaWallet.new()), "1", "--ref", "r")
    assert here(*credit, cwd=folder, environment=environment).returncode == 0


def refused_by_all(folder: Path, said: str, environment: dict[str, str] | None = None) -> None:
    assert said in complaint(tollway("serve", cwd=folder, environment=environment))
    wallet = account_id(SolanaWallet.new())
    for command in (["report"], ["audit"], ["statement", wallet], ["credit", wallet, "1", "--ref", "s"]):
        assert said in complaint(here("ledger", *command, cwd=folder, environment=environment)), command
    findings = json.loads(here("doctor", "--json", cwd=folder, environment=environment).stdout)["findings"]
    (found,) = [one for one in findings if one["area"] == "ledger" and one["state"] == "problem"]
    assert said in f"{found['found']}: {found['mend']}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (EARLIER, "none that a released tollway makes: go on with the tollway that made them, or name new books"),
        (LATER, "schema version 99, this tollway knows up to"),
    ],
    ids=["earlier", "later"],
)
def test_a_file_of_another_tollway_is_refused_by_every_command(tmp_path: Path, changes: list[str], said: str) -> None:
    make_books(tmp_path)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    for change in changes:
        connection.execute(change)
    connection.commit()
    connection.close()
    refused_by_all(tmp_path, said)


def test_a_database_of_another_tollway_is_refused_by_every_command(
    tmp_path: Path, postgres: Callable[[], Server]
) -> None:
    server = postgres()
    with server.database() as url:
        environment = {"TOLLWAY_LEDGER__URL": url.conninfo, "PGPASSWORD": str(server.password)}
        make_books(tmp_path, environment)
        server.execute("SET search_path = tollway; " + "; ".join(EARLIER), url)
        refused_by_all(tmp_path, "none that a released tollway makes: go on with the tollway", environment)
