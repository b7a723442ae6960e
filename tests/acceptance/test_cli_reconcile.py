"""`tollway ledger reconcile`: a provider's invoice against real calls, on both stores, while the router runs."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import complaint, configure, here, printed, simulator, started
from helpers.postgres import Server
from tollway.cli import ledger_reconcile

pytestmark = pytest.mark.acceptance

CALLS = 3


class Place:
    """A router's folder; its calls as their provider would bill them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def ran(self, *arguments: str) -> Any:
        return here("ledger", "reconcile", *arguments, cwd=self.folder, environment=self.environment)

    def recorded(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(printed(self.ran("sim", "--recorded")))))

    def write(self, rows: list[dict[str, str]], *, delimiter: str = ",", mark: str = "") -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        (self.folder / "invoice.csv").write_text(mark + text.getvalue(), newline="")

    def found(self, *arguments: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.ran("sim", "invoice.csv", "--json", *arguments).stdout)
        return document


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Callable[[], Server]
) -> Iterator[Place]:
    """A router that runs, and three calls; one of them reversed."""
    folder = tmp_path_factory.mktemp("reconcile")
    with contextlib.ExitStack() as stack:
        environment = {}
        if request.param == "postgres":
            url = stack.enter_context(postgres().database())
            environment = {"TOLLWAY_LEDGER__URL": url.conninfo, "PGPASSWORD": str(postgres().password)}
        provider = stack.enter_context(simulator(folder))
        configure(folder, provider.url)
        ready = r"serving at (http://\S+)/api/v1"
        serving = stack.enter_context(started("serve", cwd=folder, ready=ready, environment=environment))

        def run(*arguments: str) -> str:
            return printed(here(*arguments, cwd=folder, environment=environment))

        account = run("wallet", "new", "--out", "wallet").strip()
        run("ledger", "credit", account, "1.00", "--ref", "first")
        mine = ("--wallet", "wallet", "--url", serving.url)
        for _ in range(CALLS):
            run("chat", "hello", "--model", "model", *mine)
        call = json.loads(run("statement", *mine, "--json"))["data"][0]["id"]
        run("ledger", "reverse", call, "--why", "it was empty")
        yield Place(folder, environment)


def test_what_we_recorded_reconciles_by_id_and_by_sums(place: Place) -> None:
    rows = place.recorded()
    assert len(rows) == CALLS and {row["model"] for row in rows} == {"sim"}
    place.write(rows, delimiter=";", mark="\ufeff")
    found = place.found("--tolerance", "0")
    assert (found["by"], found["reconciled"], found["lines"]) == ("response id", True, [])
    assert found["matched"]["count"] == CALLS
    assert found["total"]["difference_usd"] == "0.00" != found["total"]["ours_usd"] == found["total"]["theirs_usd"]
    assert found["unpaid_by_wallets"]["calls"] == 1  # the one that was reversed is owed all the same
    sums = place.found("--column", "id=", "--tolerance", "0")
    assert (sums["by"], sums["matched"]["count"], sums["reconciled"]) == ("day and model", 1, True)
    text = printed(place.ran("sim", "invoice.csv"))
    assert text.startswith("sim, 20") and "it reconciles: 0.00 USD disputed, 0.01 USD tolerated" in text


def test_each_kind_of_difference_is_named_and_the_exit_code_tells(place: Place) -> None:
    rows = place.recorded()
    changed, twice = {**rows[0], "amount_usd": "0.5"}, rows[1]
    place.write([changed, twice, twice, {**twice, "id": "another", "amount_usd": "2"}])
    ran = place.ran("sim", "invoice.csv")
    assert ran.returncode == 1
    for said in ("differs", "billed twice", "only theirs", "only ours", "IT DOES NOT RECONCILE", rows[0]["id"]):
        assert said in ran.stdout, said
    assert "USD are disputed, over the tolerance of 0.01 USD" in complaint(ran)
    lines = list(csv.DictReader(io.StringIO(place.ran("sim", "invoice.csv", "--csv").stdout)))
    assert sorted((line["what"], line["line"]) for line in lines) == [
        ("billed twice", "4"),
        ("differs", "2"),
        ("only ours", ""),
        ("only theirs", "5"),
    ]
    assert place.ran("sim", "invoice.csv", "--tolerance", "3").returncode == 0
    assert place.ran("sim", "invoice.csv", "--tolerance", "10%").returncode == 1


