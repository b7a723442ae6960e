"""Who waits for what: requests, and the queue of them. Knows nothing of databases."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from tollway.domain.commands import Command, Result
from tollway.ledger.postgres.page import COMMANDS_MAX


class Request:
    """Commands that belong together, and who waits for their results."""

    __slots__ = ("commands", "future")

    def __init__(self, commands: Sequence[Command], future: "asyncio.Future[list[Result]]") -> None:
        self.commands = commands
        self.future = future

    def answer(self, results: Sequence[Result | None]) -> None:
        if not self.future.done():
            self.future.set_result([result for result in results if result is not None])

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def fail_all(requests: Iterable[Request], error: Exception) -> None:
    for request in requests:
        request.fail(error)


class Queue:
    """Requests, first in, first out."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self.commands = 0

    def __bool__(self) -> bool:
        return bool(self._requests)

    def add(self, request: Request) -> None:
        self._requests.append(request)
        self.commands += len(request.commands)

    def take(self) -> list[Request]:
        """As many as a transaction may carry out, at least one."""
        taken: list[Request] = []
        commands = 0
        while self._requests and (not taken or commands + len(self._requests[0].commands) <= COMMANDS_MAX):
            taken.append(self._requests.popleft())
            commands += len(taken[-1].commands)
        self.commands -= commands
        return taken

    def fail(self, error: Exception) -> None:
        fail_all(self._requests, error)
        self._requests.clear()
        self.commands = 0
