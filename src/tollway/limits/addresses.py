"""The door: what one address may do before it has said who it is. Must not know wallets' allowances.

An address is an IPv4 address, or the first 64 bits of an IPv6 one: that is what one customer has (RFC 6177).
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from tollway.domain.call import Caller
from tollway.domain.errors import MissingSignIn, SignInError
from tollway.domain.limit import Ask, Rate
from tollway.limits import told
from tollway.limits.allowances import Allowances
from tollway.limits.counts import Counts

ADDRESS_CHARS_MAX = 64  # of one that is neither: more than any server writes

_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:192.0.2.1 is an IPv4 address (RFC 4291, 2.5.5.2)


class Identify(Protocol):
    """auth.signin.SignIn.identify: `unknown` is awaited before anything dear is done about a sign-in."""

    def __call__(
        self, sign_in: bytes | None, authorization: bytes | None, *, unknown: Callable[[], Awaitable[None]]
    ) -> Awaitable[Caller]: ...


def address_of(client: tuple[str, int] | None) -> str:
    """The address behind ASGI's `client`; "" where the server doesn't know it (a Unix socket)."""
    host = "" if client is None else client[0]
    if ":" not in host:
        return host[:ADDRESS_CHARS_MAX]
    try:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except OSError:
        return host[:ADDRESS_CHARS_MAX]
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return packed[:8].hex(":", 2) + "::/64"


class Door:
    """One a configuration; what it counts outlives it."""

    def __init__(self, counts: Counts, allowances: Allowances) -> None:
        self._limiter = counts.addresses
        self._observer = counts.observer
        self._arriving = counts.arriving
        self._allowances = allowances

    def arriving(self, address: str) -> None:
        """A call's caller, or its body, is still to come, until `arrived` is said of it. Raises RateLimited: whoever
        sends slowly, signed in or not, must leave places for the others."""
        under_way, most = self._arriving.get(address, 0), self._allowances.arriving
        if under_way >= most:
            self._observer.limited("address", "arriving")
            raise told.crowded("address", "arriving", "requests on their way", most)
        self._arriving[address] = under_way + 1

    def arrived(self, address: str) -> None:
        """Such a call has come, or won't."""
        left = self._arriving[address] - 1
        if left:
            self._arriving[address] = left
        else:
            del self._arriving[address]

    async def identify(
        self, address: str, identify: Identify, sign_in: bytes | None, authorization: bytes | None
    ) -> Caller:
        """Who calls. An address that has failed too often is not listened to for a while, but for sign-ins that were
        found good before: others may be behind the same address. Raises as `identify`, and RateLimited."""
        rates = self._allowances.failed_sign_ins

        async def unknown() -> None:
            await self._listen(rates, address)

        try:
            return await identify(sign_in, authorization, unknown=unknown)
        except MissingSignIn:
            raise  # nothing was tried, and nothing dear was done
        except SignInError:
            if rates:
                await self._limiter.take((self._failures(rates, address),))
            raise

    async def nonce(self, address: str) -> None:
        """Before a nonce is made. Raises RateLimited."""
        rates = self._allowances.nonces
        if not rates:
            return
        taken = await self._limiter.take((Ask(key=f"n:{address}", rates=rates),))
        if taken is not None and taken.short is not None:
            self._observer.limited("address", "nonces")
            raise told.over_rate("address", "nonces", "nonces", taken)

    async def _listen(self, rates: tuple[Rate, ...], address: str) -> None:
        if not rates:
            return
        looked = await self._limiter.look((self._failures(rates, address),))
        if looked is not None and looked.short is not None:
            self._observer.limited("address", "failed_sign_ins")
            raise told.over_rate("address", "failed_sign_ins", "failed sign-ins", looked)

    def _failures(self, rates: tuple[Rate, ...], address: str) -> Ask:
        return Ask(key=f"s:{address}", rates=rates)
