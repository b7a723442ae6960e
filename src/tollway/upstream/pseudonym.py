"""The name a provider knows a caller's end user by: the same for the same user of one wallet, and telling nothing else.

Two wallets' users never share one, whatever they call themselves, so a provider can't link wallets; and without the
key nobody can try out accounts or users until one fits.
"""

import functools
import hmac
from collections.abc import Callable

PSEUDONYM_CHARS = 32  # hex, 128 bits: no two users meet, and providers take at least 64 characters
REMEMBERED_MAX = 10_000  # pairs of account and user: a few MB; making one takes some microseconds

Pseudonym = Callable[[str, str | None], str]


def pseudonyms(key: bytes) -> Pseudonym:
    """A function of a wallet's account and the call's own `user`, None when it names none. `key`: 32 secret bytes."""

    @functools.lru_cache(REMEMBERED_MAX)
    def pseudonym(account: str, user: str | None) -> str:
        # No account contains a line feed: account and user can't be divided in another way.
        about = account if user is None else f"{account}\n{user}"
        return hmac.digest(key, about.encode("utf-8", "surrogatepass"), "sha256").hex()[:PSEUDONYM_CHARS]

    return pseudonym
