"""A caller's Idempotency-Key, as the books see it: who claims one, and the answer kept under it.

Only hashes of the key and of the request are here. A claim belongs to an account.
"""

import msgspec


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a call says of itself when it wants to be carried out once."""

    key: str  # sha256 of the Idempotency-Key, hex
    request: str  # sha256 of the request's body, hex: the same key with another one is a mistake


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a call that claimed `key`, to be kept in its post's commit."""

    key: str
    answer: bytes | None  # in a form that egress/replay.py knows; None: too large to be kept
    room: int | None = None  # bytes of answers that are kept of a wallet's calls of a UTC day; None: any number
