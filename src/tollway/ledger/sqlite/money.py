"""What a report of the operator's money is made from, in one consistent state of the file. Blocking; reads alone."""

import sqlite3

from tollway.ledger.report import Flow, Money
from tollway.ledger.sqlite.database import account_of, read_state
from tollway.ledger.sqlite.queries import QUERIES
from tollway.ledger.usage import DAY_MS

NANO = 10**9  # sums come in two parts, whole USD and the rest, so that none leaves 64 bits


def read_money(connection: sqlite3.Connection) -> Money:
    """All that is needed, read before this returns. Raises sqlite3.Error."""
    connection.execute(QUERIES["begin_read"])
    try:
        flows = [_flow(*row) for row in connection.execute(QUERIES["flows"], (DAY_MS,))]
        pending = connection.execute(QUERIES["pending_holds"], (read_state(connection).pending_from,)).fetchall()
        return Money(
            flows=flows,
            accounts=[account_of(row) for row in connection.execute(QUERIES["all_accounts"])],
            pending=(len(pending), sum(row[6] for row in pending)),
            unsettled=[
                (day, count, usd * NANO + rest)
                for day, count, usd, rest in connection.execute(QUERIES["unsettled"], (DAY_MS,))
            ],
        )
    finally:
        connection.rollback()


def _flow(day: int, kind: str, counterparty: str, count: int, *sums: int) -> Flow:
    *parts, source = sums
    amount, cost, loss, forgiven = (usd * NANO + rest for usd, rest in zip(parts[::2], parts[1::2], strict=True))
    return Flow(day, kind, counterparty, count, amount, cost, loss, forgiven, str(source))
