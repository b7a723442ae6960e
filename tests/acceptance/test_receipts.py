"""Receipts as callers have them: from the router, by the command, and checked by libraries of other people."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import ENVIRONMENT, TIMEOUT_S, complaint, here, printed
from helpers.console import blocks
from helpers.node import FOLDER, install
from helpers.require import require_node
from helpers.running import Running, chat, running
from tollway.client.wallet import account_id

pytestmark = pytest.mark.acceptance

DOCUMENT = Path(__file__).parents[2] / "docs" / "receipts.md"
CHANGED = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}


class Called:
    """A call that was answered, its receipt and the router's keys as files, and the request's body."""

    def __init__(self, folder: Path, answer: dict[str, Any], account: str, receipt: str) -> None:
        self.folder = folder
        self.answer = answer
        self.account = account
        self.receipt = receipt
        self.files = (str(folder / "call.receipt"), str(folder / "router-keys.json"))

    def checked(self, *more: str) -> subprocess.CompletedProcess[str]:
        return here("receipt", "verify", self.files[0], "--keys", self.files[1], *more, cwd=self.folder)

    def forge(self, receipt: str) -> None:
        (self.folder / "call.receipt").write_text(receipt)


async def called(router: Running, folder: Path) -> Called:
    wallet = await router.wallet("1.00")
    body = json.dumps(chat()).encode()
    answer = await router.http.post("/v1/chat/completions", content=body, headers=router.headers(wallet))
    assert answer.status_code == 200
    (folder / "body.json").write_bytes(body)
    view = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet, receipt="true")
    (folder / "call.receipt").write_text(view["receipt"] + "\n")
    (folder / "router-keys.json").write_bytes((await router.http.get("/.well-known/jwks.json")).content)
    return Called(folder, answer.json(), account_id(wallet), view["receipt"])


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Called]:
    async with running() as router:
        yield await called(router, tmp_path)


async def test_the_command_says_what_the_receipt_says(call: Called) -> None:
    claims = json.loads(printed(call.checked("--json")))
    assert claims["sub"] == call.account
    assert claims["cost_usd"] == call.answer["usage"]["cost"]
    assert claims["jti"] == call.answer["tollway"]["request_id"]
    assert claims["response_id"] == call.answer["id"]
    shown = printed(call.checked())
    assert shown.startswith("the receipt holds")
    assert f"cost      {claims['cost_usd']} USD" in shown


async def test_the_command_tells_the_request_that_it_is_for(call: Called) -> None:
    assert "(is this request)" in printed(call.checked("--request", "body.json"))
    (call.folder / "body.json").write_text("{}")
    assert "another request" in complaint(call.checked("--request", "body.json"))


async def test_a_changed_receipt_does_not_hold_by_the_command(call: Called) -> None:
    head, payload, signature = call.receipt.split(".")
    call.forge(f"{head}.{payload[:-1]}{'A' if payload[-1] != 'A' else 'B'}.{signature}")
    assert complaint(call.checked())
    call.forge(f"{CHANGED}.{payload}.")
    assert complaint(call.checked())


async def test_a_file_that_is_no_receipt_is_said_to_be_none(call: Called) -> None:
    (call.folder / "call.receipt").write_bytes(b"\xff\xfe not a receipt")
    assert "no receipt" in complaint(call.checked())


async def test_nobody_else_can_have_the_receipt(tmp_path: Path) -> None:
    async with running() as router:
        made = await called(router, tmp_path)
        other = await router.wallet("1.00")
        refused = await router.get(f"/generations/{made.answer['tollway']['request_id']}", other, receipt="true")
        assert refused["error"]["code"] == "not_found"


async def test_receipt_is_asked_for_by_true_and_by_nothing_else(tmp_path: Path) -> None:
    async with running() as router:
        made = await called(router, tmp_path)
        wallet = await router.wallet()
        path = f"/generations/{made.answer['tollway']['request_id']}"
        assert (await router.get(path, wallet, receipt="yes"))["error"]["param"] == "receipt"


def ran_python(code: str, *files: str) -> subprocess.CompletedProcess[str]:
    return _ran([sys.executable, "-c", code, *files])


def ran_node(code: str, *files: str) -> subprocess.CompletedProcess[str]:
    return _ran([require_node(), "--input-type=module", "-e", code, "verify.mjs", *files])


def _ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=FOLDER, env=ENVIRONMENT, capture_output=True, text=True, timeout=TIMEOUT_S)


@pytest.mark.parametrize(
    ("language", "run"), [("python", ran_python), pytest.param("js", ran_node, marks=pytest.mark.node)]
)
async def test_the_documents_verifiers_check_it_and_refuse_what_was_changed(
    language: str, run: Any, call: Called
) -> None:
    if language == "js":
        install()
    (code,) = blocks(DOCUMENT, language)
    assert len(code.splitlines()) <= 30
    said = printed(run(code, *call.files)).split()
    assert said == [call.answer["tollway"]["request_id"], call.account, call.answer["usage"]["cost"]]
    head, payload, signature = call.receipt.split(".")
    for forged in (f"{head}.{payload}.{signature[:-4]}AAAA", f"{CHANGED}.{payload}.{signature}"):
        call.forge(forged)
        assert run(code, *call.files).returncode != 0


async def test_a_receipt_signed_before_a_rotation_holds_after_it(tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    async with running(ledger=books) as router:
        made = await called(router, tmp_path)
    async with running(ledger=books, config="[receipts]\nkey = 2\n") as router:
        keys = (await router.http.get("/.well-known/jwks.json")).json()["keys"]
        assert len(keys) == 2
        (tmp_path / "router-keys.json").write_text(json.dumps({"keys": keys}))
        assert printed(made.checked()).startswith("the receipt holds")
    async with running(ledger=books, config="[receipts]\nkey = 2\nwithdrawn = [1]\n") as router:
        (tmp_path / "router-keys.json").write_bytes((await router.http.get("/.well-known/jwks.json")).content)
        assert "no key of this set" in complaint(made.checked())
