"""What the router itself refuses once, an official SDK asks for again by itself, where the router says that it may: its
caller sees nothing of it, and pays once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from helpers.node import install
from helpers.running import Running, chat, running
from matrix.node_sdk import node_sdk
from matrix.python_sdk import python_sdk
from matrix.seen import Client, Seen
from tollway.client.wallet import Wallet, account_id
from tollway.domain.commands import Hold, Post
from tollway.domain.errors import LedgerUnavailable
from tollway.simulator import expected_text

pytestmark = pytest.mark.acceptance

TOKENS = 5
COST = 20 * 1_000 + TOKENS * 10_000
SCENARIO = {"sim": f"tokens={TOKENS}&prompt_tokens=20"}
CALL_S_MAX = 30.0

Once = Callable[[Running], None]


def first_call(router: Running, before: Callable[[Any], None], after: Callable[[Any], None]) -> None:
    """Have the pipeline as `before` leaves it for its first call, and as `after` leaves it from then on."""
    pipeline, passed = router.router.services.pipeline, []
    serve = pipeline.chat

    async def chat(*given: Any) -> None:
        passed.append(1)
        if len(passed) == 1:
            before(pipeline)
        try:
            await serve(*given)
        finally:
            after(pipeline)

    pipeline.chat = chat  # type: ignore[method-assign]


def is_closing(router: Running) -> None:
    first_call(router, lambda pipeline: setattr(pipeline, "draining", True), lambda p: setattr(p, "draining", False))


def is_full(router: Running) -> None:
    snapshot = router.router.services.snapshot
    full = msgspec.structs.replace(snapshot, calls_max=0)
    first_call(router, lambda p: setattr(p, "snapshot", full), lambda p: setattr(p, "snapshot", snapshot))


def books_refuse(kind: type) -> Once:
    """The ledger can't write the first command of this kind."""

    def once(router: Running) -> None:
        book: Callable[[Any], Awaitable[Any]] = router.ledger.apply
        refused: list[Any] = []

        async def apply(commands: Any) -> Any:
            if not refused and any(isinstance(command, kind) for command in commands):
                refused.append(commands)
                raise LedgerUnavailable("The ledger could not commit: nothing was booked.")
            return await book(commands)

        router.ledger.apply = apply

    return once


REFUSALS: dict[str, tuple[Once, int]] = {
    "it is closing": (is_closing, 503),
    "it is full": (is_full, 503),
    "the books can't take a hold": (books_refuse(Hold), 503),
    "the books can't take a post": (books_refuse(Post), 503),
}
LIMITED = '[limits]\nrequests = "1/s"\n'


async def called(router: Running, client: Client, wallet: Wallet, tag: str, *, stream: bool) -> Seen:
    body = {**chat(), "provider": {"order": ["sim"]}}
    asking = client.ask(f"{router.url}/v1", router.sign_in(wallet), tag, body, stream=stream, reads=0)
    async with asyncio.timeout(CALL_S_MAX):
        return await asking.seen()


async def booked(router: Running, wallet: Wallet) -> tuple[list[str], list[int]]:
    """What became of its calls, and what the wallet paid."""
    entries = (await router.ledger.statement(account_id(wallet), limit=50)).entries
    posts = [entry.amount for entry in entries if entry.kind == "post"]
    return sorted(entry.kind for entry in entries if entry.kind != "credit"), posts


async def check_refusal(client: Client, what: str, *, stream: bool) -> None:
    once, status = REFUSALS[what]
    async with running(SCENARIO) as router:
        wallet = await router.wallet("1.00")
        once(router)
        seen = await called(router, client, wallet, f"{what} {stream}", stream=stream)
        kinds, posts = await booked(router, wallet)
    if what == "the books can't take a post" and stream:  # it has begun, and can't be asked for again
        assert (seen.statuses, seen.error) == ([200], "ledger_unavailable")
        assert (seen.finishes, seen.ended_by_done) == ({}, False)
        assert kinds == ["hold", "void"]
        return
    assert (seen.statuses, seen.error) == ([status, 200], None), what
    assert (seen.texts, seen.finishes) == ({0: expected_text(TOKENS)}, {0: "stop"})
    assert posts == [COST]
    assert kinds.count("hold") == kinds.count("post") + kinds.count("void")


async def check_limit(client: Client, *, stream: bool) -> None:
    """The SDK waits with the second call within a second as `retry-after` says."""
    async with running(SCENARIO, config=LIMITED) as router:
        wallet = await router.wallet("1.00")
        seen = [await called(router, client, wallet, f"limit {stream} {call}", stream=stream) for call in range(2)]
        assert [one.statuses for one in seen] == [[200], [429, 200]]
        assert [one.error for one in seen] == [None, None]
        assert (await booked(router, wallet))[1] == [COST, COST]


async def check_all(client: Client) -> None:
    ways = [(what, stream) for what in REFUSALS for stream in (False, True)]
    await asyncio.gather(
        *(check_refusal(client, what, stream=stream) for what, stream in ways),
        *(check_limit(client, stream=stream) for stream in (False, True)),
    )


async def test_the_sdk_for_python_asks_again_and_its_caller_pays_once() -> None:
    async with python_sdk() as client:
        await check_all(client)


@pytest.mark.node
async def test_the_sdk_for_node_asks_again_and_its_caller_pays_once() -> None:
    install()
    async with node_sdk() as client:
        await check_all(client)
