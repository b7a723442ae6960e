"""Who calls, decided: header values in, a Caller out, or the error that says which rule the sign-in broke.

The order is cheap before dear, and the one step with an effect last: open, read, domain, chain, time, nonce, signature,
account, revocation, and only then is a single-use nonce used up, durably. Whatever can't be decided is refused.
A single-use sign-in is never cached; any other is known by its header until it expires, and each call asks again what
may have changed: the time, and whether it was revoked.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tollway.auth import ed25519, secp256k1
from tollway.auth.cache import PositiveCache
from tollway.auth.envelope import HEADER_BYTES_MAX, HOW, Envelope, open_envelope
from tollway.auth.keys import KeyRing, is_key
from tollway.auth.message import SignInMessage, parse_message
from tollway.auth.nonce import Nonces
from tollway.auth.policy import Policy, SignInSettings, Window, is_single_use
from tollway.domain.call import Caller
from tollway.domain.clock import Clock
from tollway.domain.commands import Burned, BurnNonce, Command, Refused, Result, Revoke, Revoked
from tollway.domain.errors import (
    ExpiredSignIn,
    InternalError,
    InvalidSignature,
    LedgerOutcomeUnknown,
    LedgerUnavailable,
    MissingSignIn,
    NonceRequired,
    NonceUsed,
    RevokedSignIn,
    ScopeRequired,
    SignInError,
    WalletRequired,
)
from tollway.domain.seams import Ledger
from tollway.wire import chains

_BEARER = b"bearer "
_SIGN_IN = "Sign-In-With-X header"
_TOKEN = "bearer token"  # noqa: S105  # its name, not its value
_VERIFIERS: dict[chains.Namespace, Callable[[str, bytes, str], bool]] = {
    "solana": ed25519.verify,
    "eip155": secp256k1.verify,
}
_NEW_NONCE = "get one at GET /session/nonce and sign a message with it"


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that passed everything and may be used again. It is kept until its window closes."""

    caller: Caller
    opens_ms: int


