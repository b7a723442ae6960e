"""`tollway ledger` for the operator's money: what is printed of it, with a router running."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.commands import complaint, configure, here, printed, router, simulator

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A router, a wallet with credit, and one call."""
    folder = tmp_path_factory.mktemp("money")
    with simulator(folder) as provider, router(folder, provider.url) as serving:
        account = printed(here("wallet", "new", "--out", "wallet", cwd=folder)).strip()
        (folder / "account").write_text(account)
        (folder / "url").write_text(json.dumps(serving.url))
        printed(here("ledger", "credit", account, "1.00", "--ref", "first", cwd=folder))
        mine = ("--wallet", "wallet", "--url", serving.url)
        printed(here("chat", "hello", "--model", "model", *mine, cwd=folder))
        yield folder


def test_the_report_says_whose_the_money_is(folder: Path) -> None:
    found = json.loads(printed(here("ledger", "report", "--json", cwd=folder)))
    standing, (provider,) = found["standing"], found["providers"]
    assert (standing["brought_in_usd"], found["balanced"], found["imbalance_usd"]) == ("1.00", True, "0.00")
    assert provider["provider"] == "sim" and provider["calls"] == 1
    assert provider["open_usd"] == standing["owed_to_providers_usd"] == found["total"]["cost_usd"] != "0.00"
    text = printed(here("ledger", "report", cwd=folder))
    assert "owed to wallets" in text and "it balances: 1.00 brought in" in text


def test_the_days_as_csv_have_what_json_has(folder: Path) -> None:
    found = json.loads(printed(here("ledger", "report", "--json", cwd=folder)))
    rows = list(csv.DictReader(io.StringIO(printed(here("ledger", "report", "--csv", cwd=folder)))))
    assert rows == [{name: str(value) for name, value in day.items()} for day in found["days"]]


def test_days_are_said_as_days_and_in_order(folder: Path) -> None:
    assert "--to: '2026-13-01' is no day" in complaint(here("ledger", "report", "--to", "2026-13-01", cwd=folder))
    period = ("--from", "2026-01-02", "--to", "2026-01-01")
    assert "is after --to" in complaint(here("ledger", "report", *period, cwd=folder))
    assert "choose one" in complaint(here("ledger", "report", "--csv", "--json", cwd=folder))


def test_where_nothing_is_booked_the_report_says_so(tmp_path: Path) -> None:
    configure(tmp_path)
    assert "There is no ledger at" in complaint(here("ledger", "report", cwd=tmp_path))


def ids(folder: Path, kind: str) -> list[str]:
    account = (folder / "account").read_text()
    page = json.loads(printed(here("ledger", "statement", account, "--json", cwd=folder)))
    return [entry["id"] for entry in page["data"] if entry["kind"] == kind]


def test_a_call_that_was_reversed_is_given_back_once_and_the_statement_says_why(folder: Path) -> None:
    account = (folder / "account").read_text()
    (call,) = ids(folder, "post")
    said = [printed(here("ledger", "reverse", call, "--why", "it was [empty]", cwd=folder)) for _ in range(2)]
    assert said[0].startswith("gave 0.") and said[0].endswith(f" USD back to {account}; 1.00 USD available\n")
    assert said[1] == said[0]
    assert f"it was [empty] (reverses {call})" in printed(here("ledger", "statement", account, cwd=folder))
    assert "--provider" in complaint(here("ledger", "reverse", call, "--why", "x", "--provider", cwd=folder))
    found = json.loads(printed(here("ledger", "report", "--json", cwd=folder)))
    assert found["total"]["given_back_usd"] == found["total"]["charged_usd"] != "0.00"
    assert found["standing"]["loss_usd"] == found["standing"]["owed_to_providers_usd"]
    assert "1 reversals" in printed(here("ledger", "audit", cwd=folder))


def test_a_credit_is_taken_back_as_far_as_it_is_free(folder: Path) -> None:
    account = printed(here("wallet", "new", "--out", "other", cwd=folder)).strip()
    credit = ("ledger", "credit", account)
    printed(here(*credit, "2.00", "--ref", "wrong", cwd=folder))
    entry = json.loads(printed(here("ledger", "statement", account, "--json", cwd=folder)))["data"][0]
    taken = json.loads(printed(here("ledger", "reverse", entry["id"], "--why", "another's", "--json", cwd=folder)))
    assert (taken["change_usd"], taken["available_usd"]) == ("-2.00", "0.00")
    assert "no credit and no call" in complaint(here("ledger", "reverse", "nothing", "--why", "x", cwd=folder))


def test_a_frozen_wallet_is_refused_by_the_running_router_at_once(folder: Path) -> None:
    account = (folder / "account").read_text()
    url = json.loads((folder / "url").read_text())
    ask = ("chat", "hello", "--model", "model", "--wallet", "wallet", "--url", url)
    said = printed(here("ledger", "freeze", account, "--why", "ticket 12", cwd=folder))
    assert said.startswith(f"{account} is frozen")
    assert "frozen" in complaint(here(*ask, cwd=folder))
    assert "ticket 12" in printed(here("ledger", "statement", account, cwd=folder))
    assert "ticket 12" in printed(here("ledger", "report", cwd=folder))
    assert "ticket 12" not in printed(here("statement", *ask[4:], cwd=folder))
    assert "ticket 12" in printed(here("ledger", "unfreeze", account, cwd=folder))
    assert printed(here("ledger", "unfreeze", account, cwd=folder)) == f"{account} was not frozen\n"
    printed(here(*ask, cwd=folder))


def test_a_provider_is_paid_no_more_than_it_is_owed_once(folder: Path) -> None:
    pay = ("ledger", "pay-provider", "sim")
    assert "--advance" in complaint(here(*pay, "5", "--ref", "nov", cwd=folder))
    for _ in range(2):
        said = printed(here(*pay, "5", "--ref", "nov", "--advance", cwd=folder))
    assert said.startswith("paid 5 USD to sim; -4.99")
    assert "choose a new --ref" in complaint(here(*pay, "6", "--ref", "nov", "--advance", cwd=folder))
    assert 'did you mean "sim"?' in complaint(here("ledger", "pay-provider", "simm", "5", "--ref", "x", cwd=folder))
    (paid,) = json.loads(printed(here("ledger", "report", "--json", cwd=folder)))["providers"]
    assert paid["paid_usd"] == "5.00"


@pytest.mark.parametrize(
    "wrong",
    [
        ("freeze", "nobody", "--why", "x"),
        ("freeze", "eip155:1:0x1111111111111111111111111111111111111111", "--why", "a\nb"),
        ("reverse", "x", "--why", ""),
        ("reverse", "x" * 201, "--why", "x"),
        ("pay-provider", "sim", "1e3", "--ref", "x"),
        ("pay-provider", "sim", "0", "--ref", "x"),
        ("pay-provider", "sim", "1", "--ref", ""),
    ],
)
def test_a_mistake_is_one_line(wrong: tuple[str, ...], folder: Path) -> None:
    complaint(here("ledger", *wrong, cwd=folder))


def test_a_journal_is_printed_or_written_to_a_new_file(folder: Path) -> None:
    export = ("ledger", "export", "--format", "beancount")
    said = printed(here(*export, cwd=folder))
    assert said.startswith("; Books of a Tollway router.\n") and "Assets:Sources:Operator" in said
    assert printed(here(*export, "--out", "journal", cwd=folder)) == "wrote the journal to journal\n"
    assert (folder / "journal").read_text() == said
    assert "File exists" in complaint(here(*export, "--out", "journal", cwd=folder))
    assert "--out" in complaint(here(*export, "--json", cwd=folder))
