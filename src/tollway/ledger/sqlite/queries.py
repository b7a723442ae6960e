"""The named queries of queries/ledger.sql and the migrations: the only place where SQL comes from."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql\Z")


def _load() -> Mapping[str, str]:
    text = (files("tollway.ledger.sqlite") / "queries" / "ledger.sql").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    return MappingProxyType({name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)})


QUERIES = _load()


def migrations() -> dict[int, str]:
    """Version -> script, ascending from 1 without gaps."""
    scripts = {
        int(match[1]): file.read_text(encoding="utf-8")
        for file in (files("tollway.ledger.sqlite") / "migrations").iterdir()
        if (match := _MIGRATION.match(file.name))
    }
    return dict(sorted(scripts.items()))
