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
        flows = [
            Flow(day, kind, other or "", count, usd * NANO + rest, cost_usd * NANO + cost_rest, loss_usd * NANO + loss)
            for day, kind, other, count, usd, rest, cost_usd, cost_rest, loss_usd, loss in connection.execute(
                QUERIES["flows"], (DAY_MS,)
            )
        ]
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
