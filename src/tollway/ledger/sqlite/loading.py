"""Reads into memory what the books lack there. Knows neither rules nor what is written."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from tollway.domain.errors import LedgerUnavailable
from tollway.ledger.books import Books, Key
from tollway.ledger.sqlite.reader import Reader


class Read(Protocol):
    """Await a reading of the file. Raises LedgerUnavailable when it fails."""

    async def __call__(self, reading: Coroutine[Any, Any, Any], /) -> Any: ...


class Loading:
    """Of one memory: what is read for it is never let into one that has been rebuilt since."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._under_way: dict[Key, asyncio.Task[bool]] = {}
        self._given_up = False

    def give_up(self) -> None:
        """That memory is to be rebuilt: let nothing in any more."""
        self._given_up = True

    async def load(self, keys: Sequence[Key], reading: Callable[[], Reader], read: Read) -> bool:
        """False when the file can't be read. Loads of the same thing share one read. `reading` gives the reader when
        its turn comes, or raises LedgerUnavailable."""
        for key in keys:
            if key not in self._under_way:
                self._under_way[key] = asyncio.get_running_loop().create_task(self._fetch(key, reading, read))
        for task in [self._under_way[key] for key in keys]:
            if not await asyncio.shield(task):
                return False
        return True

    async def _fetch(self, key: Key, reading: Callable[[], Reader], read: Read) -> bool:
        kind, wanted = key
        try:
            if kind == "account":
                account = await read(reading().account(wanted))
                if not self._given_up:
                    self._books.accounts.setdefault(wanted, account)
            elif kind == "key":
                known = await read(reading().key(wanted))
                if not self._given_up:
                    self._books.keys.setdefault(wanted, known)
            elif kind == "claim":
                claim = await read(reading().claim(wanted))
                if not self._given_up:
                    self._books.claims.remember(wanted, claim)
            else:
                chain = await read(reading().chain(wanted))
                if not self._given_up:
                    self._books.remember(wanted, chain)
        except LedgerUnavailable:
            return False
        finally:
            del self._under_way[key]
        return True
