"""`tollway serve`: starts, says what keeps it from starting, and stops as it is told: after the last answer, or now."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from helpers.commands import (
    TIMEOUT_S,
    TOLLWAY,
    Process,
    complaint,
    configure,
    here,
    printed,
    router,
    simulator,
    started,
    tollway,
)
from helpers.terminal import Terminal
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id
from tollway.domain.money import parse_usd
from tollway.ledger import operator

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("simulator")) as process:
        yield process.url


def signed_in(serving: Process, folder: Path) -> dict[str, str]:
    """The headers of a wallet with credit."""
    wallet = SolanaWallet.new()
    wallet.save(folder / "wallet")
    asyncio.run(operator.credit(folder / "ledger.db", account_id(wallet), parse_usd("1.00"), "test"))
    return {"sign-in-with-x": sign_in_header(wallet, serving.url, 600, time.time_ns() // 1_000_000)}


def question(content: str, **fields: object) -> dict[str, object]:
    return {"model": "sim/model", "messages": [{"role": "user", "content": content}], **fields}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_answer_in_flight_end_and_the_router_exits_with_0(
    number: signal.Signals, provider: str, tmp_path: Path
) -> None:
    name = f"drain-{number}"
    control = provider.removesuffix("/v1")
    with router(tmp_path, provider) as serving, httpx2.Client(base_url=serving.url, timeout=TIMEOUT_S) as client:
        headers = signed_in(serving, tmp_path)
        httpx2.post(f"{control}/lockstep/step", params={"id": name, "events": 2})
        body = question(f"simulate: lockstep={name},tokens=3", stream=True)
        with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            parts = answer.iter_text()
            read = next(parts)
            serving.running.send_signal(number)
            serving.said("draining")
            with httpx2.Client(base_url=serving.url, timeout=TIMEOUT_S) as another:
                refused = another.post("/v1/chat/completions", json=question("hello"), headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
            assert refused.headers["x-should-retry"] == "true"
            httpx2.post(f"{control}/lockstep/free", params={"id": name})
            read += "".join(parts)
        assert read.endswith("data: [DONE]\n\n")
        assert serving.ended() == 0
    assert "Traceback" not in "".join(serving.lines)
    audit = json.loads(printed(here("ledger", "audit", "--json", cwd=tmp_path)))
    assert (audit["posts"], audit["pending"], audit["differences"]) == (1, 0, [])


def test_a_second_signal_stops_at_once_and_the_next_start_gives_the_hold_back(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving, httpx2.Client(base_url=serving.url, timeout=TIMEOUT_S) as client:
        headers = signed_in(serving, tmp_path)
        httpx2.post(f"{provider.removesuffix('/v1')}/lockstep/step", params={"id": "stuck", "events": 2})
        body = question("simulate: lockstep=stuck,tokens=3", stream=True)
        with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            parts = answer.iter_text()
            next(parts)
            serving.running.send_signal(signal.SIGTERM)
            serving.said("draining")
            serving.running.send_signal(signal.SIGTERM)
            assert serving.ended() == -signal.SIGTERM
    with router(tmp_path, provider) as again:
        shown = printed(here("balance", "--wallet", "wallet", "--url", again.url, cwd=tmp_path))
    assert shown.startswith("1.00 USD available, 0.00 held")


def test_an_idle_router_stops_when_told_and_leaves_no_socket(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving:
        serving.running.terminate()
        assert serving.ended() == 0
    assert list(tmp_path.glob("*.sock")) == []


def test_an_open_idle_connection_does_not_hold_the_stop_up(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving, httpx2.Client(base_url=serving.url, timeout=TIMEOUT_S) as client:
        assert client.get("/healthz").status_code == 200
        serving.running.terminate()
        assert serving.ended() == 0


def test_a_router_whose_terminal_is_closed_stops_as_if_told_to(provider: str, tmp_path: Path) -> None:
    configure(tmp_path, provider)
    with Terminal([TOLLWAY, "serve"], cwd=tmp_path) as screen:
        screen.shows(r"tollway is serving at (http://\S+)/api/v1")
        assert screen.closes() == 0
    assert list(tmp_path.glob("*.sock")) == []
    assert "pending" in printed(tollway("ledger", "audit", cwd=tmp_path))


def test_what_is_logged_of_a_start_is_the_routers_own_words(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving:
        pass
    assert all(line.startswith("tollway is ") for line in serving.lines if line), serving.lines


def test_listen_on_the_command_line_wins(provider: str, tmp_path: Path) -> None:
    another = configure(tmp_path, provider)
    assert configure(tmp_path, provider) != another
    with started("serve", "--listen", another, cwd=tmp_path, ready=r"serving at (http://\S+)/api/v1") as serving:
        assert serving.url == f"http://{another}"


def test_two_routers_on_one_ledger_are_one_too_many(provider: str, tmp_path: Path) -> None:
    with router(tmp_path, provider) as serving:
        listen = configure(tmp_path, provider)
        said = complaint(tollway("serve", "--listen", listen, cwd=tmp_path))
        assert f"process {serving.running.pid}" in said
        assert httpx2.get(f"{serving.url}/healthz").status_code == 200


def test_a_port_in_use_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        configure(tmp_path)
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        said = complaint(tollway("serve", "--listen", place, cwd=tmp_path))
    assert place in said
    assert not (tmp_path / "ledger.db").exists()


def test_a_missing_configuration_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    for command in (["serve"], ["ledger", "audit"]):
        said = complaint(tollway(*command, cwd=tmp_path))
        assert "tollway.toml" in said
        assert "--config" in said


def test_a_bad_configuration_names_key_value_and_what_would_be_right(tmp_path: Path) -> None:
    configure(tmp_path)
    file = tmp_path / "tollway.toml"
    file.write_text(file.read_text().replace('url = "sqlite:///ledger.db"', 'ulr = "sqlite:///ledger.db"'))
    ran = tollway("serve", cwd=tmp_path)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "ledger.ulr" in ran.stderr
    assert 'did you mean "url"?' in ran.stderr


def test_an_option_that_is_wrong_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    ran = here("serve", "--log-level", "loud", cwd=tmp_path)
    assert ran.returncode == 2
    assert "--log-level" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_ledger_in_an_unreachable_folder_is_one_line(tmp_path: Path) -> None:
    configure(tmp_path)
    environment = {"TOLLWAY_LEDGER__URL": "sqlite:///no/such/folder/ledger.db"}
    assert "no/such/folder" in complaint(tollway("serve", cwd=tmp_path, environment=environment))
