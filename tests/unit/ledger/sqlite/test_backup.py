"""Backups: what they refuse, what they leave behind, and what a restore keeps."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from helpers.ledgers import HandClock, credit, hold
from tollway.domain.errors import LedgerLocked, LedgerUnusable
from tollway.domain.observer import NullObserver
from tollway.ledger import operator
from tollway.ledger.sqlite.backup import backup, restore
from tollway.ledger.sqlite.store import SqliteLedger


async def book(path: Path, *amounts: int) -> None:
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    await ledger.apply([credit(amount) for amount in amounts])
    await ledger.aclose()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    await book(tmp_path / "books.db", 1, 2, 3)
    return tmp_path / "books.db"


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.endswith(("-wal", "-shm"))}


async def test_a_backup_is_one_private_file_that_needs_no_log(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    await ledger.apply([credit(4), hold(2)])
    made = backup(path, folder / "one.db")
    await ledger.aclose()
    assert (made.audit.credits, made.audit.clean, made.aside) == (4, True, None)
    assert sorted(folder.iterdir()) == [folder / "one.db"]
    assert (folder / "one.db").stat().st_mode & 0o777 == 0o600
    assert made.bytes == (folder / "one.db").stat().st_size
    assert (folder / "one.db").read_bytes()[18:20] == b"\x01\x01", (
        "not in WAL mode: readable where nothing can be written"
    )


async def test_a_backup_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for file in (taken, tmp_path / "link", path):
        with pytest.raises(LedgerUnusable, match="exists, and a backup overwrites nothing"):
            backup(path, file)
    assert taken.read_text() == "mine"


async def test_who_takes_the_name_meanwhile_keeps_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "lexists", lambda file: False)
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(LedgerUnusable, match="come into being meanwhile"):
        backup(path, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


async def test_a_file_system_without_hard_links_will_do(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*names: Path) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", link)
    assert backup(path, tmp_path / "one.db").audit.credits == 3
    assert restore(path, tmp_path / "one.db", "now").aside == tmp_path / "books.db.before-now"
    assert operator.audit(path).credits == operator.audit(tmp_path / "books.db.before-now").credits == 3


async def test_books_that_do_not_balance_are_not_copied(path: Path, tmp_path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE accounts SET credits_posted = credits_posted + 1")
    connection.close()
    before = names(tmp_path)
    with pytest.raises(LedgerUnusable, match=r"books.db doesn't balance \(\d differences, the first: "):
        backup(path, tmp_path / "one.db")
    assert names(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_a_file_that_is_no_backup_is_refused_and_the_books_stay(path: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(LedgerUnusable):
        restore(path, tmp_path / "other", "now")
    with pytest.raises(LedgerUnusable, match="There is no ledger"):
        restore(path, tmp_path / "nowhere", "now")
    assert path.read_bytes() == before
    assert {name for name in names(tmp_path) if "before" in name or name.startswith(".")} == set()


async def test_a_restore_waits_for_nobody_who_owns_the_books(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "one.db")
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    with pytest.raises(LedgerLocked):
        restore(path, tmp_path / "one.db", "now")
    await ledger.aclose()
    assert restore(path, tmp_path / "one.db", "now").audit.credits == 3


async def test_a_restore_keeps_what_was_there_with_all_that_its_log_had(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "one.db")
    await book(path, 4)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    ledger = await SqliteLedger.open(path, HandClock(), NullObserver())
    await ledger.apply([credit(5)])
    for name in ("books.db", "books.db-wal"):
        shutil.copy(tmp_path / name, crashed / name)  # as a machine that lost its power leaves them
    await ledger.aclose()
    made = restore(crashed / "books.db", tmp_path / "one.db", "now")
    assert made.aside == crashed / "books.db.before-now"
    assert operator.audit(crashed / "books.db").credits == 3
    assert operator.audit(made.aside).credits == 5


def test_books_that_can_not_be_read_are_kept_with_their_log(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "one.db")
    path.write_bytes(b"broken" * 1000)
    (tmp_path / "books.db-wal").write_bytes(b"log")
    restore(path, tmp_path / "one.db", "now")
    assert (tmp_path / "books.db.before-now").read_bytes() == b"broken" * 1000
    assert (tmp_path / "books.db.before-now-wal").read_bytes() == b"log"
    assert operator.audit(path).credits == 3


async def test_a_restore_where_nothing_was_needs_to_keep_nothing(path: Path, tmp_path: Path) -> None:
    backup(path, tmp_path / "one.db")
    made = restore(tmp_path / "new.db", tmp_path / "one.db", "now")
    assert (made.aside, made.audit.credits) == (None, 3)
    assert made.file.stat().st_mode & 0o777 == 0o600


async def test_the_ledger_itself_is_no_backup_of_it(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("books.db")
    for file in (path, tmp_path / "link.db"):
        with pytest.raises(LedgerUnusable, match="is the ledger itself"):
            restore(path, file, "now")
