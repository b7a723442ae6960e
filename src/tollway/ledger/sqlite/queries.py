"""The queries and migrations of the embedded store."""

from tollway.ledger.sql import named_queries, numbered_scripts

PACKAGE = "tollway.ledger.sqlite"
QUERIES = named_queries(PACKAGE)


def migrations() -> dict[int, str]:
    """Version -> script."""
    return numbered_scripts(PACKAGE)
