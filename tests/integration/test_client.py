"""The client that the command line is made of, against a router: it signs in by itself, and anew when it has to."""

import asyncio
import time

import pytest

from helpers.running import chat, running
from tollway.client.api import RouterClient
from tollway.client.errors import RouterError
from tollway.client.siwx import sign_in_header
from tollway.simulator import expected_text

LONG_AGO_MS = 3_600_000


async def test_a_sign_in_that_has_expired_is_signed_anew_and_the_call_made_once() -> None:
    async with running({"sim": "tokens=3"}) as router:
        wallet = await router.wallet("1.00")
        expired = sign_in_header(wallet, router.url, 60, time.time_ns() // 1_000_000 - LONG_AGO_MS)

        def use() -> tuple[str, str]:
            with RouterClient(router.url, wallet, header=expired) as client:
                balance = client.get("/session/balance")["balance_usd"]
            with RouterClient(router.url, wallet, header=expired) as client:
                return balance, "".join(delta.text for delta in client.stream(chat()))

        assert await asyncio.to_thread(use) == ("1.00", expected_text(3))
        assert len(router.simulator.log) == 1


async def test_an_expired_sign_in_without_the_wallet_stays_refused() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        expired = sign_in_header(wallet, router.url, 60, time.time_ns() // 1_000_000 - LONG_AGO_MS)

        def use() -> None:
            with RouterClient(router.url, header=expired) as client:
                client.get("/session/balance")

        with pytest.raises(RouterError) as refused:
            await asyncio.to_thread(use)
        assert refused.value.code == "expired_sign_in"


async def test_a_sign_in_that_was_revoked_is_not_signed_anew() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")

        def use() -> None:
            with RouterClient(router.url, wallet) as client:
                client.delete("/session")
                client.get("/session/balance")

        with pytest.raises(RouterError) as refused:
            await asyncio.to_thread(use)
        assert refused.value.code == "sign_in_revoked"
