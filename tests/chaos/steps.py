"""Ends the process it runs in at a named step of a call, the n-th time the step is passed: kill -9, no clean-up.

Wraps the seams of the installed package from outside: nothing of it is in the product. It must not change what a step
does before its last passing.
"""

import functools
import os
import random
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tollway.domain.commands import Command, Held, Post, Posted, Result
from tollway.domain.outbox import Outbox
from tollway.egress.reply import Reply
from tollway.ledger.batch import Batch
from tollway.ledger.postgres.store import PostgresLedger
from tollway.ledger.postgres.transaction import Transaction
from tollway.ledger.sqlite.store import SqliteLedger
from tollway.ledger.sqlite.writer import Writer, Written
from tollway.upstream.http1.transport import Http1Transport

# In the order in which a call passes them.
STEPS = (
    "after_hold",
    "before_dispatch",
    "after_dispatch",  # the head of the provider's answer has come
    "mid_stream",
    "before_post",
    "before_commit",  # every row is written, the transaction is open
    "inside_commit",
    "torn_commit",  # in the middle of the write that makes the commit: the rest of its bytes never gets to the file
    "after_commit",  # it is on disk, and nobody has been told
    "after_post",
    "after_last_byte",
)

INSIDE_COMMIT_S_MAX = 0.001  # a commit to a file takes about as long
TORN_BYTES_MAX = 20_000  # of a commit's few pages
PAGES_MAX = "pages_max"  # a file beside a database: how many pages that may have; read when it is opened
LEASE_S = 2.0  # of a process on PostgreSQL: in place of 30 s, so that nobody waits so long for the holds of the dead
OUTBOXES: list[Outbox] = []  # all of the process


class Fuse:
    """Counts the passings of one step. `nth` 0 never goes off."""

    def __init__(self, step: str, nth: int, seed: int) -> None:
        self._step = step
        self._left = nth
        self._lock = threading.Lock()
        self.draw = random.Random(seed)

    def passed(self, step: str) -> bool:
        """Whether this is the passing that was waited for."""
        if step != self._step:
            return False
        with self._lock:
            self._left -= 1
            return self._left == 0

    def burn(self, step: str) -> None:
        """End the process, if this is the passing."""
        if self.passed(step):
            kill()

    def burn_soon(self, step: str) -> None:
        """The same a moment later, while whatever comes next is under way."""
        if self.passed(step):
            moment = time.perf_counter() + self.draw.uniform(0, INSIDE_COMMIT_S_MAX)
            threading.Thread(target=_kill_at, args=(moment,), daemon=True).start()


def _burn_when_said(fuse: Fuse, step: str) -> None:
    """The same behind a write: what is held of it has left the process."""
    if fuse.passed(step):
        for outbox in OUTBOXES:
            outbox.release()
        kill()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_at(moment: float) -> None:
    while time.perf_counter() < moment:
        time.sleep(0)
    kill()


def lay(fuse: Fuse) -> None:
    """Put the fuse to every step. Once a process."""
    _watch_outboxes()
    _watch_transport(fuse)
    _watch_reply(fuse)
    _watch_ledger(SqliteLedger, fuse)
    _watch_writer(fuse)
    _watch_ledger(PostgresLedger, fuse)
    _watch_transaction(fuse)
    _hurry_leases()


def _watch_ledger(ledger: type[Any], fuse: Fuse) -> None:
    original = ledger.apply

    @functools.wraps(original)
    async def apply(self: Any, commands: Sequence[Command]) -> list[Result]:
        if any(isinstance(command, Post) for command in commands):
            fuse.burn("before_post")
        results: list[Result] = await original(self, commands)
        if any(isinstance(result, Held) for result in results):
            fuse.burn("after_hold")
        if any(isinstance(result, Posted) for result in results):
            fuse.burn("after_post")
        return results

    ledger.apply = apply


