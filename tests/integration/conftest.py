"""What holds for every test over HTTP: it ends. Waiting for a router that is wrong must fail one test, not hang all."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

TEST_S_MAX = 90.0  # the slowest takes two seconds, and ten on a machine that is busy with other things


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == here and inspect.iscoroutinefunction(item.obj):
            item.obj = bounded(item.obj)


def bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def within_limit(*args: Any, **fixtures: Any) -> None:
        async with asyncio.timeout(TEST_S_MAX):
            await test(*args, **fixtures)

    return within_limit
