"""What was found good stays known until it expires: a bounded map that forgets what was asked for least recently.

It vouches for what does not change. Time, single use and revocation are asked again at every call.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

# About 10 MB of known sign-ins; a wallet beyond it costs one verification (about 50 us).
ENTRIES_MAX = 10_000


class PositiveCache(Generic[T]):
    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries: OrderedDict[bytes, tuple[int, T]] = OrderedDict()
        self._entries_max = entries_max

    def get(self, key: bytes, now_ms: int) -> T | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now_ms >= entry[0]:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: bytes, value: T, until_ms: int) -> None:
        """Keep `value` for lookups before `until_ms` (Unix milliseconds)."""
        self._entries[key] = (until_ms, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
