"""What a running router serves, as one immutable value: replaced whole by a reload, kept by a call until its end."""

import msgspec

from tollway.auth.signin import SignIn
from tollway.config.places import Network
from tollway.egress.receipts import Receipts
from tollway.intake.limits import Limits
from tollway.limits.addresses import Door
from tollway.limits.providers import Gates
from tollway.limits.wallets import Wallets
from tollway.recount.recounts import Recounts
from tollway.routing.catalog import Catalog
from tollway.upstream.attempts import Attempts


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """A gift for every new account, in nano-USD, and the most that is ever given away."""

    amount: int
    total_max: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """The configuration, joined and checked. Times in seconds."""

    sign_in: SignIn
    challenge: bytes  # WWW-Authenticate
    catalog: Catalog
    attempts: Attempts
    door: Door
    wallets: Wallets
    gates: Gates
    limits: Limits
    body_bytes_max: int
    bodies_bytes_max: int  # of those that came in pieces, of all calls together
    header_bytes_max: int  # all headers of a request together
    calls_max: int  # at once; more are refused before memory grows
    connections_max: int  # of callers, at once
    keep_alive_s: float
    slow_reader_s: float
    kept_bytes_max: int  # of answers that are kept of a wallet's calls of a day
    slow_sender_s: float
    drain_s: float
    unlimited: bool  # billing.mode = "metered": count and record, never refuse
    receipts: Receipts
    recounts: Recounts
    welcome: Welcome | None = None
    trusted_proxies: tuple[Network, ...] = ()  # whose X-Forwarded-For is believed
    cors_origins: tuple[str, ...] = ()  # of pages whose scripts may read answers; "*" is any
