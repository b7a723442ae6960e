"""`tollway provider`: an operator takes a provider out of service and back, router running or not."""

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from helpers.commands import TIMEOUT_S, complaint, configure, here, printed, router, simulator
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id

pytestmark = pytest.mark.acceptance

WIDE = {"COLUMNS": "200"}


def listed(folder: Path, *arguments: str) -> dict[str, Any]:
    answer = json.loads(printed(here("provider", "list", "--json", *arguments, cwd=folder)))
    assert [one["id"] for one in answer["data"]] == ["sim"]
    return {**answer["data"][0], "router": answer["router"]}


def test_a_router_that_runs_knows_by_its_next_call(tmp_path: Path) -> None:
    with simulator(tmp_path) as provider, router(tmp_path, provider.url) as serving:
        wallet = SolanaWallet.new()
        wallet.save(tmp_path / "wallet")
        printed(here("ledger", "credit", account_id(wallet), "1.00", "--ref", "r", cwd=tmp_path))
        header = {"sign-in-with-x": sign_in_header(wallet, serving.url, 600, time.time_ns() // 1_000_000)}
        body = {"model": "model", "messages": [{"role": "user", "content": "hello"}]}

        def ask() -> httpx2.Response:
            return httpx2.post(f"{serving.url}/v1/chat/completions", json=body, headers=header, timeout=TIMEOUT_S)

        assert ask().status_code == 200
        said = printed(here("provider", "disable", "sim", "--why", "errors since noon", cwd=tmp_path))
        assert said == "sim is disabled: it gets no new calls until `tollway provider enable sim`\n"
        assert ask().json()["error"]["code"] == "no_provider_available"
        shown = listed(tmp_path, "--url", serving.url)
        assert (shown["router"], shown["status"], shown["why"]) == (serving.url, "disabled", "errors since noon")
        assert (shown["models"], shown["attempts"], shown["uptime"]) == (["sim/model"], 1, 1.0)
        table = printed(here("provider", "list", "--url", serving.url, cwd=tmp_path, environment=WIDE)).splitlines()
        assert table[0].split()[:3] == ["provider", "status", "models"]
        assert table[1].split()[:4] == ["sim", "disabled", "sim/model", "100.0%"]
        assert table[1].endswith("errors since noon")
        assert printed(here("provider", "enable", "sim", cwd=tmp_path)) == "sim is enabled\n"
        assert ask().status_code == 200
        assert printed(here("provider", "enable", "sim", cwd=tmp_path)) == "sim was not disabled\n"


def test_without_a_router_it_is_kept_for_the_next_one(tmp_path: Path) -> None:
    configure(tmp_path)
    gone = ("--url", "http://127.0.0.1:9")
    assert listed(tmp_path, *gone)["status"] == "unknown"
    printed(here("provider", "disable", "sim", cwd=tmp_path))
    shown = listed(tmp_path, *gone)
    assert (shown["router"], shown["status"], shown["why"], shown["models"]) == (None, "disabled", None, ["sim/model"])
    ran = here("provider", "list", *gone, cwd=tmp_path)
    assert "no router answers at http://127.0.0.1:9" in ran.stderr
    with router(tmp_path, "http://127.0.0.1:9/v1") as serving:
        (found,) = httpx2.get(f"{serving.url}/v1/providers").json()["data"]
        assert found["status"] == "disabled"


def test_a_plan_that_is_explained_leaves_it_out(tmp_path: Path) -> None:
    configure(tmp_path)
    (tmp_path / "request.json").write_text(
        json.dumps({"model": "model", "messages": [{"role": "user", "content": "hello"}]})
    )
    assert json.loads(printed(here("route", "request.json", "--json", cwd=tmp_path)))["candidates"] == ["sim:sim/model"]
    printed(here("provider", "disable", "sim", cwd=tmp_path))
    said = complaint(here("route", "request.json", cwd=tmp_path))
    assert "the operator took its provider out of service" in said


def test_an_unknown_provider_is_one_line_and_what_was_disabled_may_be_enabled_when_it_is_gone(tmp_path: Path) -> None:
    configure(tmp_path)
    assert 'did you mean "sim"?' in complaint(here("provider", "disable", "simm", cwd=tmp_path))
    printed(here("provider", "disable", "sim", cwd=tmp_path))
    file = tmp_path / "tollway.toml"
    file.write_text(file.read_text().replace('id = "sim"', 'id = "other"'))
    assert printed(here("provider", "enable", "sim", cwd=tmp_path)) == "sim is enabled\n"
    assert "there is no provider 'sim'" in complaint(here("provider", "enable", "sim", cwd=tmp_path))


def test_a_provider_whose_key_this_shell_lacks_is_disabled_all_the_same(tmp_path: Path) -> None:
    configure(tmp_path)
    file = tmp_path / "tollway.toml"
    file.write_text(file.read_text().replace('id = "sim"', 'id = "sim"\napi_key_env = "NOT_SET_HERE"'))
    printed(here("provider", "disable", "sim", cwd=tmp_path))


def test_why_is_one_short_line(tmp_path: Path) -> None:
    configure(tmp_path)
    assert "--why" in complaint(here("provider", "disable", "sim", "--why", "x" * 201, cwd=tmp_path))
    assert "--why" in complaint(here("provider", "disable", "sim", "--why", "a\nb", cwd=tmp_path))


def test_a_model_that_is_in_trouble_is_shown_with_what_its_breaker_does(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--scenario", "status=503&retry_after=60") as provider,
        router(tmp_path, provider.url) as serving,
    ):
        wallet = SolanaWallet.new()
        wallet.save(tmp_path / "wallet")
        printed(here("ledger", "credit", account_id(wallet), "1.00", "--ref", "r", cwd=tmp_path))
        header = {"sign-in-with-x": sign_in_header(wallet, serving.url, 600, time.time_ns() // 1_000_000)}
        body = {"model": "model", "messages": [{"role": "user", "content": "hello"}]}
        asked = httpx2.post(f"{serving.url}/v1/chat/completions", json=body, headers=header, timeout=TIMEOUT_S)
        assert asked.status_code == 503
        assert listed(tmp_path, "--url", serving.url)["breakers"] == {"sim/model": "open"}
        table = printed(here("provider", "list", "--url", serving.url, cwd=tmp_path, environment=WIDE)).splitlines()
        assert "sim/model (open)" in table[1]