def test_a_period_can_be_said(place: Place) -> None:
    place.write(place.recorded())
    found = place.found("--from", "2026-01-01", "--to", "2026-01-02")
    assert (found["rows"], found["rows_outside"], found["calls"], found["from"]) == (0, CALLS, 0, "2026-01-01")
    said = printed(place.ran("sim", "invoice.csv", "--from", "2026-01-01", "--to", "2026-01-02"))
    assert "no call of sim that cost anything was recorded" in said and f"{CALLS} rows are of other days" in said


def test_ids_that_are_none_of_ours_are_told_with_what_to_do(place: Place) -> None:
    place.write([{**row, "id": f"line-{number}"} for number, row in enumerate(place.recorded())])
    assert "no row was matched: if 'id' is no response id" in place.ran("sim", "invoice.csv").stdout


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ('day,amount\n2026-11-22,"1,5"\n', (), "invoice.csv: line 2: amount: '1,5' has a comma"),
        ("model,amount\nm,1\n", (), "it has no days: say --from and --to"),
        ("day,cost\n2026-11-22,1\n", ("--column", "amount"), "--column NAME=HEADER: 'amount' has no ="),
        ("day,cost\n2026-11-22,1\n", ("--column", "sum=cost"), "--column: 'sum' is none of id, day"),
        ("day,cost\n2026-11-22,1\n", ("--tolerance", "few"), "--tolerance: 'few' is not a decimal amount"),
        ("day,cost\n2026-11-22,1\n", ("--tolerance", "x%"), "--tolerance: expected a percentage"),
        ("day,cost\n2026-11-22,1\n", ("--json", "--csv"), "choose one"),
        ("", (), "it is empty"),
    ],
)
def test_what_can_not_be_compared_is_a_usage_error(
    place: Place, text: str, arguments: tuple[str, ...], said: str
) -> None:
    (place.folder / "invoice.csv").write_text(text)
    ran = place.ran("sim", "invoice.csv", *arguments)
    assert (ran.returncode, ran.stdout) == (2, "") and said in ran.stderr and ran.stderr.count("\n") == 1


def test_a_file_that_is_not_there_or_not_text_is_a_usage_error(place: Place) -> None:
    (place.folder / "invoice.csv").write_bytes("day,amount\n2026-11-22,1\n".encode("utf-16"))
    for file, said in (("nowhere", "No such file"), ("invoice.csv", "it isn't UTF-8"), (".", "Is a directory")):
        ran = place.ran("sim", file)
        assert ran.returncode == 2 and said in ran.stderr, ran
    assert "name the INVOICE" in place.ran("sim").stderr


@pytest.mark.parametrize(
    ("limit", "most", "said"),
    [
        ("LINE_CHARS_MAX", 20, "a line of more than 20 characters: is it CSV?"),
        ("FILE_CHARS_MAX", 1 << 20, "it is larger than 1 MiB: split it, by day"),
    ],
)
def test_a_file_that_is_too_large_is_refused_before_it_fills_the_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, said: str
) -> None:
    monkeypatch.setattr(ledger_reconcile, limit, most)
    (place.folder / "invoice.csv").write_text("day,amount\n" + "2026-11-22,0.000000000000000001\n" * 40_000)
    ran = place.ran("sim", "invoice.csv")
    assert ran.returncode == 2 and said in ran.stderr


def test_what_was_recorded_is_given_as_json_too(place: Place) -> None:
    found = json.loads(printed(place.ran("sim", "--recorded", "--json", "--from", "2026-01-01")))
    assert (found["provider"], found["data"]) == ("sim", place.recorded())
    assert printed(place.ran("nobody", "--recorded")).count("\n") == 1
