"""GET /session/usage through HTTP: what a wallet's calls came to."""

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from helpers.running import Running, chat, running
from tollway.client.wallet import Wallet
from tollway.ledger.sqlite import reader

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = {"prompt_tokens": 20, "completion_tokens": 5, "cached_tokens": 0, "reasoning_tokens": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    books: Path = tmp_path_factory.mktemp("books") / "books.db"
    async with running({"sim": "tokens=5&prompt_tokens=20"}, ledger=books) as router:
        yield router


@pytest_asyncio.fixture(loop_scope="module")
async def wallet(router: Running) -> Wallet:
    """One that has made three calls, each of 0.00007 USD, and one that failed."""
    wallet = await router.wallet("1")
    for fields in ({"user": "u-1"}, {"user": "u-1", "stream": True}, {}):
        assert (await router.post(wallet, chat(**fields))).status_code == 200
    assert (await router.post(wallet, chat("simulate: status=400"))).status_code == 400
    return wallet


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def line(key: str | None, calls: int, cost: str) -> dict[str, Any]:
    return {"key": key, "calls": calls, **{name: count * calls for name, count in TOKENS.items()}, "cost_usd": cost}


async def test_it_is_by_day_and_of_the_last_thirty_unless_asked_otherwise(router: Running, wallet: Wallet) -> None:
    before = today()
    found = await router.get("/session/usage", wallet)
    assert found["to"] in {before.isoformat(), today().isoformat()}
    assert dt.date.fromisoformat(found["to"]) - dt.date.fromisoformat(found["from"]) == dt.timedelta(days=29)
    assert (found["object"], found["by"], found["has_more"]) == ("list", "day", False)
    assert sum(day["calls"] for day in found["data"]) == 3
    assert all(found["from"] <= day["key"] <= found["to"] for day in found["data"])
    assert found["total"] == {name: value for name, value in line(None, 3, "0.00021").items() if name != "key"}


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        ("model", [line("sim/model", 3, "0.00021")]),
        ("provider", [line("sim", 3, "0.00021")]),
        ("user", [line("u-1", 2, "0.00014"), line(None, 1, "0.00007")]),
    ],
)
async def test_it_is_divided_as_asked(router: Running, wallet: Wallet, by: str, lines: list[dict[str, Any]]) -> None:
    found = await router.get("/session/usage", wallet, by=by)
    assert found["by"] == by
    assert found["data"] == lines
    assert found["total"]["cost_usd"] == "0.00021"


async def test_the_total_is_what_left_the_balance(router: Running, wallet: Wallet) -> None:
    found = await router.get("/session/usage", wallet)
    balance = await router.balance(wallet)
    assert found["total"]["cost_usd"] == f"{balance.debits_posted / 10**9:.5f}"


async def test_both_ends_of_a_period_can_be_chosen(router: Running, wallet: Wallet) -> None:
    gone = await router.get("/session/usage", wallet, **{"from": "2024-01-01", "to": "2024-12-31"})
    assert (gone["from"], gone["to"], gone["data"], gone["total"]["calls"]) == ("2024-01-01", "2024-12-31", [], 0)
    since = (today() - dt.timedelta(days=1)).isoformat()
    found = await router.get("/session/usage", wallet, **{"from": since})
    assert (found["from"], found["total"]["calls"]) == (since, 3)
    until = await router.get("/session/usage", wallet, to="0001-01-05")
    assert (until["from"], until["to"]) == ("0001-01-01", "0001-01-05")


async def test_a_wallet_without_calls_has_used_nothing(router: Running) -> None:
    found = await router.get("/session/usage", await router.wallet(), by="user")
    assert (found["data"], found["total"]["calls"], found["total"]["cost_usd"]) == ([], 0, "0.00")


@pytest.mark.parametrize(
    ("asked", "param", "says"),
    [
        ({"by": "hour"}, "by", "by is one of day, model, provider, user, key."),
        ({"by": ""}, "by", "by is one of"),
        ({"from": "yesterday"}, "from", "from is a day such as 2026-01-31."),
        ({"from": "20260101"}, "from", "from is a day"),
        ({"to": "2026-02-30"}, "to", "to is a day"),
        ({"to": "٢٠٢٦-٠١-٠١"}, "to", "to is a day"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from", "is after to"),
        ({"from": "2024-01-01", "to": "2025-01-01"}, "from", "more than 366 days"),
    ],
)
async def test_what_is_no_period_is_refused(router: Running, asked: dict[str, str], param: str, says: str) -> None:
    wallet = await router.wallet()
    answer = await router.http.get("/v1/session/usage", headers=router.headers(wallet), params=asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", param)
    assert says in error["message"]


async def test_users_beyond_number_are_refused_with_what_to_ask_instead(
    router: Running, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "NAMES_READ_MAX", 0)
    answer = await router.http.get("/v1/session/usage?by=user", headers=router.headers(wallet))
    assert answer.status_code == 400
    assert "ask for fewer days" in answer.json()["error"]["message"]


async def test_it_is_shown_to_who_signed_in(router: Running) -> None:
    answer = await router.http.get("/v1/session/usage")
    assert answer.status_code == 401