def _watch_transport(fuse: Fuse) -> None:
    original = Http1Transport.send

    @functools.wraps(original)
    async def send(self: Http1Transport, *arguments: Any) -> Any:
        fuse.burn("before_dispatch")
        response = await original(self, *arguments)
        fuse.burn("after_dispatch")
        return response

    _replace(Http1Transport, "send", send)


def _watch_outboxes() -> None:
    made = Outbox.__init__

    def watched(self: Outbox, *arguments: Any) -> None:
        made(self, *arguments)
        OUTBOXES.append(self)

    _replace(Outbox, "__init__", watched)


def _watch_reply(fuse: Fuse) -> None:
    def after(name: str, step: str, condition: Callable[..., bool]) -> None:
        original = getattr(Reply, name)

        @functools.wraps(original)
        async def watched(self: Reply, *arguments: Any, **named: Any) -> Any:
            result = await original(self, *arguments, **named)
            if condition(*arguments):
                _burn_when_said(fuse, step)
            return result

        _replace(Reply, name, watched)

    write_now = Reply.write_now

    @functools.wraps(write_now)
    def write_now_watched(self: Reply, data: bytes) -> bool:
        written = write_now(self, data)
        if written:
            _burn_when_said(fuse, "mid_stream")
        return written

    _replace(Reply, "write_now", write_now_watched)
    after("write", "mid_stream", lambda *_: True)
    after("finish", "after_last_byte", lambda *_: True)
    after("json", "after_last_byte", lambda status, *_: bool(status == 200))


def _watch_writer(fuse: Fuse) -> None:
    opened, wrote = Writer.__init__, Writer._write

    def open_watched(self: Writer, path: Path, connect: Any, deliver: Callable[[Batch, Written], None]) -> None:
        def connect_watched(file: Path) -> WatchedConnection:
            connection = WatchedConnection(connect(file), file, fuse)
            connection.limit_pages()
            return connection

        opened(self, path, connect_watched, deliver)

    def write(self: Writer, batch: Batch) -> Written:
        written = wrote(self, batch)
        fuse.burn("after_commit")
        return written

    _replace(Writer, "__init__", open_watched)
    _replace(Writer, "_write", write)


class WatchedConnection:
    """A connection that is one as far as the writer can tell."""

    def __init__(self, connection: sqlite3.Connection, file: Path, fuse: Fuse) -> None:
        self._connection = connection
        self._file = file
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def limit_pages(self) -> None:
        limit = self._file.with_name(PAGES_MAX)
        if limit.exists():
            self._connection.execute(f"PRAGMA max_page_count = {int(limit.read_text())}")

    def commit(self) -> None:
        self._fuse.burn("before_commit")
        self._fuse.burn_soon("inside_commit")
        if self._fuse.passed("torn_commit"):
            self._tear()
        self._connection.commit()

    def _tear(self) -> None:
        """From here on the system ends the process when a file would grow beyond where its log ends now, and a few
        bytes: what is below that is written first."""
        log = self._file.with_name(self._file.name + "-wal")
        size = log.stat().st_size if log.exists() else 0
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = size + self._fuse.draw.randrange(1, TORN_BYTES_MAX)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def _watch_transaction(fuse: Fuse) -> None:
    ran = Transaction.run

    def sending(self: Transaction) -> bool:
        return bool(self.__dict__.get("commit_sent", False))

    def send(self: Transaction, sent: bool) -> None:
        if sent:
            fuse.burn("before_commit")
            fuse.burn_soon("inside_commit")
        self.__dict__["commit_sent"] = sent

    @functools.wraps(ran)
    async def run(self: Transaction, *arguments: Any) -> Any:
        result = await ran(self, *arguments)
        fuse.burn("after_commit")
        return result

    _replace(Transaction, "commit_sent", property(sending, send))
    _replace(Transaction, "run", run)


def _hurry_leases() -> None:
    original = PostgresLedger.open

    async def hurried(*arguments: Any) -> PostgresLedger:
        return await original(*arguments, lease_s=LEASE_S)

    _replace(PostgresLedger, "open", staticmethod(hurried))


def _replace(owner: type[Any], name: str, function: Any) -> None:
    setattr(owner, name, function)
