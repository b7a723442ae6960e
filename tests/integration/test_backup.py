"""Backups under load: a whole router books calls while its books are copied, restored and opened again."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from helpers.running import chat, running
from helpers.until import until
from tollway.domain.errors import LedgerLocked
from tollway.ledger import operator

BACKUPS = 4
CALLERS = 6

ROWS = "SELECT * FROM transfers ORDER BY seq"


def rows(file: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(ROWS).fetchall()


async def test_a_backup_under_load_audits_clean_and_is_a_prefix_of_the_books(tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    copies = [tmp_path / f"backup-{number}.db" for number in range(BACKUPS)]
    async with running({"sim": "tokens=3"}, ledger=books) as router:
        wallets = [await router.wallet("1.00") for _ in range(CALLERS)]
        done = asyncio.Event()
        answered = 0

        async def calls(number: int) -> None:
            nonlocal answered
            while not done.is_set():
                answer = await router.post(wallets[number], chat(stream=number % 2 == 0))
                assert answer.status_code == 200, answer.text
                answered += 1

        callers = [asyncio.create_task(calls(number)) for number in range(CALLERS)]
        taken = []
        for copy in copies:
            before = answered
            made = await asyncio.to_thread(operator.backup, books, copy)
            assert made.audit.clean and made.audit.posts >= before, "what was answered is in it"
            taken.append(made.audit.posts)
            await until(lambda wanted=before + CALLERS: answered >= wanted)
        with pytest.raises(LedgerLocked):
            operator.restore(books, copies[0])
        done.set()
        await asyncio.gather(*callers)
    whole = rows(books)
    assert len({len(rows(copy)) for copy in copies}) > 1, "the load went on between the backups"
    for copy in copies:
        kept = rows(copy)
        assert kept == whole[: len(kept)]
        assert copy.stat().st_mode & 0o777 == 0o600
    restored = operator.restore(books, copies[1])
    assert restored.audit.posts == taken[1]
    assert restored.aside is not None and rows(restored.aside) == whole
    async with running({"sim": "tokens=3"}, ledger=books) as router:
        answer = await router.post(wallets[0], chat())
        assert answer.status_code == 200, answer.text
    assert operator.audit(books).clean
    assert rows(books)[: len(rows(copies[1]))] == rows(copies[1])
