"""A delegated key: what its holder may spend of a wallet, on what, and until when. Once made it never changes."""

from datetime import UTC, datetime
from typing import Literal

import msgspec

Period = Literal["lifetime", "day", "month"]


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Money in nano-USD, times in Unix milliseconds. `limit` is for each `period` (UTC); None: only the wallet's
    balance limits it. An empty `models` allows every one."""

    id: str  # UUIDv7
    account: str
    label: str = ""
    limit: int | None = None
    period: Period = "lifetime"
    models: tuple[str, ...] = ()
    created_ms: int
    expires_ms: int | None = None

    def spending(self, at_ms: int) -> str:
        """The account that counts what is spent by a hold made at `at_ms`: the period is the hold's."""
        if self.period == "lifetime":
            return f"{PREFIX}{self.id}"
        # Out of what Python's calendar knows no clock of ours can be; a date is still a date then.
        day = datetime.fromtimestamp(min(max(at_ms, 0) // 1000, _LAST_S), UTC)
        return f"{PREFIX}{self.id}:{day:%Y-%m-%d}" if self.period == "day" else f"{PREFIX}{self.id}:{day:%Y-%m}"


class KeyState(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it stands: what it has spent and holds in the period that is now, in nano-USD."""

    key: Key
    ended_ms: int | None = None
    spent: int = 0
    held: int = 0

    @property
    def left(self) -> int | None:
        """What may still be held; None where only the wallet's balance limits it."""
        return None if self.key.limit is None else max(0, self.key.limit - self.spent - self.held)


class KeyPage(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first. `living` and `total` are of all the account's keys: those without an end, and every one."""

    keys: tuple[KeyState, ...]
    living: int
    total: int
    next_cursor: str | None = None


PREFIX = "key:"
_LAST_S = 253_402_300_799  # 9999-12-31T23:59:59Z


def key_of(spending: str) -> str:
    """The id of the key whose spending an account counts."""
    return spending.removeprefix(PREFIX).partition(":")[0]
