"""The rules by which a finding is ok, a warning or a problem, where no network is needed to tell."""

import datetime as dt
import resource
from pathlib import Path
from types import MappingProxyType

import pytest
from msgspec.structs import replace

from tollway.cli.doctor import prices as looked_prices
from tollway.cli.doctor.ask import Reply
from tollway.cli.doctor.clock import clock
from tollway.cli.doctor.configuration import keys, read
from tollway.cli.doctor.finding import Area, Finding, counts
from tollway.cli.doctor.ledger import ledger
from tollway.cli.doctor.machine import machine, open_files
from tollway.cli.doctor.prices import OLD_DAYS, prices
from tollway.cli.doctor.providers import listed, plain, tokens
from tollway.config.load import loads
from tollway.config.places import ledger_url
from tollway.limits.files import Room
from tollway.metering.price_book import OPERATOR, PriceRow
from tollway.metering.price_list import ListedModel, price_list

CONFIG = """
[[providers]]
id = "openai"
base_url = "https://api.openai.com/v1"
api_key_file = "openai.key"
[[providers.models]]
id = "openai/gpt-4o"
context_length = 128000
"""
KEY = "sk-a-key-that-nobody-is-shown"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    key = tmp_path / "openai.key"
    key.write_text(KEY)
    key.chmod(0o600)
    (tmp_path / "tollway.toml").write_text(CONFIG)
    (tmp_path / "tollway.toml").chmod(0o644)
    return tmp_path


def states(findings: list[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def reply(ahead_s: float | None) -> Reply:
    return Reply(status=200, headers=MappingProxyType({}), body=b"", took_ms=1, ahead_s=ahead_s)


def test_findings_are_counted_by_state_each_state_is_named() -> None:
    area = Area("x")
    area.ok("a", "fine")
    area.problem("a", "broken", "mend it")
    area.problem("b", "broken", "mend it")
    assert counts(area.findings) == {"ok": 1, "warning": 0, "problem": 2, "skipped": 0}


# --- clock


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(0.0, "ok"), (-29.0, "ok"), (31.0, "warning"), (-59.0, "warning"), (61.0, "problem"), (-86_400.0, "problem")],
)
def test_a_clock_is_held_against_the_skew_that_sign_ins_may_have(ahead: float, state: str) -> None:
    assert states(clock([("openai", reply(ahead))], 60.0)) == [state]


def test_one_server_whose_clock_is_off_does_not_condemn_ours() -> None:
    answers = [("a", reply(0.2)), ("b", reply(-0.4)), ("c", reply(4_000.0))]
    assert states(clock(answers, 60.0)) == ["ok"]


def test_what_a_whole_second_can_not_tell_is_no_problem_even_with_no_skew_allowed() -> None:
    assert states(clock([("a", reply(1.4))], 0.0)) == ["ok"]


def test_without_a_date_the_clock_is_not_judged() -> None:
    assert states(clock([("a", reply(None))], 60.0)) == ["skipped"]


# --- configuration and keys


def test_a_key_is_named_by_its_place_and_never_shown(folder: Path) -> None:
    config, said = read(folder / "tollway.toml", {})
    assert config is not None
    said += keys(config, folder)
    assert states(said) == ["ok", "ok"]
    assert str(folder / "openai.key") in said[1].found
    assert KEY not in str(said)


def test_a_key_that_others_may_read_is_a_warning_with_the_command_that_mends_it(folder: Path) -> None:
    (folder / "openai.key").chmod(0o644)
    config, _ = read(folder / "tollway.toml", {})
    assert config is not None
    (warning,) = [finding for finding in keys(config, folder) if finding.state == "warning"]
    assert "0644" in warning.found
    assert warning.mend == f"chmod 600 {folder / 'openai.key'}"


def test_a_configuration_that_others_may_change_is_a_warning(folder: Path) -> None:
    (folder / "tollway.toml").chmod(0o666)
    _, said = read(folder / "tollway.toml", {})
    assert states(said) == ["warning", "ok"]
    assert said[0].mend == f"chmod 644 {folder / 'tollway.toml'}"


def test_every_mistake_of_a_configuration_is_a_problem_of_its_own(folder: Path) -> None:
    (folder / "tollway.toml").write_text(CONFIG.replace("context_length", "context") + "\n[server]\nlisten = 1\n")
    (folder / "openai.key").unlink()
    config, said = read(folder / "tollway.toml", {})
    assert config is None
    assert states(said) == ["problem"] * 3
    assert [word for word in ("server.listen", "context", "openai.key") if word not in str(said)] == []


def test_a_missing_configuration_is_a_problem_that_init_mends(tmp_path: Path) -> None:
    config, (problem,) = read(tmp_path / "none.toml", {})
    assert config is None
    assert problem.mend is not None
    assert "tollway init" in problem.mend


@pytest.mark.parametrize(
    ("base_url", "state"), [("http://127.0.0.1:11434/v1", "ok"), ("https://api.openai.com/v1", "warning")]
)
def test_a_provider_without_a_key_is_a_warning_unless_it_is_on_this_machine(base_url: str, state: str) -> None:
    text = CONFIG.replace('api_key_file = "openai.key"', "").replace("https://api.openai.com/v1", base_url)
    assert states(keys(loads(text, {}, Path()), Path())) == [state]


