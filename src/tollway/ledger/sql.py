"""A store's named queries and its migrations, read from the files beside it: the only place where SQL comes from."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_HEADING = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql\Z")


def named_queries(package: str) -> Mapping[str, str]:
    """Name -> query, from the `queries/ledger.sql` of a store's package."""
    text = (files(package) / "queries" / "ledger.sql").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    return MappingProxyType({name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)})


def numbered_scripts(package: str) -> dict[int, str]:
    """Version -> script, ascending from 1 without gaps, from the `migrations` of a store's package."""
    scripts = {
        int(match[1]): file.read_text(encoding="utf-8")
        for file in (files(package) / "migrations").iterdir()
        if (match := _MIGRATION.match(file.name))
    }
    return dict(sorted(scripts.items()))
