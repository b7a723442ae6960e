"""Providers out of service: what every store of the books keeps of what an operator says of them."""

import pytest

from helpers.ledger_homes import Home
from helpers.ledgers import START_MS, USD, WALLET, credit
from tollway.domain.commands import Credited, Disabled, ProviderSet, SetProvider
from tollway.domain.errors import LedgerUnavailable

OFF = Disabled(since_ms=START_MS, why="errors since noon")
BARE = Disabled(since_ms=START_MS + 1)


async def test_every_provider_is_in_service_until_somebody_says_otherwise(home: Home) -> None:
    assert await home.ledger.disabled() == {}


async def test_what_was_said_is_so_at_once_and_after_a_restart(home: Home) -> None:
    told = await home.apply(SetProvider(provider="a", disabled=OFF), SetProvider(provider="b", disabled=BARE))
    assert told == [ProviderSet(), ProviderSet()]
    assert await home.ledger.disabled() == {"a": OFF, "b": BARE}
    await home.restart()
    assert await home.ledger.disabled() == {"a": OFF, "b": BARE}


async def test_the_last_word_holds_also_within_one_batch(home: Home) -> None:
    off, on = SetProvider(provider="a", disabled=OFF), SetProvider(provider="a", disabled=None)
    await home.apply(off, on)
    assert await home.ledger.disabled() == {}
    await home.restart()
    assert await home.ledger.disabled() == {}
    await home.apply(on, off, on, SetProvider(provider="a", disabled=BARE))
    await home.restart()
    assert await home.ledger.disabled() == {"a": BARE}


async def test_enabling_what_is_in_service_changes_nothing(home: Home) -> None:
    assert await home.one(SetProvider(provider="a", disabled=None)) == ProviderSet()
    assert await home.ledger.disabled() == {}


async def test_what_was_given_out_does_not_change_any_more(home: Home) -> None:
    await home.one(SetProvider(provider="a", disabled=OFF))
    before = await home.ledger.disabled()
    await home.one(SetProvider(provider="b", disabled=OFF))
    assert set(before) == {"a"}


async def test_a_provider_is_no_account_and_moves_no_money(home: Home) -> None:
    assert await home.apply(credit(USD), SetProvider(provider=WALLET, disabled=OFF)) == [
        Credited(available=USD),
        ProviderSet(),
    ]
    assert [entry.kind for entry in await home.entries()] == ["credit"]


async def test_a_closed_ledger_is_told_nothing(home: Home) -> None:
    await home.ledger.aclose()
    with pytest.raises(LedgerUnavailable):
        await home.one(SetProvider(provider="a", disabled=OFF))
