"""Things to wait for, and what ended a wait."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tollway.domain.waiting import Interrupted
from tollway.upstream.watch import CallWatch


async def forever() -> None:
    await asyncio.Event().wait()


async def value(given: str) -> str:
    await asyncio.sleep(0)
    return given


async def reason(watch: CallWatch, awaited: Coroutine[Any, Any, Any] | None = None) -> str:
    """What ended a wait."""
    with pytest.raises(Interrupted) as interrupted:
        await watch.wait(awaited or forever())
    return interrupted.value.reason


def uncancelled() -> bool:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling() == 0
