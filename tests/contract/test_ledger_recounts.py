"""What every store does with our own count of a call that came after its post."""

import pytest

from helpers.ledger_homes import Home, OnPostgres
from helpers.ledgers import START_MS, USD, WALLET, credit, fresh_id, hold, post, void
from tollway.domain.commands import Noted, NoteRecount, Refused
from tollway.domain.recount import Compared, Recount, RecountSums
from tollway.domain.usage import Usage
from tollway.ledger.postgres.desk import PostgresDesk
from tollway.ledger.sqlite.desk import SqliteDesk

OWN = Recount(
    vocabulary="o200k_base",
    own=Usage(prompt=11, completion=7),
    prompt=Compared(12, 11),
    completion=Compared(9, 7),
)
REPORTED = Usage(prompt=19, completion=9)
BY_BYTES = Usage(prompt=20, completion=5)


async def test_our_own_count_stands_beside_the_providers_and_survives_a_restart(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), post(call, USD, 0, usage=REPORTED, estimate=BY_BYTES))
    assert await home.one(NoteRecount(id=call, recount=OWN)) == Noted()
    noted = await home.ledger.call(WALLET, call)
    assert noted is not None
    assert (noted.usage, noted.estimate, noted.estimate_origin) == (REPORTED, OWN.own, "tokenizer")
    await home.restart()
    assert await home.ledger.call(WALLET, call) == noted


async def test_a_call_that_was_not_recounted_keeps_its_estimate_by_bytes(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), post(call, USD, 0, usage=REPORTED, estimate=BY_BYTES))
    kept = await home.ledger.call(WALLET, call)
    assert kept is not None
    assert (kept.estimate, kept.estimate_origin) == (BY_BYTES, "bytes")


async def test_the_first_recount_stays(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), post(call, USD, 0))
    other = Recount(vocabulary="llama3", own=Usage(prompt=1, completion=1))
    await home.one(NoteRecount(id=call, recount=OWN))
    assert await home.one(NoteRecount(id=call, recount=other)) == Noted()
    kept = await home.ledger.call(WALLET, call)
    assert kept is not None
    assert kept.estimate == OWN.own


async def test_a_recount_moves_no_money(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), post(call, USD // 2, USD // 4))
    before, entries = await home.available(), await home.entries()
    await home.one(NoteRecount(id=call, recount=OWN))
    assert (await home.available(), await home.entries()) == (before, entries)


@pytest.mark.parametrize("ended", [False, True])
async def test_only_a_posted_call_has_a_recount(home: Home, ended: bool) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), *([void(call)] if ended else []))
    assert await home.one(NoteRecount(id=call, recount=OWN)) == Refused(reason="unknown_hold")
    assert await home.one(NoteRecount(id=fresh_id(), recount=OWN)) == Refused(reason="unknown_hold")


async def test_a_call_found_by_the_providers_id_has_its_recount_and_its_delivery(home: Home) -> None:
    call = fresh_id()
    await home.apply(credit(USD), hold(USD, id=call), post(call, USD, 0, response_id="chatcmpl-1"))
    await home.one(NoteRecount(id=call, recount=OWN))
    found = await home.ledger.call(WALLET, "chatcmpl-1")
    assert found is not None
    assert (found.id, found.estimate) == (call, OWN.own)


@pytest.mark.parametrize("home", ["sqlite", "postgres"], indirect=True)  # those in memory can't be reached from outside
async def test_an_operator_sees_both_counts_by_provider_and_model(home: Home) -> None:
    desk = PostgresDesk(home.url) if isinstance(home, OnPostgres) else SqliteDesk(home.folder / "books.db")
    incomparable = Recount(vocabulary="o200k_base", own=Usage(prompt=500, completion=0), completion=Compared(30, 20))
    await home.one(credit(USD))
    for provider, recount in (("openai", OWN), ("openai", incomparable), ("other", OWN)):
        call = fresh_id()
        await home.apply(hold(9, id=call, model="gpt-4o"), post(call, 1, provider=provider))
        await home.one(NoteRecount(id=call, recount=recount))
    both, once = Compared(39, 27), Compared(12, 11)
    assert desk.recounts(START_MS) == [
        RecountSums(provider="openai", model="gpt-4o", calls=2, prompts=1, prompt=once, completions=2, completion=both),
        RecountSums(
            provider="other", model="gpt-4o", calls=1, prompts=1, prompt=once, completions=1, completion=Compared(9, 7)
        ),
    ]
    assert desk.recounts(START_MS + 1) == []
