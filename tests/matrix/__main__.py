"""`make matrix`: plays every fault through the official SDKs, says what differs from what is due, and prints the
tables. Exits 1 when anything differs."""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import pytest

from helpers.node import install
from matrix.node_sdk import node_sdk
from matrix.python_sdk import python_sdk
from matrix.stage import Played
from matrix.table import rendered, written
from matrix.verdict import differences
from matrix.whole import play


async def everything() -> dict[str, list[Played]]:
    """By client. Node.js is left out where it is missing."""
    sdks = {"Python": python_sdk}
    found: dict[str, list[Played]] = {}
    try:
        install()
        sdks["Node"] = node_sdk  # type: ignore[assignment]
    except pytest.skip.Exception as lacking:
        print(f"Node: left out, {lacking}", file=sys.stderr)
    for name, sdk in sdks.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tollway-matrix-") as folder:
            async with sdk() as client:
                found[name] = await play(client, Path(folder))
        wrong = sum(bool(differences(played)) for played in found[name])
        seconds = time.monotonic() - began
        print(f"{name}: {len(found[name])} cells in {seconds:.0f} s, {wrong} differ", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page, instead of printing")
    given = parser.parse_args()
    logging.disable()  # hundreds of alarms, each of which is meant
    found = asyncio.run(everything())
    tables = rendered(found)
    if given.write is None:
        print(tables)
    else:
        given.write.write_text(written(given.write.read_text(encoding="utf-8"), tables), encoding="utf-8")
        print(f"written: {given.write}", file=sys.stderr)
    wrong = [what for some in found.values() for played in some for what in differences(played)]
    for what in wrong:
        print(what, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
