"""A configuration and the prices joined into one Snapshot: who is served what, by whom, for how much.

Must not know who serves the snapshot, or what was served before it.
"""

import logging
import random
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tollway.auth.policy import SignInSettings
from tollway.auth.signin import SignIn
from tollway.config import schema
from tollway.config.schema import Auth, Config, Provider
from tollway.domain.clock import Clock
from tollway.domain.observer import Observer
from tollway.domain.plan import Candidate
from tollway.domain.price import Tariff
from tollway.domain.seams import Ledger, Transport
from tollway.egress.receipts import Receipts
from tollway.intake.limits import Limits
from tollway.limits.addresses import Door
from tollway.limits.allowances import Allowance, Allowances
from tollway.limits.counts import Counts
from tollway.limits.files import Room, needed, room
from tollway.limits.providers import Gate, Gates
from tollway.limits.wallets import Wallets
from tollway.metering.price_list import PriceList, remarks
from tollway.recount.recounts import Recounter, Recounts
from tollway.routing.catalog import Catalog
from tollway.routing.health import Health
from tollway.snapshot import Snapshot, Welcome
from tollway.upstream.attempts import Attempts
from tollway.upstream.budget import RetryBudget
from tollway.upstream.dialect import Dialect
from tollway.upstream.dialects import DIALECTS
from tollway.upstream.endpoint import Endpoint
from tollway.upstream.gate import Ways
from tollway.upstream.turns import Repeats

log = logging.getLogger("tollway.prices")
files = logging.getLogger("tollway.files")


class Books(NamedTuple):
    """The ledger, and the secrets that were made once and are kept with it."""

    ledger: Ledger
    nonces: bytes
    receipts: bytes


class Assembly:
    """What outlives every configuration, and makes the next Snapshot: pooled connections, the books, the time."""

    def __init__(
        self,
        transport: Transport,
        books: Books,
        clock: Clock,
        observer: Observer,
        *,
        counts: Counts,
        health: Health,
        files: int | None = None,
    ) -> None:
        self._transport = transport
        self._books = books
        self._clock = clock
        self._observer = observer
        self._counts = counts
        self._files = files  # that may be open; None: any number
        self._health = health
        self._recounter = Recounter(books.ledger, observer)
        self._repeats = Repeats(RetryBudget(), random.Random().random)  # noqa: S311  # a pause is jittered, not secret

    def snapshot(self, config: Config, prices: PriceList) -> Snapshot:
        for remark in remarks(prices):
            log.info("%s", remark)
        server, billing = config.server, config.billing
        gift = billing.welcome_credit_usd
        served = catalog(config, prices)
        fits = self._room(server)
        allowed, passages = allowances(config.limits), gates(config.providers, self._counts)
        return Snapshot(
            sign_in=SignIn(_sign_in_settings(config.auth), self._books.ledger, self._clock, self._books.nonces),
            challenge=f'Sign-In-With-X domain="{config.auth.domains[0]}"'.encode(),
            catalog=served,
            attempts=self._attempts(config, passages),
            door=Door(self._counts, allowed),
            wallets=Wallets(self._counts, allowed),
            gates=passages,
            limits=Limits(max_messages=server.max_messages, max_depth=server.max_depth),
            body_bytes_max=server.max_body,
            bodies_bytes_max=server.max_bodies,
            header_bytes_max=server.max_header,
            calls_max=fits.calls,
            connections_max=fits.connections,
            keep_alive_s=server.keep_alive_comment,
            slow_reader_s=server.slow_reader,
            kept_bytes_max=config.ledger.keep_answers,
            slow_sender_s=server.slow_sender,
            drain_s=server.drain,
            unlimited=billing.mode == "metered",
            welcome=Welcome(amount=gift, total_max=billing.welcome_credit_total_usd) if gift else None,
            trusted_proxies=server.trusted_proxies,
            cors_origins=server.cors_origins,
            receipts=Receipts(
                server.public_url,
                self._books.receipts,
                current=config.receipts.key,
                withdrawn=config.receipts.withdrawn,
            ),
            recounts=Recounts(
                self._recounter,
                billing.recount,
                billing.recount_threshold,
                (one for model in served.models.values() for one in model.candidates),
            ),
        )

    def _room(self, server: schema.Server) -> Room:
        wanted = Room(server.max_calls, server.max_connections)
        fits = room(self._files, *wanted)
        if fits != wanted:
            files.warning(
                "%d open files are allowed: at most %d calls and %d connections at once fit, not server.max_calls = %d "
                "and server.max_connections = %d, which need %d (ulimit -n; systemd: LimitNOFILE)",
                self._files,
                *fits,
                *wanted,
                needed(*wanted),
            )
        return fits

    def _attempts(self, config: Config, gates: Gates) -> Attempts:
        return Attempts(
            self._transport,
            {provider.id: dialect(provider, self._clock) for provider in config.providers},
            answer_bytes_max=config.server.max_answer,
            clock=self._clock,
            observer=self._observer,
            repeats=self._repeats,
            ways=Ways(gates.get, self._health.enter),
        )