# --- prices


def said_of(row: PriceRow, today: dt.date, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Finding]:
    config = loads(CONFIG, {}, folder)
    listing = ListedModel(price=row.price, row=row, context_length=128_000, max_output_tokens=16_384)
    monkeypatch.setattr(looked_prices, "price_list", lambda config: {("openai", "openai/gpt-4o"): listing})
    return prices(config, today)[1]


def test_a_price_of_the_book_that_is_old_or_doubtful_is_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = price_list(loads(CONFIG, {}, folder))["openai", "openai/gpt-4o"].row
    assert row is not None
    day = dt.date.fromisoformat(row.date)
    later = day + dt.timedelta(days=OLD_DAYS + 1)
    assert states(said_of(row, day, monkeypatch, folder)) == ["ok"]
    assert states(said_of(row, later, monkeypatch, folder)) == ["ok", "warning"]
    assert states(said_of(replace(row, source=OPERATOR), later, monkeypatch, folder)) == ["ok"]
    doubtful = replace(row, disagreements={"cached_input": {"a": 1, "b": 2}})
    _, warning = said_of(doubtful, day, monkeypatch, folder)
    assert "cached_input" in warning.found
    assert warning.mend is not None
    assert "tollway prices show gpt-4o --provider openai --disagreements" in warning.mend


def test_a_model_without_a_price_is_a_problem_that_names_it(folder: Path) -> None:
    config = loads(CONFIG.replace("openai/gpt-4o", "openai/gpt-4oo"), {}, folder)
    listed_prices, (problem,) = prices(config, dt.date(2026, 12, 1))
    assert listed_prices is None
    assert problem.state == "problem"
    assert "providers[0].models[0].price" in problem.found


# --- providers: what they say


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"object":"list","data":[{"id":"a"},{"id":"b","owned_by":"x"}]}', ["a", "b"]),
        (b'[{"id":"a"}]', ["a"]),
        (b'{"data":[{"name":"a"},"b",{"id":3}]}', []),
        (b'{"models":[]}', None),
        (b"<html>", None),
        (b"\xff", None),
        (b'"data"', None),
    ],
)
def test_a_list_of_models_is_read_as_the_kinds_of_servers_write_it(body: bytes, names: list[str] | None) -> None:
    assert listed(body) == names


@pytest.mark.parametrize(
    ("written", "same"), [("models/gemini-9", "gemini-9"), ("sim?tokens=3", "sim"), ("GPT", "gpt")]
)
def test_names_of_models_are_compared_without_what_is_only_spelling(written: str, same: str) -> None:
    assert plain(written) == same


def test_the_tokens_of_an_answer_are_shown_as_the_provider_counts_them() -> None:
    assert tokens(b'{"prompt_tokens":9,"completion_tokens":1}') == ", 9 + 1 tokens used"
    for usage in (None, b"null", b"[]", b'{"prompt_tokens":"9"}'):
        assert "our own count" in tokens(usage)


# --- ledger


def test_books_in_memory_are_a_warning() -> None:
    assert states(ledger(ledger_url("memory:"))) == ["warning"]


def test_a_folder_that_is_not_there_is_a_problem_with_the_command_that_makes_it(tmp_path: Path) -> None:
    (problem,) = ledger(ledger_url(f"sqlite:///{tmp_path}/no/such/ledger.db"))
    assert (problem.state, problem.mend) == ("problem", f"make it: mkdir -p {tmp_path}/no/such")


def test_a_path_too_long_for_a_socket_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / ("f" * 120)
    folder.mkdir()
    problems = [
        finding for finding in ledger(ledger_url(f"sqlite:///{folder}/ledger.db")) if finding.state == "problem"
    ]
    assert [finding.subject for finding in problems] == ["control socket"]
    assert problems[0].mend == "Move the ledger to a shorter path."


def test_what_is_in_the_way_of_the_socket_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "ledger.db.sock").touch()
    problems = [
        finding for finding in ledger(ledger_url(f"sqlite:///{tmp_path}/ledger.db")) if finding.state == "problem"
    ]
    assert [finding.subject for finding in problems] == ["control socket"]


# --- machine


@pytest.mark.parametrize(
    ("hard", "state"), [(12_100, "ok"), (resource.RLIM_INFINITY, "ok"), (12_099, "warning"), (1_024, "warning")]
)
def test_open_files_are_held_against_the_calls_and_connections_that_are_allowed(hard: int, state: str) -> None:
    area = Area("machine")
    open_files(area, Room(2_000, 10_000), hard)
    assert states(area.findings) == [state]


def test_the_number_of_calls_and_connections_that_would_fit_is_told() -> None:
    area = Area("machine")
    open_files(area, Room(2_000, 10_000), 1_024)
    assert area.findings[0].mend == (
        "have the hard limit raised (ulimit -Hn; systemd: LimitNOFILE=12100), "
        "or write server.max_calls = 462 and server.max_connections = 462"
    )


def test_versions_are_told_without_a_configuration_too() -> None:
    (versions,) = machine(None)
    assert "Python 3." in versions.found
