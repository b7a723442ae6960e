"""A loop whose clock jumps to the next timer as soon as nothing else can happen: hours pass in no time, in order.

Where nothing is left that could ever happen, the test fails at once instead of hanging.
"""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import Any


class _Selector(selectors.DefaultSelector):
    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("the test waits for something that nobody will do")
        self.passed += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For tests without sockets and threads. Its time begins at 1,000 s."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return 1_000.0 + self._clock.passed


def virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on a VirtualTimeLoop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def now() -> float:
    """Seconds of the running loop."""
    return asyncio.get_running_loop().time()


class LoopClock:
    """domain.clock.Clock on the running loop's time."""

    def now_ms(self) -> int:
        return 1_767_225_600_000 + round(now() * 1000)

    def monotonic(self) -> float:
        return now()
