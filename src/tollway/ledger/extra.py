"""The store that stands on an extra: PostgreSQL, imported only when the configuration names it."""

from tollway.config.places import LedgerUrl
from tollway.domain.clock import Clock
from tollway.domain.errors import LedgerUnusable
from tollway.domain.observer import Observer
from tollway.domain.seams import Ledger
from tollway.ledger.desk import Desk


async def open_postgres(url: LedgerUrl, clock: Clock, observer: Observer) -> Ledger:
    """Raises LedgerUnusable."""
    try:
        from tollway.ledger.postgres.store import PostgresLedger
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return await PostgresLedger.open(url, clock, observer)


def postgres_desk(url: LedgerUrl) -> Desk:
    """Raises LedgerUnusable."""
    try:
        from tollway.ledger.postgres.desk import PostgresDesk
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return PostgresDesk(url)


def _missing(error: ModuleNotFoundError) -> LedgerUnusable:
    return LedgerUnusable(f"A ledger on PostgreSQL needs {error.name}: pip install 'tollway[postgres]'.")
