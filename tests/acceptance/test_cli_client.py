"""`tollway chat`, `models`, `balance`, `statement`: the command line as a router's client, and `tollway simulate`."""

import contextlib
import http.server
import json
import re
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import httpx2
import pytest

from helpers.commands import Process, complaint, here, printed, router, simulator, tollway
from tollway.simulator import expected_text

pytestmark = pytest.mark.acceptance


class Place(NamedTuple):
    """A router with a wallet that has a credit, both left as they are found but for what chats cost."""

    folder: Path
    serving: Process
    provider: Process
    account: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("router")
    with simulator(folder) as provider, router(folder, provider.url) as serving:
        account = printed(here("wallet", "new", "--out", "wallet", cwd=folder)).strip()
        printed(here("ledger", "credit", account, "1.00", "--ref", "first", cwd=folder))
        yield Place(folder, serving, provider, account)


def run(place: Place, command: str, *arguments: str, wallet: str = "wallet", at: str = "") -> CompletedProcess[str]:
    signed = [] if command == "models" else ["--wallet", wallet]
    return here(command, *arguments, *signed, "--url", at or place.serving.url, cwd=place.folder)


def ask(place: Place, command: str, *arguments: str, **options: str) -> str:
    return printed(run(place, command, *arguments, **options))


def refused(place: Place, command: str, *arguments: str, **options: str) -> str:
    return complaint(run(place, command, *arguments, **options))


