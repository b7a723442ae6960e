"""Frozen wallets: refused at once while a router runs, calls in flight excepted, and free to look."""

from pathlib import Path

from helpers.refusals import refused
from helpers.running import chat, running
from helpers.settled import settled
from helpers.streaming import DONE, streaming
from tollway.client.wallet import account_id
from tollway.ledger import mending


async def test_a_call_in_flight_goes_on_and_is_charged_and_the_next_is_refused(tmp_path: Path) -> None:
    async with running({"sim": "lockstep=it,tokens=3"}, ledger=tmp_path / "books.db") as router:
        wallet, other = await router.wallet("1"), await router.wallet("1")
        router.simulator.step("it", 2)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await stream.event()
            await mending.freeze(router.books, account_id(wallet), by="root", why="stolen")
            answer = await router.post(wallet, chat())
            router.simulator.free("it")
            assert (await stream.rest())[-1] == f"data: {DONE}"
            call = await stream.request_id()
        refused(answer, 403, "account_frozen")
        assert "stolen" not in answer.text
        assert (await settled(router, wallet, call))["charged"] > 0
        assert (await router.get("/session/balance", wallet))["held_usd"] == "0.00"
        assert (await router.post(other, chat())).status_code == 200
        await mending.unfreeze(router.books, account_id(wallet))
        assert (await router.post(wallet, chat())).status_code == 200


async def test_it_stays_frozen_over_a_restart(tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    async with running(ledger=books) as router:
        wallet = await router.wallet("1")
    await mending.freeze(books, account_id(wallet), by="root", why="stolen")
    async with running(ledger=books) as router:
        refused(await router.post(wallet, chat()), 403, "account_frozen")
