"""`tollway ledger`: the operator credits, looks and audits, whether or not a router is running."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.commands import complaint, configure, here, printed, router, tollway
from tollway.client.wallet import EvmWallet, SolanaWallet, account_id

pytestmark = pytest.mark.acceptance


@pytest.fixture(params=["with a router", "without a router"], scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("books")
    if request.param == "without a router":
        configure(folder)
        yield folder
    else:
        with router(folder, "http://127.0.0.1:9/v1"):
            yield folder


def ledger(folder: Path, *arguments: str) -> str:
    return printed(here("ledger", *arguments, cwd=folder))


def test_a_credit_is_spendable_and_stated_at_once(folder: Path) -> None:
    account = account_id(SolanaWallet.new())
    said = printed(tollway("ledger", "credit", account, "12.50", "--ref", "invoice-1", cwd=folder))
    assert said == f"credited 12.50 USD to {account}; 12.50 USD available\n"
    assert re.search(r"credit +12\.50 +invoice-1", printed(tollway("ledger", "statement", account, cwd=folder)))


def test_the_same_reference_credits_once_and_never_another_amount(folder: Path) -> None:
    account = account_id(SolanaWallet.new())
    for _ in range(2):
        shown = json.loads(ledger(folder, "credit", account, "1.00", "--ref", "invoice-2", "--json"))
        assert shown == {"account": account, "credited_usd": "1.00", "available_usd": "1.00", "ref": "invoice-2"}
    assert "--ref" in complaint(here("ledger", "credit", account, "2.00", "--ref", "invoice-2", cwd=folder))
    assert len(json.loads(ledger(folder, "statement", account, "--json"))["data"]) == 1


def test_a_reference_is_shown_as_it_was_written(folder: Path) -> None:
    account = account_id(SolanaWallet.new())
    ledger(folder, "credit", account, "1.00", "--ref", "[red]invoice[/red]")
    assert "[red]invoice[/red]" in ledger(folder, "statement", account)


def test_an_evm_key_is_one_account_on_every_chain(folder: Path) -> None:
    wallet = EvmWallet.new()
    for number, chain in enumerate(("eip155:1", "eip155:8453")):
        ledger(folder, "credit", f"{chain}:{wallet.address}", "1.00", "--ref", f"chain-{number}")
    page = json.loads(ledger(folder, "statement", account_id(wallet), "--json"))
    assert [entry["amount_usd"] for entry in page["data"]] == ["1.00", "1.00"]


def test_a_statement_has_pages(folder: Path) -> None:
    account = account_id(SolanaWallet.new())
    for number in range(3):
        ledger(folder, "credit", account, "1.00", "--ref", f"page-{number}")
    first = json.loads(ledger(folder, "statement", account, "--limit", "2", "--json"))
    rest = json.loads(ledger(folder, "statement", account, "--cursor", first["next_cursor"], "--json"))
    assert [entry["ref"] for entry in first["data"] + rest["data"]] == ["page-2", "page-1", "page-0"]
    assert rest["next_cursor"] is None
    assert first["next_cursor"] in ledger(folder, "statement", account, "--limit", "2")


def test_an_audit_proves_the_books(folder: Path) -> None:
    ledger(folder, "credit", account_id(SolanaWallet.new()), "1.00", "--ref", "audited")
    assert printed(tollway("ledger", "audit", cwd=folder)).startswith("the books balance: ")
    report = json.loads(ledger(folder, "audit", "--json"))
    assert report["differences"] == []
    assert report["credits"] >= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["credit", "nobody", "1.00", "--ref", "x"], "nobody"),
        (["credit", "eip155:1:0x1111111111111111111111111111111111111111", "1e3", "--ref", "x"], "1e3"),
        (["credit", "eip155:1:0x1111111111111111111111111111111111111111", "0", "--ref", "x"], "over 0"),
        *(
            (["credit", "--ref", "x", "--", "eip155:1:0x1111111111111111111111111111111111111111", usd], usd)
            for usd in ("-1", "1e30", "NaN", "inf", "100000001")
        ),
        (["credit", "eip155:1:0x1111111111111111111111111111111111111111", "1", "--ref", ""], "ref"),
        (["statement", "nobody"], "nobody"),
        (["statement", "eip155:1:0x1111111111111111111111111111111111111111", "--cursor", "!"], "cursor"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(arguments: list[str], words: str, folder: Path) -> None:
    assert words in complaint(here("ledger", *arguments, cwd=folder))


def test_books_that_were_tampered_with_fail_the_audit(tmp_path: Path) -> None:
    configure(tmp_path)
    account = account_id(SolanaWallet.new())
    ledger(tmp_path, "credit", account, "1.00", "--ref", "honest")
    with sqlite3.connect(tmp_path / "ledger.db") as books:
        books.execute("UPDATE accounts SET credits_posted = credits_posted + 1 WHERE id = ?", [account])
    books.close()
    ran = tollway("ledger", "audit", cwd=tmp_path)
    assert ran.returncode == 1
    assert "differences" in ran.stdout
    assert "don't balance" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_books_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    configure(tmp_path)
    assert "ledger.db" in complaint(here("ledger", "audit", cwd=tmp_path))
    assert not (tmp_path / "ledger.db").exists()


def test_books_in_memory_can_not_be_reached(tmp_path: Path) -> None:
    configure(tmp_path)
    environment = {"TOLLWAY_LEDGER__URL": "memory:"}
    assert "memory:" in complaint(here("ledger", "audit", cwd=tmp_path, environment=environment))
