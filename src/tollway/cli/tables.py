"""Tables that more than one command prints."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from tollway.cli.common import out, print_table


def clock_time(at_ms: int) -> str:
    """UTC, to the second."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_statement(entries: Sequence[Mapping[str, Any]]) -> None:
    """Entries in the shape of GET /session/transactions."""
    if not entries:
        out.print("No transactions yet.")
        return
    print_table(
        ("time (UTC)", "kind", "amount USD", "returned USD", "for"),
        [
            (
                clock_time(entry["at"]),
                entry["kind"],
                entry["amount_usd"],
                entry.get("returned_usd") or "",
                entry.get("model") or entry.get("ref") or "",
            )
            for entry in entries
        ],
        right=("amount USD", "returned USD"),
    )
