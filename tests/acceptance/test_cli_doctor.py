"""`tollway doctor`: what is wrong is found, said with how to mend it, and told apart from what only looks so."""

import asyncio
import contextlib
import datetime as dt
import fcntl
import json
import sqlite3
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from helpers.commands import configure, here, router, simulator, tollway
from helpers.played import answering, playing
from helpers.raw_server import Received
from tollway.client.wallet import SolanaWallet, account_id
from tollway.domain.money import parse_usd
from tollway.ledger import operator

pytestmark = pytest.mark.acceptance

KEY = "sk-this-is-the-right-key-0123456789"
MODELS = b'{"object":"list","data":[{"id":"sim"}]}'
COMPLETION = (
    b'{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},'
    b'"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":1}}'
)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("simulator")) as process:
        yield process.url


def keyed(request: Received) -> tuple[int, bytes]:
    """A provider with one key and one model."""
    if request.header("authorization") != f"Bearer {KEY}":
        given = (request.header("authorization") or "none").removeprefix("Bearer ")
        return 401, json.dumps({"error": {"message": f"Incorrect API key provided: {given}."}}).encode()
    if request.line.startswith("GET /v1/models "):
        return 200, MODELS
    return (200, COMPLETION) if json.loads(request.body).get("model") == "sim" else (404, b'{"error":"no such model"}')


