"""What a provider learns of who asks, through HTTP: an opaque `user`, unless it is configured otherwise."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from helpers.running import Running, chat, running
from tollway.client.wallet import Wallet

OPAQUE = re.compile("[0-9a-f]{32}")


async def seen(router: Running, wallet: Wallet, **fields: Any) -> str | None:
    """The `user` that the provider was sent."""
    answer = await router.post(wallet, chat(**fields))
    assert answer.status_code == 200, answer.text
    user: str | None = json.loads(router.simulator.log[-1].body).get("user")
    return user


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_sees_an_opaque_user_that_lasts_and_links_no_wallets(stream: bool, tmp_path: Path) -> None:
    async with running({"sim": "tokens=2"}, ledger=tmp_path / "books.db") as router:
        wallet, other = await router.wallet("1"), await router.wallet("1")
        named = await seen(router, wallet, user="alice@example.com", stream=stream)
        unnamed = await seen(router, wallet, stream=stream)
        elsewhere = await seen(router, other, user="alice@example.com", stream=stream)
        everything = b"".join(attempt.body for attempt in router.simulator.log)
    async with running({"sim": "tokens=2"}, ledger=tmp_path / "books.db") as router:
        again = await seen(router, wallet, user="alice@example.com", stream=stream)
    assert named and unnamed and elsewhere
    assert all(OPAQUE.fullmatch(user) for user in (named, unnamed, elsewhere))
    assert len({named, unnamed, elsewhere}) == 3
    assert again == named
    assert b"alice" not in everything and wallet.address.encode() not in everything


async def test_the_record_keeps_the_callers_own_user() -> None:
    async with running() as router:
        wallet = await router.wallet("1")
        answer = await router.post(wallet, chat(user="u-1"))
        found = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)
    assert found["user"] == "u-1"


@pytest.mark.parametrize(("mode", "expected"), [("forward", "u-1"), ("omit", None)])
async def test_an_operator_says_what_a_provider_is_told(mode: str, expected: str | None) -> None:
    async with running(provider_extra=f'user = "{mode}"') as router:
        wallet = await router.wallet("1")
        assert await seen(router, wallet, user="u-1") == expected
        assert await seen(router, wallet) is None
