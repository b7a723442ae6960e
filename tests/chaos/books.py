"""What the books say, read from their rows by other means than the router's own, and the operator's commands."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from helpers.commands import here
from helpers.postgres import Server
from tollway.config.places import LedgerUrl
from tollway.domain.commands import Credit, Credited
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable, LedgerUnusable
from tollway.ledger import operator
from tollway.ledger.control import control
from tollway.ledger.operator import credit_id

ROWS = """
SELECT t.seq, t.id, t.kind, a.id, t.amount, t.cost, c.record
FROM transfers t JOIN accounts a ON a.no = t.account LEFT JOIN calls c ON c.seq = t.seq
WHERE t.seq > {after} ORDER BY t.seq
"""
BALANCES = "SELECT id, sum(debits_posted), sum(credits_posted), sum(debits_pending) FROM accounts GROUP BY id"


@dataclass(frozen=True)
class Line:
    """One transfer. `tag` is of the call's record, which a post and a void have."""

    seq: int
    id: str
    kind: str
    account: str
    amount: int
    cost: int
    tag: str | None
    record: dict[str, Any] | None


class Books(Protocol):
    """Where they are, for whoever checks them."""

    folder: Path
    url: str
    environment: dict[str, str]

    def rows(self, sql: str) -> list[tuple[Any, ...]]: ...

    async def credit(self, account: str, nano_usd: int, ref: str) -> bool:
        """Whether it is known to be booked. May be said again."""


class SqliteBooks:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ledger.db"
        self.url = f"sqlite:///{self.path}"
        self.environment: dict[str, str] = {}

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
            yield connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._reading() as connection:
            return connection.execute(sql).fetchall()

    def spoil(self, sql: str) -> None:
        """Make the books wrong. `{post}` in `sql` is the newest transfer that charged something."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            post = connection.execute("SELECT max(seq) FROM transfers WHERE kind = 'post' AND amount > 0").fetchone()[0]
            connection.execute(sql.format(post=post))
            connection.commit()

    async def credit(self, account: str, nano_usd: int, ref: str) -> bool:
        """Only through a router that runs: to open the books would be to recover them."""
        command = Credit(
            id=credit_id("operator", account, ref), account=account, amount=nano_usd, source="operator", ref=ref
        )
        try:
            await control(self.path, command)
        except (LedgerUnusable, LedgerUnavailable, LedgerOutcomeUnknown):
            return False
        return True


class PostgresBooks:
    """Books in a database; `folder` is for what routers need beside it."""

    def __init__(self, folder: Path, server: Server, database: LedgerUrl) -> None:
        self.folder = folder
        self.server = server
        self.database = database
        self.url = str(database.conninfo)
        self.environment = {} if database.password is None else {"PGPASSWORD": database.password.reveal()}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        reading = f"{self.url}?options=-csearch_path%3Dtollway"
        return self.server.execute(
            sql, LedgerUrl(store="postgresql", conninfo=reading, password=self.database.password)
        )

    async def credit(self, account: str, nano_usd: int, ref: str) -> bool:
        """By the operator's own connection."""
        try:
            result = await operator.credit(self.database, account, nano_usd, ref)
        except (LedgerUnusable, LedgerUnavailable, LedgerOutcomeUnknown):
            return False
        return isinstance(result, Credited)


def lines(books: Books, after: int = 0) -> list[Line]:
    found = []
    for seq, own, kind, account, amount, cost, record in books.rows(ROWS.format(after=after)):
        fields = None if record is None else json.loads(record)
        tag = None if fields is None else fields.get("client_request_id")
        found.append(Line(seq, own, kind, account, amount, cost or 0, tag, fields))
    return found


def balances(books: Books) -> dict[str, tuple[int, int, int]]:
    """By account: posted debits, posted credits, pending debits."""
    return {own: (int(spent), int(got), int(held)) for own, spent, got, held in books.rows(BALANCES)}


def audit(books: Books) -> dict[str, Any]:
    """`tollway ledger audit`, whatever it finds."""
    ran = here("ledger", "audit", "--json", cwd=books.folder, environment=books.environment)
    assert ran.stdout, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    assert (ran.returncode == 0) == (found["difference_count"] == 0), ran.stderr
    return found


def credit_at_rest(books: Books, account: str, usd: str, ref: str) -> None:
    """`tollway ledger credit`, while no router runs."""
    ran = here("ledger", "credit", account, usd, "--ref", ref, cwd=books.folder, environment=books.environment)
    assert ran.returncode == 0, ran.stderr
