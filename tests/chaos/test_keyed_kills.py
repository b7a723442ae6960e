"""A call with an Idempotency-Key whose router is killed, at every step: sent again after the restart it has been made
once, and paid once. On PostgreSQL, where a dead router's hold stands until its lease is over, at some of the steps."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from chaos.books import Books, PostgresBooks, SqliteBooks, audit, balances, credit_at_rest, lines
from chaos.calls import SIGN_IN_URL
from chaos.lives import Killing, Life, Lives, beginning
from chaos.steps import LEASE_S, STEPS
from chaos.trial import configure
from helpers.postgres import Server
from helpers.running import chat
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id
from tollway.simulator import Simulator

DURABLE = ("after_commit", "after_post", "after_last_byte")  # the post is on disk
OF_BATCH = ("after_hold", "before_post", "torn_commit", *DURABLE)
ON_POSTGRES = ("mid_stream", "inside_commit", "after_commit")
FIRST, SECOND = 1, 2  # of two commits: the hold's and the post's
IN_FLIGHT = 409


class Setting:
    """A wallet with credit, its provider, and the routers that serve it one after the other."""

    def __init__(self, books: Books, lives: Lives, simulator: Simulator) -> None:
        self.wallet = SolanaWallet.new()
        self.account = account_id(self.wallet)
        self.books = books
        self.simulator = simulator
        self._lives = lives

    async def open(self) -> None:
        configure(self.books, self.simulator)
        await asyncio.to_thread(credit_at_rest, self.books, self.account, "1", "start")

    async def begin(self, killing: Killing | None = None) -> Life:
        life = await self._lives.begin(
            "serve", "--log-level", "warning", killing=killing, environment=self.books.environment
        )
        assert await life.serves(), life.said()
        return life

    async def ask(self, life: Life, key: str, *, stream: bool) -> httpx2.Response | None:
        """None: the router broke off."""
        sign_in = sign_in_header(self.wallet, SIGN_IN_URL, 600, time.time_ns() // 1_000_000)
        headers = {"sign-in-with-x": sign_in, "idempotency-key": key}
        host, port = life.place
        try:
            async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False, timeout=30) as http:
                body = chat("hello simulate: tokens=9", stream=stream)
                return await http.post("/v1/chat/completions", json=body, headers=headers)
        except httpx2.TransportError:
            return None

    async def ask_until_answered(self, life: Life, key: str, *, stream: bool) -> httpx2.Response | None:
        """As a client does that is told when to come back: while the first call's hold stands, it is in flight."""
        async with asyncio.timeout(10 * LEASE_S):
            while True:
                answer = await self.ask(life, key, stream=stream)
                if answer is None or answer.status_code != IN_FLIGHT:
                    return answer
                await asyncio.sleep(int(answer.headers["retry-after-ms"]) / 1000)


@pytest_asyncio.fixture
async def setting(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Callable[[], Server]
) -> AsyncIterator[Setting]:
    async with AsyncExitStack() as stack:
        books: Books = SqliteBooks(tmp_path)
        if request.param == "postgres":
            books = PostgresBooks(tmp_path, postgres(), stack.enter_context(postgres().database()))
        lives = await stack.enter_async_context(beginning(tmp_path))
        setting = Setting(books, lives, await stack.enter_async_context(await Simulator.start()))
        await setting.open()
        yield setting


@pytest.mark.parametrize(
    ("setting", "stream", "steps"),
    [("sqlite", False, OF_BATCH), ("sqlite", True, STEPS), ("postgres", True, ON_POSTGRES)],
    indirect=["setting"],
    ids=["batch", "stream", "stream on postgres"],
)
async def test_at_whichever_step_the_router_is_killed_the_call_is_made_and_charged_once(
    setting: Setting, steps: tuple[str, ...], *, stream: bool
) -> None:
    found = set()
    for step in steps:
        found.add(await killed_at(setting, step, stream=stream))
    assert found == {True, False}  # some were carried out again, some given again
    paid = sum(line.amount for line in lines(setting.books) if line.kind == "post")
    assert balances(setting.books)[setting.account][0] == paid
    assert (await asyncio.to_thread(audit, setting.books))["difference_count"] == 0


async def killed_at(setting: Setting, step: str, *, stream: bool) -> bool:
    """Whether the call that was killed had been booked: then its answer is given again."""
    after = max(line.seq for line in lines(setting.books))
    life = await setting.begin(Killing(step, SECOND if "commit" in step else FIRST, seed=1))
    first = await setting.ask(life, step, stream=stream)
    life.kill()
    await life.ended
    await setting.simulator.idle()
    asked = len(setting.simulator.log)

    life = await setting.begin()
    second = await setting.ask_until_answered(life, step, stream=stream)
    third = await setting.ask(life, step, stream=stream)
    life.kill()
    await life.ended

    assert second is not None and third is not None, step
    assert (second.status_code, third.status_code, third.headers["idempotent-replayed"]) == (200, 200, "true"), step
    assert second.content == third.content, step
    if first is not None and first.status_code == 200:
        assert second.content == first.content, step
    booked = "idempotent-replayed" in second.headers
    assert booked or step not in DURABLE, step
    assert len(setting.simulator.log) == asked + (not booked), step
    posts = [line.id for line in lines(setting.books, after) if line.kind == "post"]
    assert posts == [third.headers["x-tollway-original-request-id"]], step
    return booked
