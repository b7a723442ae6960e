"""`make soak`: a router under constant load, with faults of providers and callers and with reloads, and whether what it
holds comes back to what it was. Exits 1 when it doesn't."""

import argparse
import asyncio
import random
import sys
import tempfile
from math import isfinite
from pathlib import Path

from rich.console import Console
from rich.table import Table

from soak.run import Outcome, soak

MINUTES = 10.0


def table(outcome: Outcome) -> Table:
    found = Table(title="What the router held")
    for name in ("", "before", "under load", "at most", "after", "may be after", ""):
        found.add_column(name, justify="left" if not name else "right")
    for row in outcome.rows:
        numbers = (row.before, row.median, row.most, row.after, row.bound)
        shown = (f"{number:,.{0 if number == int(number) else 1}f}" if isfinite(number) else "" for number in numbers)
        found.add_row(row.what, *shown, "LEAKS" if row.leaks else "ok" if isfinite(row.bound) else "")
    return found


def report(outcome: Outcome, console: Console) -> None:
    console.print(table(outcome))
    calls = ", ".join(f"{count:,} {how}" for how, count in sorted(outcome.calls.items()))
    bad = ", ".join(f"{count:,} {how.replace('_', ' ')}" for how, count in sorted(outcome.bad.items()))
    console.print(f"calls: {outcome.calls.total():,} ({calls}); reloads: {outcome.reloads}")
    console.print(f"bad callers: {bad}")
    for fault in outcome.faults:
        console.print(f"  {fault}", style="red")
    console.print(f"leaks and other faults: {len(outcome.faults)}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of load; some warming up and resting beside")
    parser.add_argument("--seed", type=int, default=None, help="draws the same calls again")
    given = parser.parse_args()
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    print(f"seed {seed}: {given.minutes:g} minutes of load", flush=True)
    with tempfile.TemporaryDirectory(prefix="tollway-soak-") as folder:
        outcome = asyncio.run(soak(Path(folder), given.minutes * 60, seed))
    report(outcome, Console())
    sys.exit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
