"""Letting go of old call records on PostgreSQL: short transactions on a connection of their own; no booking waits.

Knows nothing of when, or of how old is old.
"""

import psycopg

from tollway.domain.errors import LedgerUnavailable
from tollway.ledger.postgres.queries import QUERIES
from tollway.ledger.postgres.server import RETRY_AFTER_MS, connect


async def prune(info: str, before_ms: int, limit: int) -> int:
    """Up to `limit` records, the oldest first; how many there were. Raises LedgerUnavailable."""
    try:
        connection = await connect(info)
        async with connection, connection.transaction():
            await connection.execute(QUERIES["prune_up_to"], (limit, before_ms))
            await connection.execute(QUERIES["prune_deliveries"])
            await connection.execute(QUERIES["prune_recounts"])
            return (await connection.execute(QUERIES["prune_calls"])).rowcount
    except (psycopg.Error, OSError) as error:
        raise LedgerUnavailable("The ledger can't reach its database.", retry_after_ms=RETRY_AFTER_MS) from error
