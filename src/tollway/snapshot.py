"""What a running router serves, as one immutable value: replaced whole if at all, kept by a call until its end."""

import msgspec

from tollway.intake.limits import Limits
from tollway.routing.catalog import Catalog
from tollway.upstream.attempts import Attempts


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """A gift for every new account, in nano-USD, and the most that is ever given away."""

    amount: int
    total_max: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration, joined and checked. Times in seconds."""

    catalog: Catalog
    attempts: Attempts
    limits: Limits
    body_bytes_max: int
    calls_max: int  # at once; more are refused before memory grows
    keep_alive_s: float
    slow_reader_s: float
    slow_sender_s: float
    unlimited: bool  # billing.mode = "metered": count and record, never refuse
    welcome: Welcome | None = None
