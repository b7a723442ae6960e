"""The composition root: a configuration in, a running router out. The only file that constructs adapters.

Joins the configuration and the price book into one snapshot. Nothing here is module state: a process may build as many
routers as it likes, and tests do.
"""

import logging
import random
from pathlib import Path
from typing import assert_never

from tollway.api.health import unready
from tollway.api.services import App as Asgi
from tollway.api.services import Services
from tollway.auth.policy import SignInSettings
from tollway.auth.signin import SignIn
from tollway.config.schema import Config, DialectName, Provider
from tollway.domain.clock import Clock, SystemClock
from tollway.domain.observer import Observer
from tollway.domain.plan import Candidate
from tollway.domain.price import Tariff
from tollway.domain.seams import Ledger, Transport
from tollway.intake.limits import Limits
from tollway.ledger.booking import Bookings
from tollway.ledger.control import ControlServer
from tollway.ledger.memory import MemoryLedger
from tollway.ledger.sqlite.store import SqliteLedger
from tollway.metering.price_list import PriceList, price_list, remarks
from tollway.ops.fanout import AttemptFeed, Fanout
from tollway.ops.listener import operator_app
from tollway.ops.logs import LogObserver
from tollway.ops.metrics import Metrics
from tollway.pipeline import Pipeline
from tollway.routes import routes
from tollway.routing.catalog import Catalog, ProviderInfo
from tollway.routing.health import Health
from tollway.snapshot import Snapshot, Welcome
from tollway.upstream.aiohttp_transport import AiohttpTransport
from tollway.upstream.attempts import Attempts
from tollway.upstream.dialect import Dialect
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.endpoint import Endpoint
from tollway.upstream.pseudonym import pseudonyms

log = logging.getLogger("tollway.prices")

SEED_BITS = 53  # a number that every JSON reader keeps exact
DRAIN_AFTER_CUT_S = 5.0  # for the calls that were cut at the end of a drain to be booked


class Router:
    """A running router: `asgi` serves its HTTP interface, `operator` the operator's own. Closed once, after the servers
    have stopped."""

    def __init__(
        self,
        services: Services,
        metrics: Metrics,
        transport: Transport,
        bookings: Bookings,
        control: ControlServer | None,
    ):
        self.asgi: Asgi = routes(services)
        self.operator: Asgi = operator_app(metrics.text, lambda: unready(services))
        self.services = services
        self._transport = transport
        self._bookings = bookings
        self._control = control

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
        if self._control is not None:
            await self._control.aclose()
        await self._bookings.aclose()
        await self.services.ledger.aclose()
        await self._transport.aclose()


async def build(config: Config, *, clock: Clock | None = None, observer: Observer | None = None) -> Router:
    """Open the books and join everything. Raises ConfigError, or OSError and LedgerUnavailable when the ledger can't
    be opened. Must be awaited in the event loop that will serve."""
    prices = price_list(config)
    for remark in remarks(prices):
        log.info("%s", remark)
    clock = clock or SystemClock()
    health = Health(clock)
    metrics = Metrics(lambda: len(pipeline.running))
    watchers = Fanout(observer or LogObserver(), AttemptFeed(health.observe), metrics)
    ledger, control = await _open_ledger(config, clock, watchers)
    transport = AiohttpTransport()
    snapshot = _snapshot(config, prices, transport, clock, watchers)
    settings = SignInSettings(
        domains=config.auth.domains,
        chains=config.auth.chains,
        accounts=config.auth.accounts,
        deny=config.auth.deny,
        max_lifetime_s=config.auth.max_lifetime,
        clock_skew_s=config.auth.clock_skew,
        nonces=config.auth.nonces,
    )
    sign_in = SignIn(settings, ledger, clock, await ledger.secret("nonces"))
    bookings = Bookings(ledger, clock)
    # Which provider is drawn has to be fair, not secret.
    draw = random.Random()  # noqa: S311
    pipeline = Pipeline(
        snapshot,
        sign_in=sign_in,
        bookings=bookings,
        health=health,
        observer=watchers,
        seed=lambda: draw.getrandbits(SEED_BITS),
        pseudonym=pseudonyms(await ledger.secret("user_hash")),
    )
    services = Services(
        pipeline=pipeline,
        sign_in=sign_in,
        ledger=ledger,
        health=health,
        clock=clock,
        observer=watchers,
        challenge=f'Sign-In-With-X domain="{config.auth.domains[0]}"'.encode(),
        header_bytes_max=config.server.max_header,
        started_s=clock.now_ms() // 1000,
        cors_origins=config.server.cors_origins,
    )
    return Router(services, metrics, transport, bookings, control)


async def _open_ledger(config: Config, clock: Clock, observer: Observer) -> tuple[Ledger, ControlServer | None]:
    url = config.ledger.url
    match url.store:
        case "memory":
            return MemoryLedger(clock), None
        case "sqlite":
            assert url.path is not None, "SQLite's books are in a file"
            return await _open_sqlite(url.path, clock, observer)
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


def _snapshot(config: Config, prices: PriceList, transport: Transport, clock: Clock, observer: Observer) -> Snapshot:
    draw = random.Random()  # noqa: S311  # a pause is jittered, not secret
    attempts = Attempts(
        transport,
        {provider.id: _endpoint(provider) for provider in config.providers},
        {provider.id: _dialect(provider.dialect, clock) for provider in config.providers},
        answer_bytes_max=config.server.max_answer,
        clock=clock,
        observer=observer,
        jitter=draw.random,
    )
    gift = config.billing.welcome_credit_usd
    return Snapshot(
        catalog=catalog(config, prices),
        attempts=attempts,
        limits=Limits(max_messages=config.server.max_messages, max_depth=config.server.max_depth),
        body_bytes_max=config.server.max_body,
        calls_max=config.server.max_calls,
        keep_alive_s=config.server.keep_alive_comment,
        slow_reader_s=config.server.slow_reader,
        slow_sender_s=config.server.slow_sender,
        unlimited=config.billing.mode == "metered",
        welcome=Welcome(amount=gift, total_max=config.billing.welcome_credit_total_usd) if gift else None,
    )


def catalog(config: Config, prices: PriceList) -> Catalog:
    """What is served, by whom and for how much."""
    candidates = [
        Candidate(
            provider=provider.id,
            model=model.id,
            upstream=model.upstream,
            tariff=Tariff(buy=prices[provider.id, model.id].price, sell=model.sell, markup_bps=config.billing.markup),
            context_length=model.context_length,
            max_output_tokens=model.max_output_tokens,
            reasoning=model.reasoning,
            template_tokens=model.template_tokens,
            message_tokens=model.message_tokens,
            part_tokens=model.part_tokens,
            timeouts=model.timeouts,
            data_collection=provider.data_collection,
            supports=frozenset(model.supports),
            unsupported=frozenset(model.unsupported),
        )
        for provider in config.providers
        for model in provider.models
    ]
    aliases = {alias: model.id for provider in config.providers for model in provider.models for alias in model.aliases}
    return Catalog(candidates, aliases, [ProviderInfo(provider.id, provider.id) for provider in config.providers])


def _dialect(name: DialectName, clock: Clock) -> Dialect:
    match name:
        case "openai":
            return OpenAIOpenAI(clock)
        case _:
            assert_never(name)


def _endpoint(provider: Provider) -> Endpoint:
    return Endpoint(
        id=provider.id,
        base_url=provider.base_url,
        api_key=provider.api_key.reveal() if provider.api_key is not None else None,
        headers=tuple(provider.headers.items()),
        user=provider.user,
    )