@contextlib.contextmanager
def web_site() -> Iterator[str]:
    """Something that speaks HTTP and is no router: every page is HTML."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>A web site</title>")

        def do_POST(self) -> None:
            self.send_error(405)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_chat_streams_the_answer_to_stdout_and_says_what_it_cost_on_stderr(place: Place) -> None:
    arguments = ["chat", "simulate: tokens=5,prompt_tokens=20", "--model", "model", "--wallet", "wallet"]
    ran = tollway(*arguments, "--url", place.serving.url, cwd=place.folder)
    assert printed(ran) == expected_text(5) + "\n"
    assert ran.stderr.startswith("20 + 5 tokens, 0.00007 USD, by sim; ")


def test_chat_as_json_is_the_answer_and_what_the_router_says_of_it(place: Place) -> None:
    answer = json.loads(ask(place, "chat", "simulate: tokens=5,prompt_tokens=20", "--model", "sim/model", "--json"))
    assert (answer["text"], answer["finish_reason"]) == (expected_text(5), "stop")
    assert (answer["cost_usd"], answer["provider"]) == ("0.00007", "sim")
    assert answer["usage"]["completion_tokens"] == 5
    assert re.fullmatch(r"[0-9a-f-]{36}", answer["request_id"])
    assert answer["balance_usd"] == json.loads(ask(place, "balance", "--json"))["balance_usd"]


def test_chat_keeps_to_max_tokens(place: Place) -> None:
    arguments = ["simulate: tokens=5", "--model", "model", "--max-tokens", "2", "--json"]
    answer = json.loads(ask(place, "chat", *arguments))
    assert answer["usage"]["completion_tokens"] == 2


def test_half_an_answer_is_an_error_and_never_a_silent_end(place: Place) -> None:
    ran = run(place, "chat", "simulate: tokens=9,fault=cut@4", "--model", "model")
    assert ran.stdout == expected_text(3) + "\n"
    assert "not whole" in complaint(ran)


def test_models_are_listed_with_prices(place: Place) -> None:
    listed = ask(place, "models")
    assert re.search(r"sim/model +1 +10 +100000 +sim", listed)
    (model,) = json.loads(ask(place, "models", "--json"))["data"]
    assert (model["id"], model["aliases"]) == ("sim/model", ["model"])


def test_balance_and_statement_agree_with_what_a_chat_cost(place: Place) -> None:
    wallet = "another"
    account = printed(here("wallet", "new", "--chain", "evm", "--out", wallet, cwd=place.folder)).strip()
    printed(here("ledger", "credit", account, "0.50", "--ref", "second", cwd=place.folder))
    ask(place, "chat", "simulate: tokens=5,prompt_tokens=20", "--model", "model", wallet=wallet)
    assert ask(place, "balance", wallet=wallet).startswith("0.49993 USD available, 0.00 held   eip155:8453:0x")
    balance = json.loads(ask(place, "balance", "--json", wallet=wallet))
    assert (balance["balance_usd"], balance["balance_micro_usdc"]) == ("0.49993", 499_930)
    page = json.loads(ask(place, "statement", "--json", wallet=wallet))
    assert [entry["kind"] for entry in page["data"]] == ["post", "hold", "credit"]
    post, hold, credit = page["data"]
    assert (post["amount_usd"], credit["amount_usd"], post["id"]) == ("0.00007", "0.50", hold["id"])
    table = ask(place, "statement", wallet=wallet)
    assert re.search(rf"post +0\.00007 +{re.escape(post['returned_usd'])} +sim/model", table)
    assert re.search(r"credit +0\.50 +second", table)
    assert len(ask(place, "statement", "--limit", "1", wallet=wallet).splitlines()) == 2  # its head and a line


def test_usage_is_what_the_chats_came_to(place: Place) -> None:
    wallet = "third"
    account = printed(here("wallet", "new", "--out", wallet, cwd=place.folder)).strip()
    printed(here("ledger", "credit", account, "0.50", "--ref", "third", cwd=place.folder))
    assert ask(place, "usage", wallet=wallet).startswith("No calls from 20")
    for _ in range(2):
        ask(place, "chat", "simulate: tokens=5,prompt_tokens=20", "--model", "model", wallet=wallet)
    table = ask(place, "usage", "--by", "model", wallet=wallet)
    assert re.search(r"sim/model +2 +40 +10 +0 +0 +0\.00014\n", table)
    assert re.search(r"total +2 +40 +10 +0 +0 +0\.00014\n", table)
    assert re.search(r"\(no user\) +2 +40", ask(place, "usage", "--by", "user", wallet=wallet))
    found = json.loads(ask(place, "usage", "--from", "2024-01-01", "--to", "2024-01-31", "--json", wallet=wallet))
    assert (found["by"], found["from"], found["to"], found["data"]) == ("day", "2024-01-01", "2024-01-31", [])
    assert "2026-01-31" in refused(place, "usage", "--from", "soon", wallet=wallet)


def test_a_new_wallet_has_nothing_to_show_and_nothing_to_spend(place: Place) -> None:
    printed(here("wallet", "new", "--out", "poor", cwd=place.folder))
    assert ask(place, "statement", wallet="poor") == "No transactions yet.\n"
    assert "0.00 USD" in refused(place, "chat", "hello", "--model", "model", wallet="poor")


def test_an_unknown_model_is_one_line_that_names_it(place: Place) -> None:
    assert "sim/modle" in refused(place, "chat", "hello", "--model", "sim/modle")


def test_a_provider_that_fails_is_one_line(place: Place) -> None:
    assert "sim (server_error)" in refused(place, "chat", "simulate: status=500", "--model", "model")


@pytest.mark.parametrize("command", [["models"], ["chat", "hello", "--model", "model", "--wallet", "wallet"]])
def test_an_unreachable_router_is_one_line_that_names_it(command: list[str], place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    said = complaint(tollway(*command, "--url", url, cwd=place.folder))
    assert url in said
    assert "is the router running there?" in said


def test_something_that_is_no_router_is_one_line(place: Place) -> None:
    with web_site() as url:
        assert "not as a Tollway router does" in refused(place, "models", at=url)
        assert "not as a Tollway router does" in refused(place, "chat", "hello", "--model", "model", at=url)


def test_the_simulator_serves_what_its_scenario_says(tmp_path: Path) -> None:
    with simulator(tmp_path, "--scenario", "tokens=3") as provider:
        body = {"model": "any", "messages": [{"role": "user", "content": "hello"}]}
        answer = httpx2.post(f"{provider.url}/chat/completions", json=body).json()
        assert answer["choices"][0]["message"]["content"] == expected_text(3)
        provider.running.terminate()
        assert provider.ended() == 0


def test_a_bad_scenario_and_a_taken_port_are_one_line_each(place: Place, tmp_path: Path) -> None:
    assert "--scenario" in complaint(here("simulate", "--scenario", "tokens=lots", cwd=tmp_path))
    taken = place.provider.url.removeprefix("http://").removesuffix("/v1")
    assert taken in complaint(here("simulate", "--listen", taken, cwd=tmp_path))


def test_no_file_that_holds_money_or_keys_can_be_read_by_others(place: Place) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.folder.iterdir()}
    del modes["tollway.toml"]
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_a_sign_in_for_once_is_taken_once_and_ends_with_its_nonce(place: Place) -> None:
    told = json.loads(ask(place, "sign-in", "--once", "--json"))
    balance = f"{place.serving.url}/v1/session/balance"
    first = httpx2.get(balance, headers={told["header"]: told["value"]})
    assert (first.status_code, first.json()["caip_account_id"]) == (200, place.account)
    again = httpx2.get(balance, headers={told["header"]: told["value"]})
    assert (again.status_code, again.json()["error"]["code"]) == (401, "nonce_used")
    nonce = httpx2.get(f"{place.serving.url}/v1/session/nonce").json()
    assert told["expires_at"] <= nonce["expires_at"]


def test_a_sign_in_for_once_needs_a_router_that_answers(place: Place) -> None:
    assert "is the router running there?" in refused(place, "sign-in", "--once", at="http://127.0.0.1:9")
