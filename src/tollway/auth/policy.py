"""What the operator accepts: domains, chains, accounts, and how long a sign-in may live. Pure: time is passed in.

No signature is looked at here, and nothing is remembered.
"""

import re
from typing import Literal

import msgspec

from tollway.auth.envelope import Envelope
from tollway.auth.message import SignInMessage
from tollway.domain.errors import (
    AccountNotAllowed,
    ExpiredSignIn,
    InvalidSignIn,
    NotYetValid,
    UnsupportedChain,
    WrongDomain,
)
from tollway.wire import chains

# x402's sign-in-with-x: a message in the fields form is good for five minutes from its issuedAt.
FIELDS_AGE_MAX_MS = 5 * 60 * 1000

_ORIGIN = re.compile(r"https?://([^/?#]+)", re.IGNORECASE)


class SignInSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`domains` are host[:port]; `chains` CAIP-2 ids or `namespace:*`; `accounts` and `deny` "*" or account ids
    (CAIP-10 or as stored). `nonces = "required"` asks a server nonce of every call."""

    domains: tuple[str, ...]
    chains: tuple[str, ...]
    accounts: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    max_lifetime_s: float = 3600.0
    clock_skew_s: float = 60.0
    nonces: Literal["optional", "required"] = "optional"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """When a message is accepted, clock skew included: from `opens_ms` until before `closes_ms` (Unix milliseconds).
    `expires_ms` is the message's own end."""

    opens_ms: int
    closes_ms: int
    expires_ms: int


class Policy:
    def __init__(self, settings: SignInSettings) -> None:
        """ValueError for an account that is none."""
        self._domains = settings.domains
        self._chains = frozenset(settings.chains)
        self._chain_names = settings.chains
        self._accounts = _parse_accounts(settings.accounts)
        self._deny = _parse_accounts(settings.deny)
        self._lifetime_max_ms = int(settings.max_lifetime_s * 1000)
        self.skew_ms = int(settings.clock_skew_s * 1000)
        self.nonces_required = settings.nonces == "required"

    def check_domain(self, message: SignInMessage) -> None:
        """The message's domain, and its URI's host[:port]: a message is reused for other paths, never elsewhere."""
        accepted = ", ".join(self._domains)
        details: dict[str, object] = {"accepted_domains": list(self._domains)}
        if message.domain not in self._domains:
            raise WrongDomain(f"The sign-in is for another domain; accepted here: {accepted}.", details=details)
        origin = _ORIGIN.match(message.uri)
        if origin is None or origin[1] not in self._domains:
            raise WrongDomain(
                f"The sign-in's URI is not http(s) at an accepted domain; accepted here: {accepted}.", details=details
            )

    def check_chain(self, message: SignInMessage) -> None:
        if message.chain not in self._chains and f"{message.namespace}:*" not in self._chains:
            raise UnsupportedChain(
                f"Sign-ins on this chain are not accepted; accepted here: {', '.join(self._chain_names)}.",
                details={"accepted_chains": list(self._chain_names)},
            )

    def check_account(self, account: str) -> None:
        """`account` is a stored id whose signature was verified."""
        denied = "*" in self._deny or account in self._deny
        if denied or ("*" not in self._accounts and account not in self._accounts):
            raise AccountNotAllowed("This account may not use this router; ask its operator to allow it.")

    def window(self, message: SignInMessage, kind: Literal["text", "fields"], now_ms: int) -> Window:
        """When the message is accepted, which includes now. Raises ExpiredSignIn, NotYetValid, or InvalidSignIn for one
        that lives too long or has no end."""
        issued, ends = message.issued_at_ms, message.expires_ms
        if kind == "fields" and issued is not None:
            limit = issued + FIELDS_AGE_MAX_MS
            usable_until = limit if ends is None else min(limit, ends)
        elif ends is not None:
            usable_until = ends
        else:
            raise InvalidSignIn("The signed message has no Expiration Time: sign one that has.")
        if now_ms >= usable_until + self.skew_ms:
            raise ExpiredSignIn("The sign-in has expired: sign a new message.")
        starts = [time for time in (issued, message.not_before_ms) if time is not None]
        if any(now_ms < start - self.skew_ms for start in starts):
            raise NotYetValid("The sign-in is not valid yet: check the clock of the machine that signed it.")
        if ends is not None:
            longest_ms = self._lifetime_max_ms + self.skew_ms
            if ends - (now_ms if issued is None else issued) > longest_ms:
                raise InvalidSignIn(
                    f"The sign-in lives longer than is accepted: its Expiration Time may be at most "
                    f"{self._lifetime_max_ms // 1000} seconds ahead."
                )
            if issued is None:
                starts.append(ends - longest_ms + self.skew_ms)
        return Window(
            opens_ms=max(starts, default=0) - self.skew_ms,
            closes_ms=usable_until + self.skew_ms,
            expires_ms=usable_until if ends is None else ends,
        )


def is_single_use(envelope: Envelope, ours: bool) -> bool:
    """A server nonce, and whatever comes in the fields form, is good for one call. A nonce of the client's own making
    in the text form leaves the message a bearer token."""
    return ours or envelope.kind == "fields"


def _parse_accounts(entries: tuple[str, ...]) -> frozenset[str]:
    return frozenset(entry if entry == "*" else chains.parse_account(entry) for entry in entries)
