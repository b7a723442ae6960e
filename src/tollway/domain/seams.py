"""The seams: protocols with one method that matters, each with a conformance suite in tests/contract/."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Protocol

import msgspec

from tollway.domain.commands import Balance, Command, Disabled, Result, Statement, StoredAnswer, UsageBy, UsageReport
from tollway.domain.keys import KeyPage, KeyState
from tollway.domain.limit import Ask, Taken
from tollway.domain.record import CallRecord


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a provider, whole: header names in lower case, the body encoded."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connect_timeout: float  # seconds, TCP and TLS together
    fresh_connection: bool = False  # not one that was used before


class HttpResponse(Protocol):
    """An answer whose head has come. Always closed by whoever got it."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case; the first value of a repeated header."""

    async def read(self) -> bytes:
        """The next bytes of the body as they come, at most 256 KiB; b"" at its end. Reading stops at the socket when
        nobody calls, so memory stays bounded. ProviderFault("cut") when the connection ends before the body does."""

    def whole(self) -> bytes | None:
        """All of the body that hasn't been read, where it has come to its end, so that nobody has to wait for it; else
        None, and `read` gives what there is."""

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        """Give the body's pieces to `take` in the moment they come, until it says False, which it may of one that it
        took, or no more come: `read` goes on from there, and says how the body ended. What `take` raises comes out."""

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else drop it. Safe to call twice."""


def nobody_asks() -> None:
    """For who needn't know when a request went out."""


class Transport(Protocol):
    async def send(self, request: HttpRequest, on_sent: Callable[[], object] = nobody_asks) -> HttpResponse:
        """Send one request and wait for the head of the answer. Never follows a redirect, never decodes a body, never
        retries once a byte of the request may have been seen by the provider. Cancelling drops the connection.

        `on_sent` is called once there is a connection, before the first byte of the request is written to it: a send
        that ends without that call is one the provider saw nothing of.

        Raises ProviderFault("connect_failed") for anything that goes wrong before the head has come; where that is the
        end of a connection that had been used before, "stale_connection": it may have been closed while it lay idle."""

    async def aclose(self) -> None:
        """Drop every pooled connection."""


class Ledger(Protocol):
    """A store of the books. It keeps, loads and commits; what is allowed is decided by ledger/book.py alone."""

    @property
    def ready(self) -> bool:
        """Whether commands are being booked at the moment."""

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        """Carry out `commands` in order, as one: the result of a Hold or NoteDelivery comes when it is
        decided, every other when durable.

        Raises LedgerUnavailable (nothing of it is or will be booked) or LedgerOutcomeUnknown (ask again, same ids)."""

    async def balance(self, account: str) -> Balance | None: ...

    async def statement(self, account: str, *, limit: int, cursor: str | None = None) -> Statement:
        """Newest first. ValueError for a cursor that is not one of ours."""

    async def call(self, account: str, id: str) -> CallRecord | None:
        """A call of this account by its id, or by the provider's response id (the newest, if one repeats)."""

    async def usage(self, account: str, *, by: UsageBy, first: date, last: date) -> UsageReport:
        """What posted calls came to, from `first` to `last` (UTC, both included). ValueError for a period of too many
        days, or with too many users to tell apart."""

    async def revoked(self, message_hash: str) -> bool:
        """Whether a `Revoke` of the message was answered before this was asked, on whichever replica. Raises
        LedgerUnavailable when that can't be told: then the message is not accepted."""

    async def disabled(self) -> Mapping[str, Disabled]:
        """The providers that are out of service, by id: as every `SetProvider` that was answered before this was asked
        says, on whichever replica. Not to be changed. Raises as `revoked` does."""

    async def key(self, secret_hash: str) -> KeyState | None:
        """The delegated key with this secret (sha256, hex), ended or not; as `revoked` says it is known."""

    async def keys(self, account: str, *, limit: int, cursor: str | None = None) -> KeyPage:
        """An account's delegated keys, newest first. ValueError for a cursor that is not one of ours."""

    async def answer(self, account: str, key: str) -> StoredAnswer | None:
        """What the call that claimed an Idempotency-Key (sha256, hex) was answered; None when no success is committed
        under it, or its day is over."""

    async def prune(self, before_ms: int, limit: int) -> int:
        """Remove up to `limit` records of calls that ended before then, the oldest first, and say how many there were.
        What they moved stays. Raises LedgerUnavailable."""

    async def secret(self, name: str) -> bytes:
        """32 random bytes under `name`, made on first use and kept with the books (the HMAC key of nonces)."""

    async def aclose(self) -> None:
        """Commit what is queued and let go of the store."""


class LimitStore(Protocol):
    """Counts of what was taken lately, and of who is at it now: of wallets, of providers, of addresses. It keeps no
    rules: each ask brings its rates, so that a new configuration finds what was counted under the old one.

    Theory. However the takers come, no period of a rate ever holds more than its `most` of what was *taken*. What was
    taken comes back a period later, a sixtieth of it late at the most. `settle` puts right what it came to: only that
    can carry a count over its limit."""

    async def take(self, asks: Sequence[Ask]) -> Taken:
        """All of `asks` or nothing, as one. Raises LimitsUnavailable when the store can't be asked: who asks knows
        whether that is a yes or a no."""

    async def look(self, asks: Sequence[Ask]) -> Taken:
        """What `take` would say; takes nothing."""

    def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """What was taken came to `amounts`, one an ask. Counts where it was taken, for as long as that does. Returns at
        once and raises nothing: a store that is elsewhere does it in the background."""

    def leave(self, taken: Taken) -> None:
        """The taker is done: it is no longer one of `at_once`. Said once for what was taken; returns at once, as
        `settle` does, since who leaves may have been cancelled."""
