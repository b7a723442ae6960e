"""Reads into memory what the books lack there. Knows neither rules nor what is written."""

import asyncio
from collections.abc import Sequence

from tollway.domain.errors import LedgerUnavailable
from tollway.ledger.books import Books, Key
from tollway.ledger.sqlite.reader import Reader


class Loading:
    """Of one memory: what is read for it is never let into one that has been rebuilt since."""

    def __init__(self, books: Books, reader: Reader) -> None:
        self._books = books
        self._reader = reader
        self._under_way: dict[Key, asyncio.Task[bool]] = {}
        self._given_up = False

    def give_up(self) -> None:
        """That memory is to be rebuilt: let nothing in any more."""
        self._given_up = True

    async def load(self, keys: Sequence[Key]) -> bool:
        """False when the file can't be read. Loads of the same thing share one read."""
        for key in keys:
            if key not in self._under_way:
                self._under_way[key] = asyncio.get_running_loop().create_task(self._fetch(key))
        for task in [self._under_way[key] for key in keys]:
            if not await asyncio.shield(task):
                return False
        return True

    async def _fetch(self, key: Key) -> bool:
        kind, wanted = key
        try:
            if kind == "account":
                account = await self._reader.account(wanted)
                if not self._given_up:
                    self._books.accounts.setdefault(wanted, account)
            elif kind == "key":
                known = await self._reader.key(wanted)
                if not self._given_up:
                    self._books.keys.setdefault(wanted, known)
            elif kind == "shelf":
                kept = await self._reader.kept(wanted)
                if not self._given_up:
                    self._books.claims.shelves.remember(wanted, kept)
            elif kind == "claim":
                claim = await self._reader.claim(wanted)
                if not self._given_up:
                    self._books.claims.remember(wanted, claim)
            else:
                chain = await self._reader.chain(wanted)
                if not self._given_up:
                    self._books.remember(wanted, chain)
        except LedgerUnavailable:
            return False
        finally:
            del self._under_way[key]
        return True
