"""Whether books that have grown slow the next call: CPU per hold and post on SQLite, with more and more calls, or more
and more accounts, in them.

Fills one file through the ledger itself, in batches, and stops at each size to measure as ledger.py does. A JSON line a
size: calls and accounts in the books, CPU microseconds a call, calls a second, bytes of the file."""

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path

import uvloop

from ledger import HOLD_NANO, PRICE_NANO, calls, cpu_seconds, record
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Command, Credit, Hold, Post
from tollway.domain.ids import new_id
from tollway.domain.observer import NullObserver
from tollway.ledger.sqlite.store import SqliteLedger

AT_ONCE = 500  # calls, or accounts, in a batch of the filling
ACCOUNTS = 16  # where calls are what grows
CREDIT_NANO = 10**12  # a million times that is still within what books can hold


async def fill(ledger: SqliteLedger, clock: SystemClock, accounts: list[str], count: int) -> None:
    """Book `count` calls whose answers nobody waits for one by one."""
    for begun in range(0, count, AT_ONCE):
        now_ms = clock.now_ms()
        ids = [new_id(now_ms) for _ in range(min(AT_ONCE, count - begun))]
        batch: list[Command] = []
        for number, own in enumerate(ids):
            account = accounts[number % len(accounts)]
            batch.append(Hold(id=own, account=account, bounds=(HOLD_NANO,), model="bench/simulated"))
            entry = record(own, account, now_ms)
            batch.append(Post(id=own, price=PRICE_NANO, provider="simulator", cost=PRICE_NANO, record=entry))
        await ledger.apply(batch)


async def credit(ledger: SqliteLedger, clock: SystemClock, accounts: list[str]) -> None:
    for begun in range(0, len(accounts), AT_ONCE):
        await ledger.apply(
            [
                Credit(id=new_id(clock.now_ms()), account=each, amount=CREDIT_NANO, source="operator", ref="bench")
                for each in accounts[begun : begun + AT_ONCE]
            ]
        )


def size_of(path: Path) -> int:
    """Of the file and of what waits to be written into it."""
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


async def measure(ledger: SqliteLedger, clock: SystemClock, accounts: list[str], options: argparse.Namespace) -> int:
    """Print what calls of `accounts`, drawn at random, cost; how many there were."""
    draw = random.Random(1)
    before, started = cpu_seconds(), time.perf_counter()
    deadline = started + options.seconds
    workers = [calls(ledger, clock, lambda: draw.choice(accounts), deadline) for _ in range(options.waiting)]
    booked = sum(map(len, await asyncio.gather(*workers)))
    used, elapsed = cpu_seconds() - before, time.perf_counter() - started
    seen = {
        "calls": options.there,
        "accounts": len(accounts),
        "cpu_us": used / booked * 1e6,
        "per_second": booked / elapsed,
        "bytes": size_of(Path(options.books)),
    }
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()
    return booked


async def main(options: argparse.Namespace) -> None:
    clock = SystemClock()
    ledger = await SqliteLedger.open(Path(options.books), clock, NullObserver())
    options.there = 0
    accounts: list[str] = []
    try:
        for count in options.accounts:
            more = [f"eip155:0x{number:040x}" for number in range(len(accounts), count)]
            await credit(ledger, clock, more)
            accounts += more
            for size in options.sizes:
                await fill(ledger, clock, accounts, max(0, size - options.there))
                options.there = max(options.there, size)
                options.there += await measure(ledger, clock, accounts, options)
    finally:
        await ledger.aclose()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("books", help="a file that does not exist yet")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0], help="calls in the books, ascending")
    parser.add_argument("--accounts", type=int, nargs="+", default=[ACCOUNTS], help="accounts in them, ascending")
    parser.add_argument("--waiting", type=int, default=64, help="calls at once")
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring at each size")
    options = parser.parse_args()
    if not 0 < options.waiting <= 10_000 or not 0 < options.seconds <= 600:
        parser.error("--waiting is from 1 to 10000, --seconds up to 600")
    if sorted(options.sizes) != options.sizes or sorted(options.accounts) != options.accounts:
        parser.error("--sizes and --accounts ascend")
    return options


if __name__ == "__main__":
    uvloop.run(main(parse()))
