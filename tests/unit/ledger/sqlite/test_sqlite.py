"""The embedded store: group commit, loading on demand, what it keeps in memory, and who may open the file."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helpers.faulty_disk import FaultyDisk
from helpers.ledgers import OTHER, START_MS, WALLET, HandClock, WatchingObserver, burn, credit, fresh_id, hold, post
from helpers.until import until
from tollway.domain.commands import Burned, Credited, Held, Insufficient, NoteDelivery, Posted, Refused, Revoke
from tollway.domain.errors import LedgerLocked, LedgerUnavailable, LedgerUnusable
from tollway.ledger.control import socket_path
from tollway.ledger.sqlite import database, store
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.reader import Reader
from tollway.ledger.sqlite.store import SqliteLedger


class Setting:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = HandClock()
        self.disk = FaultyDisk()
        self.observer = WatchingObserver()

    async def open(self) -> SqliteLedger:
        self.ledger = await SqliteLedger.open(self.path, self.clock, self.observer, connect=self.disk)
        return self.ledger

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path / "books.db")
    await setting.open()
    yield setting
    await setting.ledger.aclose()
    assert audit(setting.path).clean


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids and accounts that were read from disk."""
    found: list[str] = []

    for name in ("account", "chain"):
        original = getattr(Reader, name)

        async def counted(self: Reader, wanted: str, original: object = original) -> object:
            found.append(wanted)
            return await original(self, wanted)  # type: ignore[operator]

        monkeypatch.setattr(Reader, name, counted)
    return found


async def test_whatever_is_queued_while_a_commit_runs_goes_into_the_next(setting: Setting) -> None:
    setting.disk.pause()
    first = asyncio.create_task(setting.ledger.apply([credit(1)]))
    await setting.disk.until_waiting()
    others = [asyncio.create_task(setting.ledger.apply([credit(1, id=fresh_id(START_MS + 1))])) for _ in range(30)]
    for _ in range(3):
        await asyncio.sleep(0)
    setting.disk.resume()
    await asyncio.gather(first, *others)
    assert setting.observer.commits == [1, 30]


@pytest.mark.parametrize("during_a_commit", [False, True])
async def test_a_hold_rides_with_the_next_commit_that_somebody_waits_for(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, during_a_commit: bool
) -> None:
    monkeypatch.setattr(store, "RIDE_S_MAX", 3600.0)
    if during_a_commit:
        setting.disk.pause()
    credited = asyncio.create_task(setting.ledger.apply([credit(1000)]))
    if during_a_commit:
        await setting.disk.until_waiting()
    else:
        await credited
    held = hold(5)
    assert await setting.ledger.apply([held]) == [Held(amount=5, available=995)]
    setting.disk.resume()
    await credited
    for _ in range(5):
        await asyncio.sleep(0)  # were it to be handed over by itself, it would be now
    await setting.ledger.apply([post(held.id, 3)])
    assert setting.observer.commits == [1, 2]


