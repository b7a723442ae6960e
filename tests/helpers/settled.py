"""What holds of the books after every call, however it ended; and what one call came to, as its wallet is shown it."""

import asyncio
from typing import Any

from helpers.running import Running
from helpers.until import until
from tollway.client.wallet import Wallet, account_id
from tollway.domain.commands import Balance
from tollway.domain.money import parse_usd

OWN_ACCOUNTS = ("router:revenue", "router:loss", "source:operator", "source:welcome")


async def account(router: Running, name: str) -> Balance:
    """An account as it stands; one that was never used is empty."""
    found = await router.ledger.balance(name)
    return found or Balance(account=name, debits_pending=0, debits_posted=0, credits_pending=0, credits_posted=0)


async def owed(router: Running, provider: str = "sim") -> int:
    return (await account(router, f"provider:{provider}")).credits_posted


async def lost(router: Running) -> int:
    """What the operator bore."""
    return (await account(router, "router:loss")).debits_posted


async def check_books(router: Running) -> None:
    """Double entry over every account there is: both sums are zero, nothing is pending, no wallet is below zero."""
    served = set(router.router.services.snapshot.catalog.providers)
    names = [*router.accounts, *OWN_ACCOUNTS, *(f"provider:{name}" for name in served | router.simulators.keys())]
    accounts = [await account(router, name) for name in names]
    assert [found.account for found in accounts if found.debits_pending or found.credits_pending] == []
    assert sum(found.debits_posted for found in accounts) == sum(found.credits_posted for found in accounts)
    for wallet in accounts[: len(router.accounts)]:
        assert wallet.available >= 0


async def settled(router: Running, wallet: Wallet, id: str | None = None) -> dict[str, Any]:
    """Wait until the wallet's call `id` (its newest) has ended, check that nothing of it is left pending and that
    statement, balance and books agree, and return GET /generations/{id} with the charge as `charged` (nano-USD)."""

    async def ended() -> bool:
        page = await router.ledger.statement(account_id(wallet), limit=500)
        newest = id or page.entries[0].id
        return any(entry.id == newest and entry.kind in ("post", "void") for entry in page.entries)

    await until(ended)
    wanted = id or (await router.ledger.statement(account_id(wallet), limit=1)).entries[0].id
    generation, transactions, balance = await asyncio.gather(
        router.get(f"/generations/{wanted}", wallet),
        router.get("/session/transactions", wallet, limit=500),
        router.get("/session/balance", wallet),
    )
    assert "error" not in generation, generation
    entries = transactions["data"]
    of_call = {entry["kind"]: entry for entry in entries if entry["id"] == wanted}
    charged = parse_usd(generation["cost_usd"])
    held = parse_usd(of_call["hold"]["amount_usd"])
    assert parse_usd(generation["held_usd"]) == held
    if "post" in of_call:
        assert set(of_call) == {"hold", "post"}
        assert parse_usd(of_call["post"]["amount_usd"]) == charged
        assert parse_usd(of_call["post"]["returned_usd"]) == max(0, held - charged)
    else:
        assert set(of_call) == {"hold", "void"}
        assert parse_usd(of_call["void"]["amount_usd"]) == held
        assert charged == 0
    sums = {kind: sum(parse_usd(e["amount_usd"]) for e in entries if e["kind"] == kind) for kind in ("credit", "post")}
    assert parse_usd(balance["balance_usd"]) == parse_usd(balance["total_usd"]) == sums["credit"] - sums["post"]
    assert balance["held_usd"] == "0.00"
    await check_books(router)
    return {**generation, "charged": charged, "held": held, "kinds": set(of_call)}


async def delivered(router: Running, wallet: Wallet, id: str) -> None:
    """Wait until it is noted that the client was given the end of its answer: shortly after it was."""

    async def noted() -> bool:
        record = await router.ledger.call(account_id(wallet), id)
        return record is not None and record.delivery == "complete"

    await until(noted)
