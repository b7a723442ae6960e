"""Providers that an operator takes out of service while the router runs, through HTTP and the operator's socket."""

from pathlib import Path

from helpers.running import Running, chat, running
from helpers.settled import check_books, settled
from helpers.streaming import DONE, streaming
from tollway.ledger import operator

LOCKSTEP = "lockstep=it,tokens=3"


async def switched(router: Running, provider: str, *, disabled: bool) -> None:
    """As `tollway provider` does it: through the socket of a router that runs."""
    await operator.set_provider(router.books, provider, disabled=disabled, why="a test" if disabled else None)


async def statuses(router: Running) -> dict[str, str]:
    return {provider["id"]: provider["status"] for provider in (await router.get("/providers"))["data"]}


async def test_it_gets_no_new_calls_and_ends_those_it_has(tmp_path: Path) -> None:
    async with running({"a": LOCKSTEP}, ledger=tmp_path / "books.db") as router:
        wallet = await router.wallet("1")
        router.simulator.step("it", 2)
        async with streaming(router, wallet, chat(stream=True)) as stream:
            await stream.event()
            await switched(router, "a", disabled=True)
            gone = await router.post(wallet, chat())
            pinned = await router.post(wallet, chat(model="a:sim/model"))
            router.simulator.free("it")
            assert (await stream.rest())[-1] == f"data: {DONE}"
            assert (await settled(router, wallet, await stream.request_id()))["charged"] > 0
        for refused in (gone, pinned):
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (503, "no_provider_available")
            assert error["candidates"] == [{"candidate": "a:sim/model", "reason": "disabled"}]
            assert "a test" not in refused.text
        await switched(router, "a", disabled=False)
        assert (await router.post(wallet, chat())).status_code == 200
        await check_books(router)


async def test_the_others_serve_and_the_record_says_why_it_did_not(tmp_path: Path) -> None:
    async with running({"a": "", "b": ""}, ledger=tmp_path / "books.db") as router:
        wallet = await router.wallet("1")
        await switched(router, "a", disabled=True)
        for _ in range(5):
            answer = await router.post(wallet, chat())
            assert answer.headers["x-tollway-provider"] == "b"
        record = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)
        reasons = {verdict["candidate"]: verdict.get("reason") for verdict in record["route"]["verdicts"]}
        assert reasons == {"a:sim/model": "disabled", "b:sim/model": None}
        assert router.simulators["a"].log == ()


async def test_listings_show_it(tmp_path: Path) -> None:
    async with running({"a": "", "b": ""}, ledger=tmp_path / "books.db") as router:
        wallet = await router.wallet("1")
        await switched(router, "a", disabled=True)
        await router.post(wallet, chat())
        assert await statuses(router) == {"a": "disabled", "b": "ok"}
        for model in ((await router.get("/models"))["data"][0], await router.get("/models/model")):
            assert {one["id"]: one["status"] for one in model["providers"]} == {"a": "disabled", "b": "ok"}


async def test_it_stays_so_over_a_reload_and_a_restart(tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    async with running({"a": "", "b": ""}, ledger=books) as router:
        await switched(router, "a", disabled=True)
        assert await router.reload()
        assert (await statuses(router))["a"] == "disabled"
    async with running({"a": "", "b": ""}, ledger=books) as router:
        assert await statuses(router) == {"a": "disabled", "b": "unknown"}
    await operator.set_provider(books, "a", disabled=False)
    async with running({"a": "", "b": ""}, ledger=books) as router:
        assert await statuses(router) == {"a": "unknown", "b": "unknown"}
