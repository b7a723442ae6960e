"""The limits' share of a call: a request and a place, then tokens, then what it came to; nothing else in the process.
In memory, and on the Valkey that --valkey names, whose own CPU is asked of it.

Prints a line for each: CPU a call, and how long a take was waited for."""

import argparse
import asyncio
import resource
import time
from collections.abc import Awaitable, Callable

import uvloop
from redis.asyncio import Redis

from tollway.cluster.limits import ValkeyLimits
from tollway.cluster.link import Link
from tollway.config.valkey import ValkeyUrl, valkey_url
from tollway.domain.clock import SystemClock
from tollway.domain.limit import Ask, Rate
from tollway.domain.observer import NullObserver
from tollway.domain.seams import LimitStore
from tollway.limits.memory import MemoryLimits

CALLS = 12_800
PLENTY = 1_000_000_000
REQUESTS, TOKENS = (Rate(PLENTY, 60),), (Rate(PLENTY, 60),)

Waits = list[float]
OneCall = Callable[[LimitStore, str, Waits], Awaitable[None]]
ValkeyCpu = Callable[[], Awaitable[float]]


async def a_place(store: LimitStore, account: str, waits: Waits) -> None:
    """What every call takes by default."""
    began = time.perf_counter()
    place = await store.take([Ask(key=f"r:{account}", at_once=256)])
    waits.append(time.perf_counter() - began)
    store.leave(place)


async def everything(store: LimitStore, account: str, waits: Waits) -> None:
    """A wallet with all limits there are."""
    began = time.perf_counter()
    place = await store.take([Ask(key=f"r:{account}", rates=REQUESTS, at_once=256)])
    waits.append(time.perf_counter() - began)
    tokens = await store.take([Ask(key=f"t:{account}", amount=100, rates=TOKENS)])
    store.settle(tokens, (50,))
    store.leave(place)


async def measure(name: str, store: LimitStore, one: OneCall, at_once: int, valkey_cpu: ValkeyCpu) -> None:
    waits: Waits = []

    async def caller(number: int) -> None:
        for _ in range(CALLS // at_once):
            await one(store, f"wallet{number % 16}", waits)

    async def everybody() -> None:
        await asyncio.gather(*(caller(number) for number in range(at_once)))

    await everybody()
    waits.clear()
    own, valkeys = own_cpu(), await valkey_cpu()
    await everybody()
    own, valkeys = own_cpu() - own, await valkey_cpu() - valkeys
    waits.sort()
    median, late = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(
        f"{name:6}  {one.__name__:10}  {at_once:2} at once  {own / CALLS * 1e6:6.1f} us here  "
        f"{valkeys / CALLS * 1e6:6.1f} us there  waits {median * 1e3:.2f} ms, 99th percentile {late * 1e3:.2f} ms"
    )


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def nothing() -> float:
    return 0.0


async def run(url: ValkeyUrl | None) -> None:
    stores: list[tuple[str, LimitStore, ValkeyCpu]] = [("memory", MemoryLimits(SystemClock()), nothing)]
    if url is not None:
        link = Link(url, None, NullObserver())
        await link.open()
        client = Redis(host=url.host, port=url.port, unix_socket_path=url.path, db=url.db)

        async def valkey_cpu() -> float:
            used = await client.info("cpu")
            return float(used["used_cpu_user"] + used["used_cpu_sys"])

        stores.append(("valkey", ValkeyLimits(link), valkey_cpu))
    for name, store, cpu in stores:
        for at_once in (1, 64):
            for one in (a_place, everything):
                await measure(name, store, one, at_once, cpu)
    if url is not None:
        await client.aclose()
        await link.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--valkey", type=valkey_url, help="redis://127.0.0.1:6379")
    uvloop.run(run(parser.parse_args().valkey))
