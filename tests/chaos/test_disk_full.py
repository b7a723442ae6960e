"""A disk without room: calls are refused whole, the books stay so, and what comes after there is room is served, by the
same process."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.books import SqliteBooks, audit
from chaos.calls import ready
from chaos.history import WORKERS
from chaos.lives import Life
from chaos.steps import PAGES_MAX
from chaos.trial import trial
from helpers.until import until

SEED = 5
CALLS = 40
PAGES_LEFT = 30
BYTES_LEFT = 50_000
RECOVERY_S_MAX = 30.0  # the router looks every 5 s at the latest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits another process (prlimit)")


class FileSize:
    """No file of the process may grow (RLIMIT_FSIZE)."""

    def before(self, books: SqliteBooks) -> None: ...

    def fill(self, books: SqliteBooks, life: Life) -> None:
        log = books.path.with_name(books.path.name + "-wal")
        life.limit_files(max(books.path.stat().st_size, log.stat().st_size) + BYTES_LEFT)

    def empty(self, books: SqliteBooks, life: Life) -> None:
        life.limit_files(None)


class PageCount:
    """The database has so many pages and no more (max_page_count)."""

    def before(self, books: SqliteBooks) -> None:
        (pages,) = books.rows("PRAGMA page_count")[0]
        (books.folder / PAGES_MAX).write_text(str(pages + PAGES_LEFT))

    def fill(self, books: SqliteBooks, life: Life) -> None: ...

    def empty(self, books: SqliteBooks, life: Life) -> None:
        (books.folder / PAGES_MAX).unlink()


@pytest.mark.parametrize("disk", [FileSize, PageCount])
async def test_a_full_disk_refuses_every_call_unpaid_and_unsent_until_there_is_room(
    tmp_path: Path, disk: Callable[[], FileSize | PageCount]
) -> None:
    books, limit = SqliteBooks(tmp_path), disk()
    async with trial(books, SEED) as made:
        limit.before(books)
        made.name = "filling"
        life = await made.serving()
        filling = made.load(life)
        running = asyncio.ensure_future(filling.run(WORKERS))
        await filling.until(CALLS)
        limit.fill(books, life)

        async def full() -> bool:
            return not await ready(life.place)

        await until(full, 60)
        filling.stopped = True
        await running
        turned_away = await made.turned_away(life, 10)
        assert audit(books)["differences"] == []

        limit.empty(books, life)
        await until(lambda: ready(life.place), RECOVERY_S_MAX)
        made.name = "served again"
        served = made.load(life)
        running = asyncio.ensure_future(served.run(WORKERS))
        await served.until(CALLS)
        served.stopped = True
        await running
        await until(lambda: made.held() == 0)
        assert any(seen.whole for seen in served.seen)
        await made.compare([*filling.seen, *turned_away, *served.seen])
        await made.stop(life)
        assert made.found.differences == []