def doctor(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The findings."""
    # OpenSSL reads its authorities once a process.
    run = tollway if environment and "SSL_CERT_FILE" in environment else here
    ran = run("doctor", "--json", *arguments, cwd=folder, environment=environment)
    told = json.loads(ran.stdout)
    problems = told["counts"]["problem"]
    assert len(ran.stderr.splitlines()) == min(problems, 1)
    assert (told["ok"], ran.returncode) == (problems == 0, 1 if problems else 0)
    findings: list[dict[str, Any]] = told["findings"]
    for finding in findings:
        assert finding["mend"] or finding["state"] in ("ok", "skipped"), finding
    return findings


def bad(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Warnings and problems; not those that depend on the machine that runs the tests."""
    own = ("open files", "disk")
    return [f for f in findings if f["state"] in ("warning", "problem") and f["subject"] not in own]


def only(findings: list[dict[str, Any]], state: str, area: str) -> dict[str, Any]:
    """The one thing that is wrong."""
    (found,) = bad(findings)
    assert (found["state"], found["area"]) == (state, area)
    return found


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "tollway.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def with_key(folder: Path, base_url: str) -> None:
    configure(folder, base_url)
    change(folder, "[[providers.models]]", 'api_key_env = "SIM_KEY"\n[[providers.models]]')


# --- all well


def test_where_nothing_is_wrong_nothing_is_and_the_exit_code_is_0(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    findings = doctor(tmp_path)
    assert bad(findings) == []
    areas = {finding["area"] for finding in findings}
    assert areas == {
        "configuration",
        "keys",
        "prices",
        "providers",
        "ledger",
        "clock",
        "public URL",
        "listen",
        "machine",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tollway.toml"]


def test_what_a_person_reads_has_each_finding_and_no_colour_in_a_pipe(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    change(tmp_path, 'upstream = "sim"', 'upstream = "simm"')
    ran = tollway("doctor", cwd=tmp_path)
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout
    lines = ran.stdout.splitlines()
    assert "Providers" in lines
    at = next(index for index, line in enumerate(lines) if line.startswith("  warning  sim:sim/model: "))
    assert lines[at + 1].startswith('           > did you mean "sim"?')
    assert lines[-1].endswith(" 0 problems, 0 skipped")


def test_a_model_that_the_provider_does_not_list_is_a_warning_with_the_near_one(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    change(tmp_path, 'upstream = "sim"', 'upstream = "simm"')
    assert 'did you mean "sim"?' in only(doctor(tmp_path), "warning", "providers")["mend"]


# --- providers


def test_the_right_key_is_taken_and_shown_nowhere(tmp_path: Path) -> None:
    with playing(answering(keyed)) as server:
        with_key(tmp_path, f"{server.url}/v1")
        findings = doctor(tmp_path, "--ask", environment={"SIM_KEY": KEY})
    assert bad(findings) == []
    assert KEY not in str(findings)
    assert any("7 + 1 tokens used" in finding["found"] for finding in findings)


@pytest.mark.parametrize("arguments", [(), ("--ask",)])
def test_a_wrong_key_is_a_problem_that_names_its_variable_and_never_the_key(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    wrong = "opaque-wrong-key"
    with playing(answering(keyed)) as server:
        with_key(tmp_path, f"{server.url}/v1")
        found = only(doctor(tmp_path, *arguments, environment={"SIM_KEY": wrong}), "problem", "providers")
    assert "refused the key" in found["found"]
    assert "Incorrect API key provided" in found["found"]
    assert "SIM_KEY" in found["mend"]
    assert wrong not in str(found)


def test_without_being_asked_to_no_model_is_asked(tmp_path: Path) -> None:
    with playing(answering(keyed)) as server:
        with_key(tmp_path, f"{server.url}/v1")
        doctor(tmp_path, environment={"SIM_KEY": KEY})
        assert {request.line.split()[0] for request in server.requests} == {"GET"}


def test_a_model_that_does_not_answer_when_asked_is_a_problem(tmp_path: Path) -> None:
    with playing(answering(keyed)) as server:
        with_key(tmp_path, f"{server.url}/v1")
        change(tmp_path, 'upstream = "sim"', 'upstream = "simm"')
        found = only(doctor(tmp_path, "--ask", environment={"SIM_KEY": KEY}), "problem", "providers")
    assert found["subject"] == "sim:sim/model"
    assert 'did you mean "sim"?' in found["mend"]


def test_a_provider_without_a_list_is_told_from_a_wrong_base_url(tmp_path: Path) -> None:
    def no_list(request: Received) -> tuple[int, bytes]:
        return (400, b"{}") if request.line.startswith("POST /v1/chat/completions ") else (404, b"{}")

    with playing(answering(no_list)) as server:
        configure(tmp_path, f"{server.url}/v1")
        assert bad(doctor(tmp_path)) == []
        configure(tmp_path, server.url)
        found = only(doctor(tmp_path), "problem", "providers")
    assert "neither /models nor /chat/completions" in found["found"]
    assert "ends in /v1" in found["mend"]


@pytest.mark.parametrize(
    ("status", "body", "state", "said"),
    [
        (503, b'{"error":{"message":"down for a while"}}', "problem", "down for a while"),
        (429, b'{"error":{"message":"slow down"}}', "warning", "at its limit"),
        (302, b"", "problem", "redirect"),
        (200, b"<html>Welcome</html>", "warning", "no list of models"),
        (500, b"x" * 5_000, "problem", "answers with an error"),
    ],
)
def test_whatever_a_provider_answers_is_said_in_a_line(
    tmp_path: Path, status: int, body: bytes, state: str, said: str
) -> None:
    with playing(answering(lambda _: (status, body))) as server:
        configure(tmp_path, f"{server.url}/v1")
        found = only(doctor(tmp_path), state, "providers")
    assert said in found["found"]
    assert len(found["found"]) < 500


def test_a_provider_that_is_not_there_is_a_problem_and_the_others_are_looked_at(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    file = tmp_path / "tollway.toml"
    other = file.read_text().partition("[[providers]]")[2].replace('"sim"', '"gone"', 1)
    file.write_text(f"{file.read_text()}\n[[providers]]{other.replace(provider, 'http://127.0.0.1:9/v1')}")
    findings = doctor(tmp_path)
    found = only(findings, "problem", "providers")
    assert found["subject"] == "gone"
    assert "nothing listens there" in found["found"]
    assert any(f["subject"] == "sim" and "lists 1 model" in f["found"] for f in findings)


def test_a_simulated_provider_that_is_not_there_is_mended_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollway.cli.doctor.providers.SIMULATED_AT", "127.0.0.1:9")  # where nobody listens for sure
    configure(tmp_path, "http://127.0.0.1:9/v1")
    assert only(doctor(tmp_path), "problem", "providers")["mend"].endswith("tollway simulate")


def test_a_host_that_does_not_resolve_is_a_problem_of_its_name_and_a_proxy_is_pointed_out(tmp_path: Path) -> None:
    configure(tmp_path, "http://no-such-host.invalid/v1")
    findings = doctor(tmp_path, environment={"HTTPS_PROXY": "http://user:secret@127.0.0.1:9"})
    found = only([finding for finding in findings if finding["area"] != "keys"], "problem", "providers")
    assert "doesn't resolve" in found["found"]
    assert "the proxy that HTTPS_PROXY names" in found["mend"]
    assert "secret" not in str(findings)


def test_a_proxy_that_leads_nowhere_is_told_from_a_provider_that_does(tmp_path: Path) -> None:
    configure(tmp_path, "https://no-such-host.invalid/v1")
    with playing(answering(lambda _: (407, b"who are you?"))) as proxy:
        place = f"http://user:secret@127.0.0.1:{proxy.port}"
        findings = doctor(tmp_path, environment={"HTTPS_PROXY": place})
    found = only([finding for finding in findings if finding["area"] != "keys"], "problem", "providers")
    assert "the proxy refuses: 407" in found["found"]
    assert "HTTPS_PROXY" in found["mend"]
    assert "secret" not in str(findings)


def test_a_certificate_is_held_against_the_authorities_and_the_host(tmp_path: Path) -> None:
    authority = trustme.CA()
    trust = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(trust)
    for name, environment, said in (
        ("127.0.0.1", {"SSL_CERT_FILE": str(trust)}, None),
        ("127.0.0.1", {}, "SSL_CERT_FILE"),
        ("provider.example", {"SSL_CERT_FILE": str(trust)}, "the host that the certificate is for"),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        with playing(answering(lambda _: (200, MODELS)), context) as server:
            configure(tmp_path, f"{server.url}/v1")
            findings = doctor(tmp_path, environment=environment)
        if said is None:
            assert bad(findings) == []
        else:
            found = only(findings, "problem", "providers")
            assert "certificate is not accepted" in found["found"]
            assert said in found["mend"]


# --- clock


@pytest.mark.parametrize(("seconds", "state"), [(45, "warning"), (-600, "problem")])
def test_a_clock_that_is_off_is_found_by_what_providers_say(tmp_path: Path, seconds: int, state: str) -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    with playing(answering(lambda _: (200, MODELS), date)) as server:
        configure(tmp_path, f"{server.url}/v1")
        found = only(doctor(tmp_path), state, "clock")
    assert ("behind sim" if seconds > 0 else "ahead of sim") in found["found"]


# --- the router and its addresses


def test_a_running_router_is_recognised_and_disturbed_by_nothing(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving:
        findings = doctor(tmp_path)
        assert bad(findings) == []
        said = {finding["subject"]: finding["found"] for finding in findings}
        assert said["server.listen"].startswith("our router has ")
        assert said["lock"] == f"a router runs on these books (process {serving.running.pid})"
        assert any("leads to this router" in finding["found"] for finding in findings)


def test_a_port_that_something_else_has_is_a_problem(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    with playing(answering(lambda _: (200, b"another service"))) as other:
        place = f"127.0.0.1:{other.port}"
        found = only(doctor(tmp_path, environment={"TOLLWAY_SERVER__LISTEN": place}), "problem", "listen")
    assert place in found["found"]


def test_a_public_url_is_followed_to_the_router_that_runs(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider):
        with playing(answering(lambda _: (502, b"bad gateway"))) as proxy:
            environment = {"TOLLWAY_SERVER__PUBLIC_URL": f"http://127.0.0.1:{proxy.port}"}
            domains = {"TOLLWAY_AUTH__DOMAINS": listen_of(tmp_path)}
            found = bad(doctor(tmp_path, environment=environment | domains))
        assert [finding["area"] for finding in found] == ["public URL", "public URL"]
        assert "auth.domains lacks" in found[0]["found"]
        assert "is no Tollway router" in found[1]["found"]


@pytest.mark.parametrize(
    ("host", "days", "state", "said"),
    [
        ("127.0.0.1", 90, None, "good for 89 more days"),
        ("127.0.0.1", 5, "warning", "ends in 4 days"),
        ("127.0.0.1", -1, "problem", "expired"),
        ("router.example.com", 90, "problem", "not accepted"),
    ],
)
def test_the_certificate_of_the_public_url_is_looked_at(
    provider: str, tmp_path: Path, host: str, days: int, state: str | None, said: str
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    authority.issue_cert(host, not_before=until - dt.timedelta(days=100), not_after=until).configure_cert(context)
    configure(tmp_path, provider)
    with playing(answering(lambda _: (502, b"no router behind it")), context) as proxy:
        environment = {"SSL_CERT_FILE": str(tmp_path / "authority.pem"), "TOLLWAY_SERVER__PUBLIC_URL": proxy.url}
        findings = doctor(tmp_path, environment=environment)
    found = only(findings, state, "public URL") if state else next(f for f in findings if f["area"] == "public URL")
    assert said in found["found"]


def listen_of(folder: Path) -> str:
    """Where the router of this folder listens."""
    line = next(line for line in (folder / "tollway.toml").read_text().splitlines() if line.startswith("listen"))
    return line.split('"')[1]


# --- the books


def books(folder: Path) -> Path:
    """A ledger with a credit."""
    path = folder / "ledger.db"
    asyncio.run(operator.credit(path, account_id(SolanaWallet.new()), parse_usd("1.00"), "test"))
    return path


def test_books_are_audited_and_stay_as_they_are(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    before = books(tmp_path).read_bytes()
    findings = doctor(tmp_path)
    assert bad(findings) == []
    assert any("the books balance: " in finding["found"] for finding in findings)
    assert (tmp_path / "ledger.db").read_bytes() == before


def test_books_that_do_not_balance_are_a_problem(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    with contextlib.closing(sqlite3.connect(books(tmp_path))) as connection:
        connection.execute("UPDATE accounts SET credits_posted = credits_posted + 5")
        connection.commit()
    assert "balance" in only(doctor(tmp_path), "problem", "ledger")["found"]


def test_a_corrupted_database_is_a_problem_that_says_to_restore_it(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    path = books(tmp_path)
    path.write_bytes(b"not a database, " * 1_000)
    assert "restore it from a backup" in only(doctor(tmp_path), "problem", "ledger")["mend"]


def test_a_database_of_something_else_is_a_problem(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    (tmp_path / "ledger.db").chmod(0o600)
    assert "name another file" in only(doctor(tmp_path), "problem", "ledger")["mend"]


def test_a_ledger_that_others_may_read_is_a_warning(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    books(tmp_path).chmod(0o644)
    assert only(doctor(tmp_path), "warning", "ledger")["mend"] == f"chmod 600 {tmp_path / 'ledger.db'}"


def test_books_that_a_silent_process_owns_are_a_problem_that_names_it(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    books(tmp_path)
    with (tmp_path / "ledger.db.lock").open("r+") as lock:
        lock.truncate()
        lock.write("4242\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "process 4242 owns the books" in only(doctor(tmp_path), "problem", "ledger")["found"]


# --- the configuration


def test_with_a_mistake_in_the_configuration_what_can_be_looked_at_still_is(tmp_path: Path) -> None:
    configure(tmp_path)
    books(tmp_path)
    change(tmp_path, "[[providers.models]]", 'api_key_env = "NO_SUCH_KEY"\n[[providers.models]]')
    findings = doctor(tmp_path)
    assert "NO_SUCH_KEY" in only(findings, "problem", "configuration")["found"]
    assert any("the books balance" in finding["found"] for finding in findings)
    assert [finding["state"] for finding in findings if finding["area"] == "everything else"] == ["skipped"]


def test_every_command_that_needs_the_configuration_takes_it_and_says_how_to_write_one(tmp_path: Path) -> None:
    account = account_id(SolanaWallet.new())
    (tmp_path / "request.json").write_text('{"model": "m", "messages": [{"role": "user", "content": "hi"}]}')
    for command in (
        ("serve",),
        ("route", "request.json"),
        ("ledger", "audit"),
        ("ledger", "credit", account, "1.00", "--ref", "x"),
        ("ledger", "statement", account),
    ):
        for arguments in ((), ("--config", "elsewhere.toml")):
            ran = here(*command, *arguments, cwd=tmp_path)
            assert ran.returncode == 1
            assert "run `tollway init`" in ran.stderr, ran
            assert ("elsewhere.toml" if arguments else "tollway.toml") in ran.stderr
    found = doctor(tmp_path, "--config", "elsewhere.toml")[0]
    assert "elsewhere.toml" in found["found"]
    assert "run `tollway init`" in found["mend"]
