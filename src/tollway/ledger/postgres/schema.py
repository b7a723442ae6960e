"""The tables: made and brought up to date under a lock, by whichever process comes first."""

from typing import Any

import psycopg

from tollway.domain.errors import LedgerUnusable
from tollway.ledger.postgres.queries import QUERIES, migrations
from tollway.ledger.schema import OTHERS, digest, version_of

MIGRATION_S_MAX = 600.0  # a new index on a large table; a process that starts meanwhile waits for as long


async def migrate(connection: psycopg.AsyncConnection[Any], now_ms: int) -> None:
    """Bring the schema up to date, all of it or nothing. Raises LedgerUnusable for one that isn't ours."""
    await connection.execute(QUERIES["begin"])
    try:
        await connection.execute(QUERIES["let_migrate"], (_MS, _MS))
        await connection.execute(QUERIES["lock_migrations"])
        await connection.execute(QUERIES["create_schema"])
        await connection.execute(QUERIES["create_schema_version"])
        row = await (await connection.execute(QUERIES["has_digests"])).fetchone()
        if row is None or not row[0]:
            raise LedgerUnusable(OTHERS)
        known = version_of(await (await connection.execute(QUERIES["applied"])).fetchall(), migrations())
        for version, script in migrations().items():
            if version > known:
                await connection.execute(script.encode(), prepare=False)
                await connection.execute(QUERIES["insert_schema_version"], (version, now_ms, digest(script)))
        await connection.execute(QUERIES["commit"])
    except BaseException:
        if not connection.closed:
            await connection.rollback()
        raise


def read_version(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    """The version of the tables, 0 for none. Raises LedgerUnusable for tables that aren't ours."""
    if not _one(connection, "has_schema_version"):
        return 0
    if not _one(connection, "has_digests"):
        raise LedgerUnusable(OTHERS)
    return version_of(connection.execute(QUERIES["applied"]).fetchall(), migrations())


def _one(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> Any:
    row = connection.execute(QUERIES[query]).fetchone()
    assert row is not None, "asked for exactly one row"
    return row[0]


_MS = str(int(MIGRATION_S_MAX * 1000))
