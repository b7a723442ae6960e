"""Time, passed in so that tests can hold it still."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Unix time in milliseconds: what messages, ids and records carry. May jump when the host's clock is set."""

    def monotonic(self) -> float:
        """Seconds that only go forward: what durations and rolling windows are measured with."""


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)
