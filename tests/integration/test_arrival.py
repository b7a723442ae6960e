"""Requests that don't arrive whole, come to a router that is full or closing, or meet a fault of its own."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import pytest

from helpers.refusals import refused, unharmed
from helpers.running import Running, chat, running
from helpers.simulated import read_reply
from helpers.until import until
from tollway.client.wallet import Wallet, account_id
from tollway.domain.errors import LedgerUnavailable
from tollway.domain.money import parse_usd

SLOW = '[server]\nslow_sender = "200ms"\n'
BODY = b'{"model": "sim/model", "messages": [{"role": "user", "content": "hello"}]}'


class Sender:
    """A client on a bare socket that sends what a test says, when it says so."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Nothing for b""."""
        self._writer.write(data)
        await self._writer.drain()

    async def head(self) -> bytes:
        return await self._reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> httpx2.Response:
        reply = await read_reply(self._reader)
        assert reply.complete
        assert reply.status is not None
        return httpx2.Response(reply.status, headers=reply.headers, content=reply.body)

    async def closed(self) -> bool:
        """Whether the router closes the connection after what has been read."""
        return await self._reader.read(1) == b""

    def leave(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def sending(router: Running, wallet: Wallet | None, **headers: str) -> AsyncIterator[Sender]:
    """A chat request whose head has been sent, and nothing of its body."""
    place = urlsplit(router.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        lines = {**router.headers(wallet), "host": place.netloc, **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        sender = Sender(reader, writer)
        await sender.send(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode())
        yield sender
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


LENGTHS = pytest.mark.parametrize(
    "framing", [{"content-length": str(len(BODY))}, {"transfer-encoding": "chunked"}], ids=["length", "chunked"]
)


def framed(framing: dict[str, str], data: bytes) -> bytes:
    if not data:
        return b""  # as a chunk it would be the end
    return b"%x\r\n%b\r\n" % (len(data), data) if "transfer-encoding" in framing else data


# --- too slow


@LENGTHS
@pytest.mark.parametrize("sent", [0, 1, len(BODY) - 1], ids=["nothing", "a byte", "all but a byte"])
async def test_a_body_that_does_not_come_is_a_408_and_the_end_of_the_connection(
    framing: dict[str, str], sent: int
) -> None:
    async with running(config=SLOW) as router:
        wallet = await router.wallet("1.00")
        async with unharmed(router, wallet), sending(router, wallet, **framing) as sender:
            await sender.send(framed(framing, BODY[:sent]))
            answer = await sender.answer()
            refused(answer, 408, "request_timeout", says="(server.slow_sender): send it again.")
            assert answer.headers["connection"] == "close"
            assert await sender.closed()


async def test_a_body_in_pieces_is_taken_as_long_as_they_come() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        framing = {"transfer-encoding": "chunked"}
        async with sending(router, wallet, **framing) as sender:
            for index in range(len(BODY)):
                await sender.send(framed(framing, BODY[index : index + 1]))
            await sender.send(b"0\r\n\r\n")
            assert (await sender.answer()).status_code == 200


async def test_who_signs_in_badly_is_not_waited_for() -> None:
    async with running() as router, sending(router, None, **{"content-length": "100"}) as sender:
        refused(await sender.answer(), 401, "missing_sign_in")


async def test_a_body_that_is_declared_too_large_is_not_waited_for() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        async with unharmed(router, wallet), sending(router, wallet, **{"content-length": "21000000"}) as sender:
            refused(await sender.answer(), 413, "request_too_large")


async def test_a_client_that_asks_first_is_told_to_go_on_only_when_its_sign_in_is_good() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        asking = {"content-length": str(len(BODY)), "expect": "100-continue"}
        async with sending(router, wallet, **asking) as sender:
            assert (await sender.head()).startswith(b"HTTP/1.1 100 ")
            await sender.send(BODY)
            assert (await sender.answer()).status_code == 200
        async with sending(router, None, **asking) as sender:
            refused(await sender.answer(), 401, "missing_sign_in")


# --- gone


@LENGTHS
@pytest.mark.parametrize("sent", [0, 10], ids=["before its body", "within its body"])
async def test_a_client_that_goes_away_while_it_sends_is_no_error(
    framing: dict[str, str], sent: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running() as router:
        pipeline = router.router.services.pipeline
        wallet = await router.wallet("1.00")
        async with unharmed(router, wallet), sending(router, wallet, **framing) as sender:
            await sender.send(framed(framing, BODY[:sent]))
            await until(lambda: len(pipeline.running) == 1)
            sender.leave()
            assert await pipeline.idle(10.0)
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        assert "refused" not in caplog.text


# --- full, closing


async def test_a_call_too_many_is_refused_until_another_ends() -> None:
    async with running({"sim": "barrier=b"}, config="[server]\nmax_calls = 1\n") as router:
        wallet = await router.wallet("1.00")
        first = asyncio.ensure_future(router.post(wallet, chat()))
        await router.simulator.waiting("b", 1)
        before = await router.balance(wallet)
        answer = await router.post(wallet, chat())
        refused(answer, 503, "overloaded", says="as many calls in flight as it may: try again.")
        assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("1", "true")
        assert await router.balance(wallet) == before
        router.simulator.release("b")
        assert (await first).status_code == 200
        assert (await router.post(wallet, chat())).status_code == 200


async def test_bodies_beyond_what_the_router_may_hold_are_refused_and_small_ones_are_not() -> None:
    config = '[server]\nmax_body = "1MB"\nmax_bodies = "1MB"\n'
    async with running({"sim": "barrier=b"}, config=config) as router:
        wallet = await router.wallet("10.00")
        large = chat("x" * 600_000)
        first = asyncio.ensure_future(router.post(wallet, large))
        await router.simulator.waiting("b", 1)
        before = await router.balance(wallet)
        answer = await router.post(wallet, large)
        refused(answer, 503, "overloaded", says="holds as many bytes of requests as it may: try again.")
        assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("1", "true")
        assert await router.balance(wallet) == before
        small = asyncio.ensure_future(router.post(wallet, chat()))
        await router.simulator.waiting("b", 2)
        router.simulator.release("b")
        assert [(await call).status_code for call in (first, small)] == [200, 200]
        assert (await router.post(wallet, large)).status_code == 200


async def test_a_router_that_drains_says_so_takes_no_call_and_ends_those_it_has() -> None:
    async with running({"sim": "barrier=b"}) as router:
        wallet = await router.wallet("1.00")
        first = asyncio.ensure_future(router.post(wallet, chat()))
        await router.simulator.waiting("b", 1)
        draining = asyncio.ensure_future(router.router.drain(30))
        await until(lambda: router.router.services.pipeline.draining)
        ready = await router.http.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
        assert (await router.http.get("/healthz")).status_code == 200
        answer = await router.post(wallet, chat())
        refused(answer, 503, "shutting_down", says="is shutting down: try again.")
        assert (answer.headers["retry-after-ms"], answer.headers["x-should-retry"]) == ("1000", "true")
        assert len(router.simulator.log) == 1
        assert not draining.done()
        router.simulator.release("b")
        assert (await first).status_code == 200
        await draining


async def test_a_request_that_is_still_arriving_is_given_up_when_the_drain_ends() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        async with sending(router, wallet, **{"content-length": "100"}) as sender:
            await until(lambda: len(router.router.services.pipeline.running) == 1)
            await router.router.drain(0)
            refused(await sender.answer(), 503, "shutting_down")
        assert (await router.balance(wallet)).credits_posted == (await router.balance(wallet)).available


# --- our own faults


async def test_a_ledger_that_cannot_book_is_a_503_and_the_router_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")

        async def down(commands: object) -> list[object]:
            raise LedgerUnavailable("The ledger can't book: try again.", retry_after_ms=1_000)

        with monkeypatch.context() as patch:
            patch.setattr(type(router.ledger), "apply", lambda self, commands: down(commands))
            patch.setattr(type(router.ledger), "ready", False)
            answer = await router.post(wallet, chat())
            refused(answer, 503, "ledger_unavailable")
            assert answer.headers["x-should-retry"] == "true"
            ready = await router.http.get("/readyz")
            assert (ready.status_code, ready.json()) == (503, {"status": "ledger unavailable"})
        assert router.simulator.log == ()
        assert (await router.balance(wallet)).available == parse_usd("1.00")
        assert (await router.post(wallet, chat())).status_code == 200


async def test_a_fault_of_our_own_is_a_500_that_tells_callers_nothing_and_the_log_everything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")

        async def broken(self: object, account: str) -> None:
            raise RuntimeError(f"secret of {account}")

        with monkeypatch.context() as patch:
            patch.setattr(type(router.ledger), "balance", broken)
            answer = await router.http.get("/v1/session/balance", headers=router.headers(wallet))
        error = refused(answer, 500, "internal_error", says="The operator finds it by the x-request-id.")
        assert "secret" not in error["message"]
        (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert answer.headers["x-request-id"] in logged.getMessage()
        assert f"secret of {account_id(wallet)}" in caplog.text
        async with unharmed(router, wallet):
            pass
