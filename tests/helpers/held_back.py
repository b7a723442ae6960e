"""A ledger that is slow when a test wants it to be."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tollway.domain.commands import Command, Post, Result


class HeldBackPosts:
    """A ledger whose posts wait until they are let go."""

    def __init__(self, apply: Callable[[Sequence[Command]], Awaitable[list[Result]]]) -> None:
        self._apply = apply
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        if any(isinstance(command, Post) for command in commands):
            self.asked.set()
            await self.let_go.wait()
        return await self._apply(commands)