async def test_a_hold_that_nothing_comes_after_is_on_disk_all_the_same(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await setting.ledger.apply([credit(1000)])
    monkeypatch.setattr(store, "RIDE_S_MAX", 0.0)
    await setting.ledger.apply([hold(5)])
    await until(lambda: setting.observer.commits == [1, 1])
    assert setting.rows("SELECT amount FROM transfers WHERE kind = 'hold'") == [(5,)]


async def test_a_hold_whose_time_is_up_while_a_commit_runs_is_on_disk_after_it(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RIDE_S_MAX", 0.0)
    setting.disk.pause()
    credited = asyncio.create_task(setting.ledger.apply([credit(1000)]))
    await setting.disk.until_waiting()
    await setting.ledger.apply([hold(5)])
    for _ in range(5):
        await asyncio.sleep(0)  # the timer has run, and could hand nothing over
    setting.disk.resume()
    await credited
    await until(lambda: setting.observer.commits == [1, 1])
    assert setting.rows("SELECT amount FROM transfers WHERE kind = 'hold'") == [(5,)]


async def posted(setting: Setting) -> str:
    held = hold(5)
    await setting.ledger.apply([held])
    await setting.ledger.apply([post(held.id, 3, delivery="unknown")])
    return held.id


async def test_a_word_of_delivery_is_known_at_once_and_written_with_others_of_its_kind(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RIDE_S_MAX", 3600.0)
    await setting.ledger.apply([credit(1000)])
    ids = []
    for _ in range(2):  # the second post's commit leaves the first word alone
        ids.append(await posted(setting))
        await setting.ledger.apply([NoteDelivery(id=ids[-1], delivery="complete")])
    assert setting.rows("SELECT count(*) FROM deliveries") == [(0,)]
    for own in ids:
        call = await setting.ledger.call(WALLET, own)
        assert call is not None and call.delivery == "complete"
    await setting.ledger.aclose()
    assert setting.observer.commits == [1, 2, 2, 2]  # the words: with nothing else to write, they go
    assert setting.rows("SELECT delivery FROM deliveries") == [("complete",), ("complete",)]


async def test_a_word_of_delivery_whose_time_is_up_rides_with_the_next_commit(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RIDE_S_MAX", 0.0)
    await setting.ledger.apply([credit(1000)])
    own = await posted(setting)
    setting.disk.pause()
    credited = asyncio.create_task(setting.ledger.apply([credit(1000)]))
    await setting.disk.until_waiting()
    await setting.ledger.apply([NoteDelivery(id=own, delivery="complete")])
    for _ in range(5):
        await asyncio.sleep(0)  # the timer has run, and could hand nothing over
    another = asyncio.create_task(setting.ledger.apply([credit(1000)]))
    await asyncio.sleep(0)
    setting.disk.resume()
    await asyncio.gather(credited, another)
    assert setting.observer.commits[-1] == 2
    assert setting.rows("SELECT delivery FROM deliveries") == [("complete",)]


async def test_a_short_batch_does_not_wait_for_more(setting: Setting) -> None:
    for _ in range(5):
        await setting.ledger.apply([credit(1)])
    assert setting.observer.commits == [1] * 5


async def test_a_hold_is_answered_before_it_is_on_disk_and_a_post_only_after(setting: Setting) -> None:
    call = fresh_id(START_MS + 1)
    await setting.ledger.apply([credit(10)])
    setting.disk.pause()
    assert await setting.ledger.apply([hold(5, id=call)]) == [Held(amount=5, available=5)]
    await setting.disk.until_waiting()
    posting = asyncio.create_task(setting.ledger.apply([post(call, 5)]))
    done, _ = await asyncio.wait([posting], timeout=0.05)
    assert not done
    setting.disk.resume()
    assert await posting == [Posted(charged=5, loss=0, available=5)]


async def test_a_repeated_post_is_not_answered_before_the_first_is_on_disk(setting: Setting) -> None:
    call = fresh_id()
    await setting.ledger.apply([credit(10), hold(5, id=call)])
    setting.disk.pause()
    posting = [asyncio.create_task(setting.ledger.apply([post(call, 5)])) for _ in range(2)]
    await setting.disk.until_waiting()
    done, _ = await asyncio.wait(posting, timeout=0.05)
    assert not done
    setting.disk.resume()
    assert await asyncio.gather(*posting) == [[Posted(charged=5, loss=0, available=5)]] * 2


async def test_a_cancelled_sender_does_not_undo_what_was_booked(setting: Setting) -> None:
    setting.disk.pause()
    sending = asyncio.create_task(setting.ledger.apply([credit(10, id="c-1")]))
    await setting.disk.until_waiting()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    setting.disk.resume()
    assert await setting.ledger.apply([credit(10, id="c-1")]) == [Credited(available=10)]


async def test_fresh_ids_cost_no_read(setting: Setting, reads: list[str]) -> None:
    await setting.ledger.apply([credit(100)])
    call = fresh_id(START_MS + 1)
    await setting.ledger.apply([hold(0, id=call), post(call, 0)])
    reads.clear()
    for _ in range(20):
        call = fresh_id(START_MS + 2)
        await setting.ledger.apply([hold(1, id=call)])
        await setting.ledger.apply([post(call, 1)])
    assert reads == []


async def test_concurrent_loads_of_an_account_share_one_read(setting: Setting, reads: list[str]) -> None:
    await setting.ledger.apply([credit(100)])
    await setting.ledger.aclose()
    await setting.open()
    reads.clear()
    await asyncio.gather(*(setting.ledger.apply([hold(1, id=fresh_id(START_MS + 1))]) for _ in range(20)))
    assert reads == [WALLET]


async def test_of_several_commands_none_is_entered_before_all_that_they_read_is_loaded(setting: Setting) -> None:
    burned = burn("n")
    result = await setting.ledger.apply([burned, credit(7, OTHER)])  # the account has never been asked for
    assert result == [Burned(), Credited(available=7)]
    assert await setting.ledger.apply([burned]) == [Refused(reason="nonce_used")]


async def test_a_load_shared_by_many_survives_the_one_who_gave_up(setting: Setting) -> None:
    await setting.ledger.apply([credit(100)])
    await setting.ledger.aclose()
    await setting.open()
    holding = [asyncio.create_task(setting.ledger.apply([hold(1, id=fresh_id(START_MS + 1))])) for _ in range(3)]
    await asyncio.sleep(0)
    holding[0].cancel()
    results = await asyncio.gather(*holding, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [[Held(amount=1, available=99)], [Held(amount=1, available=98)]]


async def test_chains_that_left_memory_answer_from_disk(
    setting: Setting, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RECENT_CHAINS", 4)
    await setting.ledger.apply([credit(100)])
    calls = [fresh_id(START_MS + number) for number in range(30)]
    for call in calls:
        await setting.ledger.apply([hold(2, id=call), post(call, 1)])
    reads.clear()
    first, newest = await setting.ledger.apply([post(calls[0], 1), post(calls[-1], 1)])
    assert reads == [calls[0]]
    assert (first, newest) == (Posted(charged=1, loss=0, available=99), Posted(charged=1, loss=0, available=70))
    assert await setting.ledger.apply([post(calls[1], 2)]) == [Refused(reason="id_reused")]


async def test_accounts_that_left_memory_are_loaded_again(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ACCOUNTS_MAX", 8)
    wallets = [f"eip155:0x{number:040x}" for number in range(40)]
    calls = {wallet: fresh_id(START_MS + 1) for wallet in wallets}
    for number, wallet in enumerate(wallets):
        await setting.ledger.apply([credit(100 + number, wallet), hold(10, account=wallet, id=calls[wallet])])
    assert len(setting.ledger._books.accounts) < 20
    for number, wallet in enumerate(wallets):
        assert await setting.ledger.apply([post(calls[wallet], 5)]) == [
            Posted(charged=5, loss=0, available=95 + number)
        ]


async def test_a_strangers_hold_leaves_nothing_on_disk(setting: Setting) -> None:
    assert await setting.ledger.apply([hold(1)]) == [Insufficient(available=0)]
    await setting.ledger.apply([credit(1, OTHER)])
    assert (WALLET,) not in setting.rows("SELECT id FROM accounts")


async def test_holds_are_refused_when_too_much_waits_for_the_disk(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await setting.ledger.apply([credit(100)])
    monkeypatch.setattr(store, "QUEUE_COMMANDS_MAX", 3)
    setting.disk.pause()
    call = fresh_id(START_MS + 1)
    await setting.ledger.apply([hold(1, id=call)])
    await setting.disk.until_waiting()
    for _ in range(3):
        await setting.ledger.apply([hold(1, id=fresh_id(START_MS + 1))])
    with pytest.raises(LedgerUnavailable, match="behind"):
        await setting.ledger.apply([hold(1, id=fresh_id(START_MS + 1))])
    posting = asyncio.create_task(setting.ledger.apply([post(call, 1)]))
    await asyncio.sleep(0)
    setting.disk.resume()
    assert await posting == [Posted(charged=1, loss=0, available=96)]


async def test_closing_commits_what_is_queued(setting: Setting) -> None:
    await setting.ledger.apply([credit(100)])
    waiting = asyncio.create_task(setting.ledger.apply([credit(5, id=fresh_id(START_MS + 1))]))
    await asyncio.sleep(0)
    await setting.ledger.apply([hold(1, id=fresh_id(START_MS + 1))])
    await setting.ledger.aclose()
    assert await waiting == [Credited(available=105)]
    assert setting.rows("SELECT count(*) FROM transfers WHERE kind = 'hold'") == [(1,)]
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.statement(WALLET, limit=1)


async def test_expired_nonces_leave_the_disk_and_stay_refused(setting: Setting) -> None:
    await setting.ledger.apply([burn("old"), burn("new", expires_ms=START_MS + 10**9)])
    setting.clock.ms += 400_000
    await setting.ledger.apply([credit(1)])
    assert setting.rows("SELECT nonce FROM nonces") == [("new",)]
    await setting.ledger.aclose()
    setting.clock.ms -= 400_000
    await setting.open()
    assert await setting.ledger.apply([burn("old")]) == [Refused(reason="nonce_used")]
    assert await setting.ledger.apply([burn("new", OTHER, expires_ms=START_MS + 10**9)]) == [Burned()]


async def test_old_revocations_leave_the_disk(setting: Setting) -> None:
    await setting.ledger.apply([Revoke(account=WALLET, message_hash="h", expires_ms=START_MS)])
    setting.clock.ms += 86_400_000
    await setting.ledger.apply([credit(1)])
    assert setting.rows("SELECT * FROM revocations") == []
    assert not await setting.ledger.revoked("h")


async def test_each_opening_is_an_epoch(setting: Setting) -> None:
    for _ in range(2):
        await setting.ledger.apply([credit(9), hold(3, id=fresh_id())])
        await setting.ledger.aclose()
        await setting.open()
    assert setting.rows("SELECT count(*) FROM epochs") == [(3,)]
    assert setting.rows("SELECT epoch FROM transfers WHERE kind = 'hold'") == [(1,), (2,)]
    assert audit(setting.path).unsettled == 2


async def test_one_process_at_a_time_owns_the_books(setting: Setting) -> None:
    with pytest.raises(LedgerLocked, match=f"process {os.getpid()}.*control socket"):
        await SqliteLedger.open(setting.path, setting.clock, setting.observer)
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tollway.domain.clock import SystemClock; from tollway.domain.observer import NullObserver\n"
        "from tollway.ledger.sqlite.store import SqliteLedger\n"
        "asyncio.run(SqliteLedger.open(Path(sys.argv[1]), SystemClock(), NullObserver()))\n"
    )
    other = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, setting.path], capture_output=True, text=True, timeout=30
    )
    assert other.returncode and "LedgerLocked: Another tollway" in other.stderr


async def test_the_books_are_the_same_by_whichever_link_they_are_opened(setting: Setting, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(setting.path)
    with pytest.raises(LedgerLocked):
        await SqliteLedger.open(link, setting.clock, setting.observer)
    assert socket_path(link) == socket_path(setting.path)
    await setting.ledger.aclose()
    setting.ledger = await SqliteLedger.open(link, setting.clock, setting.observer)
    assert await setting.ledger.apply([credit(1)]) == [Credited(available=1)]
    assert sorted(path.name for path in link.parent.iterdir()) == ["link.db"]


async def test_the_files_are_for_their_owner_only(setting: Setting) -> None:
    await setting.ledger.apply([credit(1)])
    for path in setting.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(LedgerUnusable, match="not a tollway ledger"):
        await Setting(path).open()


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, and long enough to be told apart from an empty one" * 20)
    with pytest.raises(LedgerUnusable):
        await Setting(path).open()
    assert path.read_text().startswith("not a database")


async def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SQLITE_VERSION_MIN", (99, 0, 0))
    with pytest.raises(LedgerUnusable, match="too old"):
        await Setting(tmp_path / "books.db").open()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="nowhere"):
        await Setting(tmp_path / "nowhere" / "books.db").open()


async def test_books_that_do_not_balance_are_not_opened(setting: Setting) -> None:
    await setting.ledger.apply([credit(100)])
    await setting.ledger.aclose()
    change = "UPDATE accounts SET credits_posted = credits_posted + {} WHERE id LIKE 'eip155:%'"
    for amount, opens in ((1, False), (-1, True)):
        connection = sqlite3.connect(setting.path)
        connection.execute(change.format(amount))
        connection.commit()
        connection.close()
        if opens:
            await setting.open()
        else:
            with pytest.raises(LedgerUnusable, match="don't balance"):
                await setting.open()
