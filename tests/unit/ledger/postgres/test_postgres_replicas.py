"""Several processes on one database: no money twice, one word on nonces and revocations, and the dead give back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from helpers.ledgers import (
    OTHER,
    START_MS,
    USD,
    WALLET,
    HandClock,
    WatchingObserver,
    burn,
    credit,
    fresh_id,
    hold,
    post,
    void,
)
from helpers.postgres import Server
from helpers.until import until
from tollway.config.places import LedgerUrl
from tollway.domain.commands import (
    Burned,
    Credited,
    Disabled,
    Held,
    Insufficient,
    Noted,
    NoteDelivery,
    Posted,
    ProviderSet,
    Refused,
    Result,
    Revoke,
    Revoked,
    SetProvider,
    Voided,
)
from tollway.domain.errors import LedgerUnavailable
from tollway.ledger import operator
from tollway.ledger.postgres.store import PostgresLedger

WORKERS = 64


class Replicas:
    """Stores on one database."""

    def __init__(self, server: Server, url: LedgerUrl, stack: AsyncExitStack) -> None:
        self.server = server
        self.url = url
        self.stack = stack
        self.clock = HandClock()
        self.observer = WatchingObserver()

    async def open(self, lease_s: float = 30.0) -> PostgresLedger:
        ledger = await PostgresLedger.open(self.url, self.clock, self.observer, lease_s=lease_s)
        self.stack.push_async_callback(ledger.aclose)
        return ledger

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return self.server.execute(sql, self.url)


@pytest.fixture
async def replicas(postgres: Callable[[], Server]) -> AsyncIterator[Replicas]:
    with postgres().database() as url:
        async with AsyncExitStack() as stack:
            yield Replicas(postgres(), url, stack)
        assert operator.audit(url).clean


async def one(ledger: PostgresLedger, command: object) -> Result:
    return (await ledger.apply([command]))[0]  # type: ignore[list-item]


async def test_two_replicas_with_64_workers_each_never_overspend_a_wallet_by_one_nano_usd(replicas: Replicas) -> None:
    ledgers = [await replicas.open(), await replicas.open()]
    # Enough for 99 of the 256 holds, and not quite for the hundredth.
    await one(ledgers[0], credit(100 * 7 - 1))

    async def work(ledger: PostgresLedger) -> list[Result]:
        return [await one(ledger, hold(7)) for _ in range(2)]

    answers = await asyncio.gather(*(work(ledger) for ledger in ledgers for _ in range(WORKERS)))
    results = [result for answer in answers for result in answer]
    assert sum(isinstance(result, Held) for result in results) == 99
    assert sum(isinstance(result, Insufficient) for result in results) == 4 * WORKERS - 99
    for ledger in ledgers:
        balance = await ledger.balance(WALLET)
        assert balance is not None and balance.available == 6


async def test_whole_calls_of_two_replicas_leave_the_sum_that_their_answers_say(replicas: Replicas) -> None:
    ledgers = [await replicas.open(), await replicas.open()]
    for wallet in (WALLET, OTHER):
        await one(ledgers[0], credit(USD, wallet))

    async def call(ledger: PostgresLedger, number: int) -> int:
        own, wallet = fresh_id(), (WALLET, OTHER)[number % 2]
        assert isinstance(await one(ledger, hold(1000, account=wallet, id=own)), Held)
        if number % 5 == 0:
            assert isinstance(await one(ledger, void(own, account=wallet)), Voided)
            return 0
        posted = await one(ledger, post(own, 700, 500, provider=("a", "b")[number % 3 == 0], account=wallet))
        assert isinstance(posted, Posted)
        return posted.charged

    numbered = [call(ledger, number) for ledger in ledgers for number in range(2 * WORKERS)]
    charged = sum(await asyncio.gather(*numbered))
    revenue = await ledgers[1].balance("router:revenue")
    spent = [await ledgers[0].balance(wallet) for wallet in (WALLET, OTHER)]
    assert revenue is not None and revenue.credits_posted == charged * 2 // 7
    assert sum(balance.debits_posted for balance in spent if balance is not None) == charged
    # Each process moved a row of its own, and together they are one account.
    assert replicas.rows("SELECT count(*) FROM tollway.accounts WHERE id = 'router:revenue'") == [(2,)]


async def test_a_hold_may_be_ended_by_another_replica_and_goes_back_where_it_was_made(replicas: Replicas) -> None:
    first, second = await replicas.open(), await replicas.open()
    calls = [fresh_id() for _ in range(3)]
    await first.apply([credit(USD), *(hold(100, id=own) for own in calls)])
    assert isinstance(await one(second, post(calls[0], 60, 50)), Posted)
    assert isinstance(await one(second, void(calls[1])), Voided)
    assert await one(second, NoteDelivery(id=calls[0], delivery="complete")) == Noted()
    pending = "SELECT shard, credits_pending FROM tollway.accounts WHERE id = 'router:revenue' ORDER BY shard"
    assert replicas.rows(pending) == [(1, 100)]
    # Whichever of them is asked, and however often, the answer is the same.
    assert await one(first, post(calls[0], 60, 50)) == await one(second, post(calls[0], 60, 50))
    assert await one(first, void(calls[0])) == Refused(reason="already_posted")


async def test_one_id_on_two_replicas_at_once_is_booked_once(replicas: Replicas) -> None:
    ledgers = [await replicas.open(), await replicas.open()]
    await one(ledgers[0], credit(USD))
    for _ in range(20):
        own = fresh_id()
        # A wallet that exists, and one that both of them would be the first to book for.
        command = credit(5, f"eip155:0x{own.replace('-', '')[-30:]:0>40}", id=own)
        assert set(await asyncio.gather(*(one(ledger, command) for ledger in ledgers))) == {Credited(available=5)}
        hold_id = fresh_id()
        holds = await asyncio.gather(*(one(ledger, hold(3, id=hold_id)) for ledger in ledgers))
        assert holds[0] == holds[1] and isinstance(holds[0], Held)


async def test_a_nonce_is_burned_by_one_replica_alone(replicas: Replicas) -> None:
    ledgers = [await replicas.open(), await replicas.open()]
    for number in range(20):
        answers = await asyncio.gather(*(one(ledger, burn(f"n{number}")) for ledger in ledgers))
        assert sorted(answers, key=repr) == [Burned(), Refused(reason="nonce_used")]


async def test_a_nonce_that_one_replica_has_forgotten_is_refused_by_all(replicas: Replicas) -> None:
    first, second = await replicas.open(), await replicas.open()
    assert await one(first, burn("n", expires_ms=START_MS + 1)) == Burned()
    await first._session.forget(START_MS + 10)
    assert replicas.rows("SELECT count(*) FROM tollway.nonces") == [(0,)]
    assert await one(second, burn("n", expires_ms=START_MS + 1)) == Refused(reason="nonce_used")


async def test_a_revocation_holds_on_every_replica_as_soon_as_it_is_answered(replicas: Replicas) -> None:
    first, second = await replicas.open(), await replicas.open()
    for number in range(20):
        word = f"{number:064x}"
        assert not await second.revoked(word)
        assert await one(first, Revoke(account=WALLET, message_hash=word, expires_ms=START_MS + 1000)) == Revoked()
        assert await second.revoked(word)


async def test_many_who_ask_about_revocations_share_few_looks(replicas: Replicas) -> None:
    ledger = await replicas.open()
    await one(ledger, Revoke(account=WALLET, message_hash="7" * 64, expires_ms=START_MS + 1000))
    before = replicas.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    said = await asyncio.gather(*(ledger.revoked(f"{number % 10}" * 64) for number in range(500)))
    assert [number % 10 == 7 for number in range(500)] == said
    after = replicas.rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    assert after[0][0] <= before[0][0] + 1  # type: ignore[operator]  # one connection looks for all of them


async def test_a_provider_that_one_replica_disabled_is_disabled_on_all(replicas: Replicas) -> None:
    first, second = await replicas.open(), await replicas.open()
    off = Disabled(since_ms=START_MS, why="errors")
    assert await one(first, SetProvider(provider="a", disabled=off)) == ProviderSet()
    assert await second.disabled() == {"a": off}
    await operator.set_provider(replicas.url, "a", disabled=False)
    assert await first.disabled() == {} == await second.disabled()


async def test_secrets_are_the_same_on_every_replica(replicas: Replicas) -> None:
    ledgers = [await replicas.open(), await replicas.open()]
    said = await asyncio.gather(*(ledger.secret("nonces") for ledger in ledgers * 4))
    assert len(set(said)) == 1 and len(said[0]) == 32


# --- leases


async def stopped_without_a_word(ledger: PostgresLedger) -> None:
    """As when its process is killed: nothing is given back, nothing closed in the books."""
    for task in ledger._tasks:
        task.cancel()
    await asyncio.gather(*ledger._tasks, return_exceptions=True)
    ledger._phase = "closed"
    await ledger._session.close()
    await ledger._reads.aclose()


async def test_what_a_dead_process_held_is_given_back_by_another_when_its_lease_ends(replicas: Replicas) -> None:
    dead, living = await replicas.open(), await replicas.open(lease_s=0.2)
    kept, lost = fresh_id(), fresh_id()
    await one(dead, credit(1000))
    await one(dead, hold(300, id=lost))
    await one(living, hold(200, id=kept))
    await stopped_without_a_word(dead)
    assert (await living.balance(WALLET)).available == 500  # type: ignore[union-attr]  # the lease has not ended
    replicas.rows("UPDATE tollway.epochs SET alive_until = now() WHERE shard = 1 RETURNING no")
    await replicas.observer.until("ledger_lease_ended")
    own = "SELECT debits_pending FROM tollway.accounts WHERE id LIKE 'eip155:%'"
    await until(lambda: replicas.rows(own) == [(200,)])  # its own hold stays
    report = operator.audit(replicas.url)
    assert (report.clean, report.expired, report.unsettled, report.pending) == (True, 1, 1, 1)
    # Its post comes late: it is booked, from what is free.
    assert await one(living, post(lost, 250, 200)) == Posted(charged=250, loss=0, available=550, late=True)


async def test_a_process_that_was_only_paused_begins_a_new_epoch_and_its_posts_are_late(replicas: Replicas) -> None:
    paused, other = await replicas.open(), await replicas.open()
    own = fresh_id()
    await paused.apply([credit(1000), hold(300, id=own)])
    await other.aclose()
    replicas.rows("UPDATE tollway.epochs SET alive_until = now(), ended_at = now() WHERE shard = 1 RETURNING no")
    awake = await replicas.open()
    await awake._do_chores()
    assert (await awake.balance(WALLET)).available == 1000  # type: ignore[union-attr]
    assert isinstance(await one(paused, hold(100)), Held)
    assert await one(paused, post(own, 300, 200)) == Posted(charged=300, loss=0, available=600, late=True)
    assert replicas.rows("SELECT count(*) FROM tollway.epochs WHERE ended_at IS NULL") == [(2,)]


async def test_a_process_that_ends_gives_back_what_it_held_at_once(replicas: Replicas) -> None:
    first, second = await replicas.open(), await replicas.open()
    await first.apply([credit(1000), *(hold(1) for _ in range(700))])
    await first.aclose()
    assert (await second.balance(WALLET)).available == 1000  # type: ignore[union-attr]
    assert replicas.rows("SELECT cleared FROM tollway.epochs ORDER BY no") == [(True,), (False,)]
    with pytest.raises(LedgerUnavailable, match="closed"):
        await one(first, hold(1))


async def test_a_shard_is_used_again_by_a_later_process(replicas: Replicas) -> None:
    for _ in range(3):
        ledger = await replicas.open()
        own = fresh_id()
        await ledger.apply([credit(10), hold(5, id=own), post(own, 5, 3)])
        await ledger.aclose()
    assert replicas.rows("SELECT shard FROM tollway.accounts WHERE id = 'router:revenue'") == [(1,)]