class SignIn:
    def __init__(self, settings: SignInSettings, ledger: Ledger, clock: Clock, nonce_key: bytes) -> None:
        """`nonce_key` comes from the ledger, so that every process on it knows the others' nonces. ValueError for
        settings that can't be."""
        self._policy = Policy(settings)
        self._ledger = ledger
        self._clock = clock
        self._nonces = Nonces(nonce_key)
        self.keys = KeyRing(ledger, clock, self._policy.check_account)
        self._known: PositiveCache[_Known] = PositiveCache()  # by sha256 of the header value, signature and all
        self._verified: PositiveCache[bool] = PositiveCache()  # by sha256 of message and signature

    async def identify(
        self,
        sign_in: bytes | None,
        authorization: bytes | None,
        *,
        scope: str | None = None,
        unknown: Callable[[], Awaitable[None]] | None = None,
    ) -> Caller:
        """The caller behind the values of `Sign-In-With-X` and `Authorization` (the first wins). With `scope`
        (`urn:tollway:scope:...`), only by a fresh server nonce and a message that names it in Resources. `unknown` is
        awaited before a sign-in is examined that isn't known from before, and may raise instead.

        A delegated key comes as a bearer token; that it has ended is not looked at here, see auth/keys.py.

        Raises a SignInError, AccountNotAllowed, or LedgerUnavailable when single use could not be recorded."""
        value, carrier = _choose(sign_in, authorization)
        if carrier == _TOKEN and is_key(value):
            if scope is not None:
                raise WalletRequired("A delegated key can't do this: sign in with the wallet.")
            return await self.keys.identify(value, unknown)
        now_ms = self._clock.now_ms()
        key = b""
        if len(value) <= HEADER_BYTES_MAX and scope is None:
            key = hashlib.sha256(value).digest()
            known = self._known.get(key, now_ms)
            if known is not None and now_ms >= known.opens_ms:
                if await self._ledger.revoked(known.caller.message_hash):
                    raise _revoked()
                return known.caller
        if unknown is not None:
            await unknown()
        return await self._examine(value, carrier, key, now_ms, scope)

    def issue_nonce(self) -> tuple[str, int]:
        """A single-use nonce to sign, and when it expires (Unix seconds)."""
        return self._nonces.issue(self._clock.now_ms())

    async def revoke(self, caller: Caller) -> None:
        """Refuse this caller's signed message from now on, durably. Raises LedgerUnavailable."""
        expires_ms = caller.expires_at * 1000 + self._policy.skew_ms
        command = Revoke(account=caller.account, message_hash=caller.message_hash, expires_ms=expires_ms)
        result = await self._apply([command], "Revoking the sign-in could not be confirmed: try again.")
        if not isinstance(result, Revoked):
            raise InternalError("Revoking the sign-in failed.")

    async def _examine(self, value: bytes, carrier: str, key: bytes, now_ms: int, scope: str | None) -> Caller:
        envelope = open_envelope(value, carrier)
        message = parse_message(envelope.text)
        self._policy.check_domain(message)
        self._policy.check_chain(message)
        window = self._policy.window(message, envelope.kind, now_ms)
        nonce_expires_ms = self._check_nonce(message, now_ms, scope)
        self._check_signature(envelope, message, window, now_ms)
        ours = nonce_expires_ms is not None
        caller = _caller(envelope, message, window)
        self._policy.check_account(caller.account)
        single_use = is_single_use(envelope, ours)
        if await self._ledger.revoked(caller.message_hash):
            raise _used() if single_use else _revoked()
        if not single_use:
            self._known.put(key, _Known(caller=caller, opens_ms=window.opens_ms), window.closes_ms)
            return caller
        assert message.nonce is not None, "the fields form has one, and ours is one"
        last_ms = max(window.closes_ms, (nonce_expires_ms or 0) + self._policy.skew_ms)
        await self._burn(caller, message.nonce, last_ms, envelope)
        return caller

    def _check_nonce(self, message: SignInMessage, now_ms: int, scope: str | None) -> int | None:
        """When the message's nonce expires if it is ours, else None. A nonce of ours is never taken for another's, so
        that it can't come back as a bearer token once the ledger has forgotten it."""
        expires_ms = self._nonces.expiry_ms(message.nonce) if message.nonce is not None else None
        if expires_ms is None:
            if scope is not None or self._policy.nonces_required:
                raise NonceRequired(f"This needs a sign-in with a single-use nonce of this router: {_NEW_NONCE}.")
            return None
        if now_ms >= expires_ms:
            raise ExpiredSignIn(f"The sign-in's nonce has expired: {_NEW_NONCE}.")
        if scope is not None and scope not in message.resources:
            raise ScopeRequired(f"This needs a sign-in whose Resources name {scope}: sign a message that does.")
        return expires_ms

    def _check_signature(self, envelope: Envelope, message: SignInMessage, window: Window, now_ms: int) -> None:
        """Over the bytes received. A pair of message and signature found good once is not computed again."""
        text = envelope.text.encode()
        key = hashlib.sha256(b"%d:%b%b" % (len(text), text, envelope.signature.encode())).digest()
        if self._verified.get(key, now_ms):
            return
        if not _VERIFIERS[message.namespace](message.address, text, envelope.signature):
            raise InvalidSignature("The signature is not this account's over this message: sign the exact text sent.")
        self._verified.put(key, True, window.closes_ms)

    async def _burn(self, caller: Caller, nonce: str, last_ms: int, envelope: Envelope) -> None:
        """Use the nonce up before the call goes on. The fields form's text, sent again in the text form, would be a
        bearer token if its nonce isn't ours: so the text is revoked with it."""
        commands: list[Command] = [BurnNonce(account=caller.account, nonce=nonce, expires_ms=last_ms)]
        if envelope.kind == "fields":
            expires_ms = max(last_ms, caller.expires_at * 1000 + self._policy.skew_ms)
            commands.append(Revoke(account=caller.account, message_hash=caller.message_hash, expires_ms=expires_ms))
        result = await self._apply(commands, "The sign-in could not be recorded as used: sign a new message.")
        if isinstance(result, Refused) and result.reason == "nonce_used":
            raise _used()
        if not isinstance(result, Burned):
            raise InternalError("The sign-in could not be recorded as used.")

    async def _apply(self, commands: Sequence[Command], unknown: str) -> Result:
        """The first command's result; `unknown` is what to say when it may or may not be booked."""
        try:
            results = await self._ledger.apply(commands)
        except LedgerOutcomeUnknown:
            raise LedgerUnavailable(unknown) from None
        return results[0]


def _choose(sign_in: bytes | None, authorization: bytes | None) -> tuple[bytes, str]:
    """The value to read and where it came from: SDKs send a dummy bearer token beside the sign-in."""
    if sign_in:
        return sign_in, _SIGN_IN
    if authorization and authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].lstrip(b" "), _TOKEN
    raise MissingSignIn(f"Sign in with a wallet. {HOW} The same value may come as a bearer token.")


def _caller(envelope: Envelope, message: SignInMessage, window: Window) -> Caller:
    return Caller(
        account=chains.account_id(message.chain, message.address),
        caip_account_id=f"{message.chain}:{message.address}",
        message_hash=hashlib.sha256(envelope.text.encode()).hexdigest(),
        expires_at=-(-window.expires_ms // 1000),
    )


def _used() -> SignInError:
    return NonceUsed("This sign-in was for one call and has been used: sign a new message with a new nonce.")


def _revoked() -> SignInError:
    return RevokedSignIn("This sign-in was revoked: sign a new message.")
