"""The composition root: a configuration in, a running router out. The only file that opens what outlives a
configuration: the books, connections, watchers. assembly.py joins what a configuration says, reload.py does so again.

Nothing here is module state: a process may build as many routers as it likes, and tests do.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from tollway.api.health import unready
from tollway.api.services import App as Asgi
from tollway.api.services import Services
from tollway.assembly import Assembly, Books
from tollway.cluster.extra import Shared, shared
from tollway.config.schema import Config
from tollway.domain.clock import Clock, SystemClock
from tollway.domain.observer import Observer
from tollway.domain.seams import Ledger, Transport
from tollway.ledger.booking import Bookings
from tollway.ledger.control import ControlServer
from tollway.ledger.extra import open_postgres
from tollway.ledger.memory import MemoryLedger
from tollway.ledger.retention import Retention
from tollway.ledger.sqlite.store import SqliteLedger
from tollway.limits.counts import Counts
from tollway.limits.memory import MemoryLimits
from tollway.metering.price_list import price_list
from tollway.ops.fanout import AttemptFeed, Fanout
from tollway.ops.free_batches import FreeBatches
from tollway.ops.listener import operator_app
from tollway.ops.logs import LogObserver
from tollway.ops.metrics import Metrics
from tollway.pipeline import Pipeline
from tollway.reload import Reloader
from tollway.routes import routes
from tollway.routing.health import Health
from tollway.upstream.http1.transport import Http1Transport
from tollway.upstream.pseudonym import pseudonyms

SEED_BITS = 53  # a number that every JSON reader keeps exact
DRAIN_AFTER_CUT_S = 5.0  # for the calls that were cut at the end of a drain to be booked


class Router:
    """A running router: `asgi` serves its HTTP interface, `operator` the operator's own. Closed once, after the servers
    have stopped."""

    def __init__(
        self,
        services: Services,
        metrics: Metrics,
        reloader: Reloader,
        transport: Transport,
        bookings: Bookings,
        beside: Sequence[ControlServer | Retention],  # what is at work on the ledger, and ends before it
        cluster: Shared | None,
    ):
        self.asgi: Asgi = routes(services)
        self.operator: Asgi = operator_app(metrics.text, lambda: unready(services))
        self.services = services
        self.reloader = reloader
        self.metrics = metrics
        self._transport = transport
        self._bookings = bookings
        self._beside = beside
        self._cluster = cluster

    async def drain(self, seconds: float) -> None:
        """Refuse new calls and let those in flight end; after `seconds`, cut what is left, each with a clear error."""
        pipeline = self.services.pipeline
        pipeline.draining = True
        if not await pipeline.idle(seconds):
            for watch in tuple(pipeline.running):
                watch.stop("drain")
            await pipeline.idle(DRAIN_AFTER_CUT_S)

    async def aclose(self) -> None:
        """Close the books and every connection."""
        if self._cluster is not None:
            await self._cluster.aclose()
        for one in self._beside:
            await one.aclose()
        await self._bookings.aclose()
        await self.services.pipeline.snapshot.recounts.aclose()
        await self.services.ledger.aclose()
        await self._transport.aclose()


async def build(
    config: Config, *, clock: Clock | None = None, observer: Observer | None = None, files: int | None = None
) -> Router:
    """Open the books and join everything. Raises ConfigError, or OSError and LedgerUnavailable when the ledger can't
    be opened. Must be awaited in the event loop that will serve. `files` is how many may be open; None: any number."""
    prices = price_list(config)
    clock = clock or SystemClock()
    health = Health(clock)
    metrics = Metrics(
        lambda: len(pipeline.running),
        lambda: reloader.refused,
        lambda: cluster is not None and cluster.lost,
        health.states,
    )
    told = Fanout(observer or LogObserver(), metrics)
    watchers = Fanout(told, AttemptFeed(health.observe), FreeBatches(told))
    cluster = shared(config.cluster, watchers, health.told, health.learn)
    ledger, control = await _open_ledger(config, clock, watchers)
    transport = Http1Transport(proxies=config.proxies)
    metrics.process.provider_connections = lambda: transport.connections
    assembly = Assembly(
        transport,
        Books(ledger, nonces=await ledger.secret("nonces"), receipts=await ledger.secret("receipts")),
        clock,
        watchers,
        counts=Counts(
            MemoryLimits(clock) if cluster is None else cluster.limits,
            MemoryLimits(clock),  # of addresses: a flood of them stays with the router that it comes to
            watchers,
            config.cluster.limits_when_lost,
        ),
        files=files,
        health=health,
    )
    bookings = Bookings(ledger, clock)
    # Which provider is drawn has to be fair, not secret.
    draw = random.Random()  # noqa: S311
    pipeline = Pipeline(
        assembly.snapshot(config, prices),
        bookings=bookings,
        health=health,
        observer=watchers,
        seed=lambda: draw.getrandbits(SEED_BITS),
        pseudonym=pseudonyms(await ledger.secret("user_hash")),
        disabled=ledger.disabled,
    )
    services = Services(
        pipeline=pipeline,
        ledger=ledger,
        health=health,
        clock=clock,
        observer=watchers,
        started_s=clock.now_ms() // 1000,
    )
    reloader = Reloader(config, assembly, pipeline, health, watchers)
    if cluster is not None:
        await cluster.open()
    beside: list[ControlServer | Retention] = [] if control is None else [control]
    if config.ledger.keep_calls is not None:
        retention = Retention(ledger, clock, config.ledger.keep_calls)
        retention.start()
        beside.append(retention)
    return Router(services, metrics, reloader, transport, bookings, beside, cluster)


async def _open_ledger(config: Config, clock: Clock, observer: Observer) -> tuple[Ledger, ControlServer | None]:
    url = config.ledger.url
    match url.store:
        case "memory":
            return MemoryLedger(clock), None
        case "sqlite":
            assert url.path is not None, "SQLite's books are in a file"
            return await _open_sqlite(url.path, clock, observer)
        case "postgresql":
            return await open_postgres(url, clock, observer), None
        case _:
            assert_never(url.store)


async def _open_sqlite(path: Path, clock: Clock, observer: Observer) -> tuple[Ledger, ControlServer]:
    ledger = await SqliteLedger.open(path, clock, observer)
    control = ControlServer(ledger, path)
    try:
        await control.start()
    except BaseException:
        await ledger.aclose()
        raise
    return ledger, control
