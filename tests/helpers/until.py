"""Waiting for what has no event to wait on: a condition looked at again and again, within a deadline."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

DEADLINE_S = 10.0  # far beyond what anything here takes, also on a busy machine
LOOK_AGAIN_S = 0.005


async def until(condition: Callable[[], object | Awaitable[object]], deadline_s: float = DEADLINE_S) -> None:
    """Return once `condition` is true. TimeoutError, with its source, when it doesn't come."""
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                found = condition()
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        raise TimeoutError(f"not within {deadline_s} s: {inspect.getsource(condition).strip()}") from None


async def still(value: Callable[[], object], for_s: float, deadline_s: float = DEADLINE_S) -> None:
    """Return once `value` has been the same for `for_s` seconds: whatever moved it has stopped, or is held up."""
    loop = asyncio.get_running_loop()
    last, since = value(), loop.time()

    def unmoved() -> bool:
        nonlocal last, since
        if (now := value()) != last:
            last, since = now, loop.time()
        return loop.time() - since >= for_s

    await until(unmoved, deadline_s)
