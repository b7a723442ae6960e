"""The tables: made and brought up to date under a lock, by whichever process comes first."""

from typing import Any

import psycopg

from tollway.domain.errors import LedgerUnusable
from tollway.ledger.postgres.queries import QUERIES, migrations


async def migrate(connection: psycopg.AsyncConnection[Any], now_ms: int) -> None:
    """Bring the schema up to date, all of it or nothing. Raises LedgerUnusable for one that is newer."""
    await connection.execute(QUERIES["begin"])
    try:
        await connection.execute(QUERIES["lock_migrations"])
        await connection.execute(QUERIES["create_schema"])
        await connection.execute(QUERIES["create_schema_version"])
        row = await (await connection.execute(QUERIES["schema_version"])).fetchone()
        known = known_version(0 if row is None else row[0])
        for version, script in migrations().items():
            if version > known:
                await connection.execute(script.encode(), prepare=False)
                await connection.execute(QUERIES["insert_schema_version"], (version, now_ms))
        await connection.execute(QUERIES["commit"])
    except BaseException:
        if not connection.closed:
            await connection.rollback()
        raise


def known_version(version: int) -> int:
    """The version, 0 for none. Raises LedgerUnusable when this tollway is too old for it."""
    newest = max(migrations())
    if version > newest:
        raise LedgerUnusable(
            f"The ledger has schema version {version}, this tollway knows up to {newest}: use the tollway that wrote "
            "it, or a later one."
        )
    return version
