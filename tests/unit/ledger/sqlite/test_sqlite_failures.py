"""When the disk fails: what was answered is so, what was refused is not, and the books go on when the disk does."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helpers.faulty_disk import Fault, FaultyDisk
from helpers.ledgers import START_MS, WALLET, HandClock, WatchingObserver, burn, credit, fresh_id, hold, post, void
from tollway.domain.commands import Burned, Credited, Disabled, Held, Posted, Refused, Revoke, SetProvider, Voided
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable, LedgerUnusable
from tollway.ledger.sqlite import reader
from tollway.ledger.sqlite.audit import audit
from tollway.ledger.sqlite.patience import Patience
from tollway.ledger.sqlite.store import SqliteLedger


class Setting:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = FaultyDisk()
        self.observer = WatchingObserver()

    async def open(self) -> None:
        self.ledger = await SqliteLedger.open(self.path, HandClock(), self.observer, connect=self.disk)

    async def available(self) -> int:
        balance = await self.ledger.balance(WALLET)
        return balance.available if balance is not None else 0

    async def mend(self) -> None:
        self.disk.fault, self.disk.stuck, self.disk.pages_max = "none", False, 0
        await self.observer.until("ledger_recovered")


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path / "books.db")
    await setting.open()
    await setting.ledger.apply([credit(1000)])
    yield setting
    await setting.ledger.aclose()
    report = audit(setting.path)
    assert report.clean, report.differences


@pytest.mark.parametrize("fault", ["full", "before_commit"])
async def test_a_commit_that_fails_books_nothing_of_what_was_in_it_or_queued(setting: Setting, fault: Fault) -> None:
    setting.disk.fault = fault
    setting.disk.pause()
    in_batch = asyncio.create_task(setting.ledger.apply([credit(5)]))
    await setting.disk.until_waiting()
    queued = [asyncio.create_task(setting.ledger.apply([credit(7)])) for _ in range(5)]
    await asyncio.sleep(0)
    setting.disk.resume()
    results = await asyncio.gather(in_batch, *queued, return_exceptions=True)
    assert [type(result) for result in results] == [LedgerUnavailable] * 6
    await setting.mend()
    assert await setting.available() == 1000


async def test_after_a_failure_too_another_program_leaves_the_log_in_its_place(setting: Setting) -> None:
    setting.disk.fault = "full"
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([credit(5)])
    await setting.mend()
    await setting.ledger.apply([credit(7)])
    visit = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM state'); c.close()"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", visit, setting.path], check=True, timeout=30)
    log = setting.path.with_name(setting.path.name + "-wal")
    assert log.exists()  # it would go with the program that takes itself for the last, and later commits with it
    await setting.ledger.apply([credit(11)])
    assert (await setting.ledger.balance(WALLET)).credits_posted == 1018  # type: ignore[union-attr]


async def test_holds_are_refused_until_a_probe_has_been_committed(setting: Setting) -> None:
    setting.disk.fault = "full"
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([credit(5)])
    with pytest.raises(LedgerUnavailable) as refused:
        await setting.ledger.apply([hold(5)])
    assert refused.value.retry_after_ms
    await setting.observer.until("ledger_still_down")
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([hold(5)])
    await setting.mend()
    assert await setting.ledger.apply([hold(5)]) == [Held(amount=5, available=995)]
    names = [name for name, _ in setting.observer.alarms]
    assert names[0] == "ledger_commit_refused" and names[-1] == "ledger_recovered"


async def test_a_hold_whose_row_never_reached_the_disk_cannot_be_posted(setting: Setting) -> None:
    lost, kept = fresh_id(), fresh_id()
    await setting.ledger.apply([hold(100, id=kept), burn("settles")])
    setting.disk.fault = "full"
    assert await setting.ledger.apply([hold(100, id=lost)]) == [Held(amount=100, available=800)]
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([post(lost, 50)])
    await setting.mend()
    assert await setting.ledger.apply([post(lost, 50)]) == [Refused(reason="unknown_hold")]
    assert await setting.ledger.apply([post(kept, 50)]) == [Posted(charged=50, loss=0, available=950)]


async def test_a_hold_whose_post_was_refused_stays_its_owners_to_void(setting: Setting) -> None:
    call = fresh_id()
    await setting.ledger.apply([hold(100, id=call), burn("settles")])
    setting.disk.fault = "full"
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([post(call, 50)])
    await setting.mend()
    assert await setting.available() == 900
    assert await setting.ledger.apply([void(call)]) == [Voided(available=1000)]


async def test_a_commit_that_succeeded_though_it_reported_an_error_counts(setting: Setting) -> None:
    call = fresh_id()
    await setting.ledger.apply([hold(100, id=call)])
    setting.disk.fault = "after_commit"
    assert await setting.ledger.apply([post(call, 50)]) == [Posted(charged=50, loss=0, available=950)]
    setting.disk.fault = "none"
    assert await setting.ledger.apply([credit(5)]) == [Credited(available=955)]
    assert not setting.observer.alarms


@pytest.mark.parametrize(("fault", "booked"), [("before_commit", False), ("after_commit", True)])
async def test_an_unknown_outcome_is_told_truthfully_when_asked_again(
    setting: Setting, fault: Fault, booked: bool
) -> None:
    call = fresh_id()
    await setting.ledger.apply([hold(100, id=call), burn("settles")])
    setting.disk.fault, setting.disk.stuck = fault, True
    revoke, off = Revoke(account=WALLET, message_hash="h", expires_ms=START_MS), Disabled(since_ms=START_MS)
    commands = [post(call, 50), burn("n"), revoke, SetProvider(provider="p", disabled=off)]
    with pytest.raises(LedgerOutcomeUnknown):
        await setting.ledger.apply(commands)
    for command in commands:
        with pytest.raises(LedgerOutcomeUnknown):
            await setting.ledger.apply([command])
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([hold(5)])
    await setting.mend()
    assert await setting.available() == (950 if booked else 900)
    assert await setting.ledger.revoked("h") is booked
    assert await setting.ledger.disabled() == ({"p": off} if booked else {})
    posted, burned = await setting.ledger.apply([post(call, 50), burn("n")])
    assert posted == Posted(charged=50, loss=0, available=950)
    assert burned == (Refused(reason="nonce_used") if booked else Burned())
    assert await setting.available() == 950


def impatient(ledger: SqliteLedger, seconds: float) -> None:
    ledger._patience.close()
    ledger._patience = Patience(asyncio.get_running_loop(), ledger._on_silence, seconds)


@pytest.mark.parametrize("booked", [False, True])
async def test_a_disk_that_does_not_answer_keeps_nobody_waiting_for_ever(setting: Setting, booked: bool) -> None:
    call = fresh_id()
    await setting.ledger.apply([hold(100, id=call), burn("settles")])
    impatient(setting.ledger, 0.05)
    setting.disk.fault = "none" if booked else "full"
    setting.disk.pause()
    with pytest.raises(LedgerOutcomeUnknown):
        await setting.ledger.apply([post(call, 50)])
    with pytest.raises(LedgerOutcomeUnknown):
        await setting.ledger.apply([post(call, 50)])
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([hold(5)])
    assert not setting.ledger.ready
    setting.disk.fault = "none" if booked else "full"
    setting.disk.resume()
    if not booked:
        await setting.observer.until("ledger_commit_refused")
    await setting.mend()
    assert await setting.available() == (950 if booked else 900)
    assert await setting.ledger.apply([post(call, 50)]) == [Posted(charged=50, loss=0, available=950)]
    assert [name for name, _ in setting.observer.alarms].count("ledger_recovered") == 1


async def test_a_disk_that_is_slow_and_answers_is_waited_for(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting.ledger._patience, "_seconds", 30.0)
    for _ in range(3):
        setting.disk.pause()
        waiting = asyncio.create_task(setting.ledger.apply([credit(5)]))
        await setting.disk.until_waiting()
        setting.disk.resume()
        await waiting
    assert await setting.available() == 1015
    assert not setting.observer.alarms


async def test_a_file_that_does_not_answer_is_one_that_cannot_be_read(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "READ_S_MAX", 0.05)
    answers = threading.Event()
    stuck = asyncio.create_task(setting.ledger._reader._run(lambda file: answers.wait(10)))
    with pytest.raises(LedgerUnavailable):
        await stuck
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.statement(WALLET, limit=1)
    assert {name for name, _ in setting.observer.alarms} == {"ledger_read_failed"}
    answers.set()
    monkeypatch.setattr(reader, "READ_S_MAX", 10.0)
    assert len((await setting.ledger.statement(WALLET, limit=1)).entries) == 1


async def test_what_was_queued_behind_an_unknown_outcome_is_refused_for_certain(setting: Setting) -> None:
    setting.disk.fault = "after_commit"
    setting.disk.pause()
    first = asyncio.create_task(setting.ledger.apply([credit(5, id="c-1")]))
    await setting.disk.until_waiting()
    second = asyncio.create_task(setting.ledger.apply([credit(7, id="c-2")]))
    await asyncio.sleep(0)
    setting.disk.stuck = True
    setting.disk.resume()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [LedgerOutcomeUnknown, LedgerUnavailable]
    await setting.mend()
    assert await setting.available() == 1005
    assert await setting.ledger.apply([credit(5, id="c-1")]) == [Credited(available=1005)]
    assert await setting.ledger.apply([credit(7, id="c-2")]) == [Credited(available=1012)]


async def test_a_full_disk_refuses_and_recovers_when_there_is_room_for_a_large_batch(setting: Setting) -> None:
    await setting.ledger.aclose()
    setting.disk.pages_max = 40
    await setting.open()
    with pytest.raises(LedgerUnavailable):
        for _ in range(1000):
            call = fresh_id()
            await setting.ledger.apply([hold(0, id=call), post(call, 0, user="u" * 2000)])
    await setting.observer.until("ledger_still_down")
    assert "full" in setting.observer.alarms[0][1]
    report = audit(setting.path)
    assert report.clean and report.posts > 0
    await setting.mend()
    call = fresh_id()
    assert await setting.ledger.apply([hold(7, id=call), post(call, 7, user="u" * 2000)]) == [
        Held(amount=7, available=993),
        Posted(charged=7, loss=0, available=993),
    ]


async def test_answers_that_were_given_before_a_failure_are_kept(setting: Setting) -> None:
    calls = [fresh_id() for _ in range(20)]
    for call in calls:
        await setting.ledger.apply([hold(10, id=call), post(call, 10)])
    setting.disk.fault = "before_commit"
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([credit(1)])
    await setting.mend()
    again = await setting.ledger.apply([post(call, 10) for call in calls])
    assert [result.available for result in again if isinstance(result, Posted)] == list(range(990, 790, -10))


async def test_closing_while_commits_fail_ends(setting: Setting) -> None:
    setting.disk.fault = "full"
    waiting = asyncio.create_task(setting.ledger.apply([credit(5)]))
    await asyncio.sleep(0)
    await setting.ledger.aclose()
    with pytest.raises(LedgerUnavailable):
        await waiting
    setting.disk.fault = "none"


async def test_a_secret_that_could_not_be_kept_is_made_anew(setting: Setting) -> None:
    setting.disk.fault = "full"
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.secret("nonces")
    await setting.mend()
    secret = await setting.ledger.secret("nonces")
    await setting.ledger.aclose()
    await setting.open()
    assert await setting.ledger.secret("nonces") == secret


async def test_memory_that_contradicts_itself_is_rebuilt_from_disk(setting: Setting) -> None:
    setting.ledger._books.accounts[WALLET].credits_posted += 1
    with pytest.raises(LedgerUnavailable):
        await setting.ledger.apply([credit(5)])
    await setting.observer.until("ledger_recovered")
    assert setting.observer.alarms[0][0] == "ledger_fault"
    assert await setting.available() == 1000


async def test_a_command_that_finds_memory_wrong_books_nothing(setting: Setting) -> None:
    call = fresh_id()
    await setting.ledger.apply([hold(100, id=call), burn("settles")])
    setting.ledger._books.accounts[WALLET].debits_pending = 1
    with pytest.raises(LedgerUnavailable, match="fault"):
        await setting.ledger.apply([void(call)])
    await setting.observer.until("ledger_recovered")
    assert await setting.ledger.apply([void(call)]) == [Voided(available=1000)]


async def test_a_load_that_a_failure_overtook_is_not_let_in(setting: Setting) -> None:
    wallet = "eip155:0x" + "0" * 40
    await setting.ledger.apply([credit(50, wallet)])
    await setting.ledger.aclose()
    await setting.open()
    setting.disk.fault = "full"
    loading = asyncio.create_task(setting.ledger.apply([hold(5, account=wallet)]))
    await asyncio.sleep(0)
    setting.ledger._go_down("ledger_fault", "for the test")
    with pytest.raises(LedgerUnavailable):
        await loading
    assert wallet not in setting.ledger._books.accounts
    await setting.mend()
    assert await setting.ledger.apply([hold(5, account=wallet)]) == [Held(amount=5, available=45)]


async def test_reads_that_fail_are_unavailable(setting: Setting) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    reader = setting.ledger._reader
    assert reader is not None
    connection, reader._connection = reader._connection, _Failing(fail)  # type: ignore[assignment]
    for read in (
        setting.ledger.statement(WALLET, limit=1),
        setting.ledger.call(WALLET, "x"),
        setting.ledger.balance("eip155:0x" + "0" * 40),
        setting.ledger.apply([credit(1, id="not-in-memory")]),
    ):
        with pytest.raises(LedgerUnavailable):
            await read
    reader._connection = connection
    assert await setting.ledger.apply([credit(1)]) == [Credited(available=1001)]


class _Failing:
    def __init__(self, execute: object) -> None:
        self.execute = execute


async def test_a_ledger_that_cannot_commit_cannot_be_opened(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "books.db")
    await setting.open()
    await setting.ledger.apply([credit(10), hold(5), burn("settles")])
    await setting.ledger.aclose()
    setting.disk.fault = "full"
    with pytest.raises(LedgerUnusable, match="can't be opened"):
        await setting.open()
    setting.disk.fault = "none"
    await setting.open()
    assert await setting.available() == 10
    await setting.ledger.aclose()
