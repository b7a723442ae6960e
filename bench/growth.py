"""Whether a book that has grown slows the next call: CPU per hold and post on SQLite, with more and more calls in it.

Fills one file through the ledger itself, in batches, and stops at each size to measure as ledger.py does. A JSON line a
size: calls in the book, CPU microseconds a call, calls a second, bytes of the file."""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop

from ledger import ACCOUNTS, CREDIT_NANO, HOLD_NANO, PRICE_NANO, calls, cpu_seconds, record
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Command, Credit, Hold, Post
from tollway.domain.ids import new_id
from tollway.domain.observer import NullObserver
from tollway.ledger.sqlite.store import SqliteLedger

SIZES = (0, 100_000, 1_000_000)
AT_ONCE = 500  # calls in a batch of the filling


async def fill(ledger: SqliteLedger, clock: SystemClock, accounts: list[str], count: int) -> None:
    """Book `count` calls whose answers nobody waits for one by one."""
    for begun in range(0, count, AT_ONCE):
        now_ms = clock.now_ms()
        ids = [new_id(now_ms) for _ in range(min(AT_ONCE, count - begun))]
        batch: list[Command] = []
        for number, own in enumerate(ids):
            account = accounts[number % ACCOUNTS]
            batch.append(Hold(id=own, account=account, bounds=(HOLD_NANO,), model="bench/simulated"))
            entry = record(own, account, now_ms)
            batch.append(Post(id=own, price=PRICE_NANO, provider="simulator", cost=PRICE_NANO, record=entry))
        await ledger.apply(batch)


def size_of(path: Path) -> int:
    return path.stat().st_size


async def main(options: argparse.Namespace) -> None:
    clock = SystemClock()
    path = Path(options.books)
    ledger = await SqliteLedger.open(path, clock, NullObserver())
    try:
        accounts = [f"eip155:0x{number:040x}" for number in range(ACCOUNTS)]
        for account in accounts:
            own = new_id(clock.now_ms())
            await ledger.apply([Credit(id=own, account=account, amount=CREDIT_NANO, source="operator", ref="bench")])
        there = 0
        for size in options.sizes:
            await fill(ledger, clock, accounts, max(0, size - there))
            there = max(there, size)
            before, started = cpu_seconds(), time.perf_counter()
            workers = [
                calls(ledger, clock, accounts[n % ACCOUNTS], started + options.seconds) for n in range(options.waiting)
            ]
            booked = sum(map(len, await asyncio.gather(*workers)))
            used, elapsed = cpu_seconds() - before, time.perf_counter() - started
            seen = {
                "calls": there,
                "cpu_us": used / booked * 1e6,
                "per_second": booked / elapsed,
                "bytes": size_of(path),
            }
            sys.stdout.write(json.dumps(seen) + "\n")
            sys.stdout.flush()
            there += booked
    finally:
        await ledger.aclose()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("books", help="a file that does not exist yet")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="calls in the book, ascending")
    parser.add_argument("--waiting", type=int, default=64, help="calls at once")
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring at each size")
    options = parser.parse_args()
    if not 0 < options.waiting <= 10_000 or not 0 < options.seconds <= 600 or sorted(options.sizes) != options.sizes:
        parser.error("--waiting is from 1 to 10000, --seconds up to 600, --sizes ascend")
    return options


if __name__ == "__main__":
    uvloop.run(main(parse()))
