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
