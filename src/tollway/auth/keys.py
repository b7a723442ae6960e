"""Who calls by a delegated key: the secret in, a Caller out. A key's terms never change, so they are kept; whether it
has ended is asked of the books, by whoever gives anything for it: a hold for a call, `check` for anything else.

The secret is 256 random bits, so that its hash alone needs no salt and no slow hashing; it is stored nowhere.
"""

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable

from tollway.auth.cache import PositiveCache
from tollway.domain.call import Caller
from tollway.domain.clock import Clock
from tollway.domain.errors import InvalidKey, KeyEnded, KeyExpired
from tollway.domain.keys import Key, KeyState
from tollway.domain.seams import Ledger

PREFIX = "tollway_"  # by which people, and programs that look for lost secrets, know one
SECRET_BYTES = 32
KNOWN_MS = 600_000  # that terms are kept: what is not used for that long is looked up again

_SECRET = re.compile(rb"tollway_[A-Za-z0-9_-]{43}\Z")
_UNKNOWN = "This key is none of this router: check that it was copied whole."
_ENDED = "This key has been ended by its owner: ask for a new one."
_EXPIRED = "This key has expired: ask its owner for a new one."


def new_secret() -> str:
    """A secret, to be shown once."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str | bytes) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).hexdigest()


def is_key(token: bytes) -> bool:
    """Whether a bearer token is meant to be a key: nothing else begins so."""
    return token.startswith(PREFIX.encode())


class KeyRing:
    def __init__(self, ledger: Ledger, clock: Clock, check_account: Callable[[str], None]) -> None:
        """`check_account` raises AccountNotAllowed for wallets whose keys are worth no more than they."""
        self._ledger = ledger
        self._clock = clock
        self._check_account = check_account
        self._known: PositiveCache[Caller] = PositiveCache()  # by the secret's hash

    async def identify(self, secret: bytes, unknown: Callable[[], Awaitable[None]] | None) -> Caller:
        """Whose key it is. Raises InvalidKey, KeyExpired, AccountNotAllowed, LedgerUnavailable; that it has ended is
        found by a hold, or by `check`."""
        now_ms = self._clock.now_ms()
        digest = hash_of(secret)
        caller = self._known.get(digest.encode(), now_ms)
        if caller is None:
            if unknown is not None:
                await unknown()
            state = await self._ledger.key(digest) if _SECRET.match(secret) else None
            if state is None:
                raise InvalidKey(_UNKNOWN)
            caller = _caller(state.key, digest)
            self._known.put(digest.encode(), caller, now_ms + KNOWN_MS)
        assert caller.key is not None, "what is known here came by a key"
        if caller.key.expires_ms is not None and caller.key.expires_ms <= now_ms:
            raise KeyExpired(_EXPIRED)
        self._check_account(caller.account)
        return caller

    async def check(self, caller: Caller) -> KeyState:
        """The key as it stands, for what no hold decides on. Raises InvalidKey, KeyEnded, LedgerUnavailable."""
        state = await self._ledger.key(caller.message_hash)
        if state is None:
            raise InvalidKey(_UNKNOWN)
        if state.ended_ms is not None:
            raise KeyEnded(_ENDED)
        return state


def _caller(key: Key, digest: str) -> Caller:
    never = 0 if key.expires_ms is None else key.expires_ms // 1000
    return Caller(account=key.account, caip_account_id=key.account, message_hash=digest, expires_at=never, key=key)
