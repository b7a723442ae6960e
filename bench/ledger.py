"""The ledger's share of a call: hold, post and the note of its delivery with every commit waited for, and before them
what is looked up of a sign-in and of providers; nothing else in the process. On SQLite, in memory, or on a PostgreSQL
(its password in PGPASSWORD), whose own CPU is not counted.

In a process of its own, one JSON line at the end; the CPU is that of all its threads, the writer's too. A wait is a
call's for its hold and its post together. Where answers take no time all callers ask again at once, and it has those
before it in it; with --answer-ms it is what a router's callers wait, and hold and post are in commits of their own."""

import argparse
import asyncio
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvloop

from tollway.config.places import ledger_url
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Credit, Credited, Held, Hold, NoteDelivery, Post, Posted
from tollway.domain.ids import new_id
from tollway.domain.observer import NullObserver
from tollway.domain.record import CallRecord
from tollway.domain.seams import Ledger
from tollway.domain.usage import Usage
from tollway.ledger.extra import open_postgres
from tollway.ledger.memory import MemoryLedger
from tollway.ledger.sqlite.store import SqliteLedger

ACCOUNTS = 16
CREDIT_NANO = 10**16
HOLD_NANO = 2_000_000
PRICE_NANO = 900_000
MESSAGE_HASH = "0" * 64


def record(call_id: str, account: str, now_ms: int) -> CallRecord:
    """As much as an ordinary call leaves behind."""
    return CallRecord(
        id=call_id,
        account=account,
        created_ms=now_ms,
        ended_ms=now_ms + 20,
        model_asked="bench/simulated",
        stream=False,
        ended="complete",
        delivery="complete",
        provider="simulator",
        model="bench/simulated",
        upstream="bench/simulated",
        response_id="chatcmpl-0123456789abcdef",
        usage=Usage(prompt=57, completion=31),
        usage_origin="provider",
        price=PRICE_NANO,
        cost=PRICE_NANO,
        held=HOLD_NANO,
    )


async def calls(
    ledger: Ledger, clock: SystemClock, whose: Callable[[], str], deadline: float, answer_s: float = 0.0
) -> list[float]:
    """One call after another's answer, until the deadline, each of the account that `whose` gives; how long each
    waited, in seconds."""
    waits = []
    while (asked := time.perf_counter()) < deadline:
        now_ms, account = clock.now_ms(), whose()
        call_id = new_id(now_ms)
        assert not await ledger.revoked(MESSAGE_HASH) and not await ledger.disabled()
        (held,) = await ledger.apply([Hold(id=call_id, account=account, bounds=(HOLD_NANO,), model="bench/simulated")])
        assert isinstance(held, Held), held
        if answer_s:
            sent = time.perf_counter()
            await asyncio.sleep(answer_s)
            asked += time.perf_counter() - sent
        post = Post(
            id=call_id, price=PRICE_NANO, provider="simulator", cost=PRICE_NANO, record=record(call_id, account, now_ms)
        )
        (posted,) = await ledger.apply([post])
        assert isinstance(posted, Posted), posted
        waits.append(time.perf_counter() - asked)
        await ledger.apply([NoteDelivery(id=call_id, delivery="complete")])
    return waits


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def opened(books: str, clock: SystemClock) -> Ledger:
    if ":" not in books:
        return await SqliteLedger.open(Path(books), clock, NullObserver())
    url = ledger_url(books)
    return MemoryLedger(clock) if url.store == "memory" else await open_postgres(url, clock, NullObserver())


async def main(options: argparse.Namespace) -> dict[str, float]:
    clock = SystemClock()
    ledger = await opened(options.books, clock)
    try:
        accounts = [f"eip155:0x{number:040x}" for number in range(ACCOUNTS)]
        for account in accounts:
            credit = Credit(
                id=new_id(clock.now_ms()), account=account, amount=CREDIT_NANO, source="operator", ref="bench"
            )
            (credited,) = await ledger.apply([credit])
            assert isinstance(credited, Credited), credited
        before, started = cpu_seconds(), time.perf_counter()
        deadline = started + options.seconds
        turn = itertools.cycle(accounts)
        answer_s = options.answer_ms / 1000
        workers = [calls(ledger, clock, partial(next, turn), deadline, answer_s) for _ in range(options.waiting)]
        waits = sorted(itertools.chain.from_iterable(await asyncio.gather(*workers)))
        used, elapsed = cpu_seconds() - before, time.perf_counter() - started
    finally:
        await ledger.aclose()
    return {
        "ok": len(waits),
        "cpu_us": used / len(waits) * 1e6,
        "core_busy": used / elapsed,
        "per_second": len(waits) / elapsed,
        "wait_p50_ms": waits[len(waits) // 2] * 1e3,
        "wait_p99_ms": waits[len(waits) * 99 // 100] * 1e3,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("books", help="a file that does not exist yet, memory:, or postgresql://user@host/database")
    parser.add_argument("--waiting", type=int, default=64, help="calls at once")
    parser.add_argument("--answer-ms", type=float, default=0.0, help="how long a provider takes, between hold and post")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    if not 0 < options.waiting <= 10_000 or not 0 < options.seconds <= 600:
        parser.error("--waiting is from 1 to 10000, --seconds up to 600")
    return options


if __name__ == "__main__":
    result = uvloop.run(main(parse()))
    sys.stdout.write(json.dumps(result) + "\n")
