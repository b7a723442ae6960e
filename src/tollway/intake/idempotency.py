"""The Idempotency-Key of a request: the header's limits, and the hashes that stand for it and for the request.

Must not know what is done with it. A key is taken as it stands, quotes and all: whoever sends one sends the same again.
"""

import hashlib

from tollway.domain.claims import Claim
from tollway.domain.errors import RequestError
from tollway.domain.keys import Key

HEADER = "Idempotency-Key"
KEY_BYTES_MAX = 255  # as elsewhere; a UUID has 36


def claim(key: bytes | None, request_hash: str, delegated: Key | None = None) -> Claim | None:
    """None without the header. What comes by a `delegated` key is apart from its wallet's and other keys': who holds
    one must not be given their answers. Raises RequestError for a key that is empty, too long or no printable ASCII."""
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_BYTES_MAX or not all(0x20 <= byte <= 0x7E for byte in key):
        raise RequestError(
            f"{HEADER} must be 1 to {KEY_BYTES_MAX} printable ASCII characters, such as a UUID: send another one.",
            param=HEADER,
        )
    named = key if delegated is None else f"{delegated.id}\n".encode() + key  # which no header's value can begin with
    return Claim(key=hashlib.sha256(named).hexdigest(), request=request_hash)