def catalog(config: Config, prices: PriceList) -> Catalog:
    """What is served, by whom and for how much."""
    candidates = [
        Candidate(
            provider=provider.id,
            model=model.id,
            upstream=model.upstream,
            tariff=Tariff(buy=listed.price, sell=model.sell, markup_bps=config.billing.markup),
            context_length=listed.context_length,
            max_output_tokens=listed.max_output_tokens,
            reasoning=model.reasoning,
            template_tokens=model.template_tokens,
            message_tokens=model.message_tokens,
            part_tokens=model.part_tokens,
            timeouts=model.timeouts,
            data_collection=provider.data_collection,
            supports=frozenset(model.supports),
            unsupported=frozenset(model.unsupported) | spoken.lacks,
            one_choice=spoken.one_choice or "one_choice" in provider.quirks,
        )
        for provider in config.providers
        for spoken in [DIALECTS[provider.dialect]]
        for model in provider.models
        for listed in [prices[provider.id, model.id]]
    ]
    aliases = {alias: model.id for provider in config.providers for model in provider.models for alias in model.aliases}
    return Catalog(candidates, aliases, [provider.id for provider in config.providers])


def allowances(limits: schema.Limits) -> Allowances:
    """What wallets and addresses may use: what an account doesn't say of itself is what every wallet has."""
    wallet = Allowance(requests=limits.requests, tokens=limits.tokens, concurrency=limits.concurrency)
    return Allowances(
        wallet=wallet,
        accounts={
            account: Allowance(
                requests=wallet.requests if own.requests is None else own.requests,
                tokens=wallet.tokens if own.tokens is None else own.tokens,
                concurrency=own.concurrency or wallet.concurrency,
            )
            for account, own in limits.accounts.items()
        },
        reads=limits.reads,
        arriving=limits.address.arriving,
        nonces=limits.address.nonces,
        failed_sign_ins=limits.address.failed_sign_ins,
    )


def gates(providers: Sequence[Provider], counts: Counts) -> Gates:
    """One for each provider that has limits."""
    return Gates(
        {
            provider.id: Gate(counts, provider.id, Allowance(**msgspec.structs.asdict(provider.limits)))
            for provider in providers
            if provider.limits != schema.ProviderLimits()
        }
    )


def _sign_in_settings(auth: Auth) -> SignInSettings:
    return SignInSettings(
        domains=auth.domains,
        chains=auth.chains,
        accounts=auth.accounts,
        deny=auth.deny,
        max_lifetime_s=auth.max_lifetime,
        clock_skew_s=auth.clock_skew,
        nonces=auth.nonces,
    )


def dialect(provider: Provider, clock: Clock) -> Dialect:
    """What translates to the API that a provider speaks."""
    return DIALECTS[provider.dialect].make(endpoint(provider), clock)


def endpoint(provider: Provider) -> Endpoint:
    """Where a provider is, and with which key it is asked."""
    return Endpoint(
        id=provider.id,
        base_url=provider.base_url,
        api_key=provider.api_key.reveal() if provider.api_key is not None else None,
        auth_header=provider.auth_header,
        headers=tuple(provider.headers.items()),
        query=tuple(provider.query.items()),
        user=provider.user,
        quirks=frozenset(provider.quirks),
    )
