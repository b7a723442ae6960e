"""One transaction on one connection: locks in id order, the book's decisions, rows in bulk, COMMIT. Two round trips.

Knows what is asked of the server and in which order; not who waits, nor what to do when it fails.

The accounts of all commands are locked first, in one order for every process, and only then are chains and nonces
read: what is decided from can't change until the COMMIT. The same update that renews the process's lease proves that
its epoch is still its own; another process that wants to end the epoch waits for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tollway.domain.commands import BurnNonce, Hold, Result
from tollway.domain.record import Delivery
from tollway.ledger.claims import CLAIM_MS, FORGET_EACH
from tollway.ledger.postgres.arrays import Row, literal_of
from tollway.ledger.postgres.needed import Booked, Known, Needed, Owner, looked_up, needed
from tollway.ledger.postgres.page import Found, Page
from tollway.ledger.postgres.queries import QUERIES
from tollway.ledger.postgres.server import Connection


class EpochEnded(Exception):
    """Another process has ended this one's epoch, because its lease had run out."""


class Transaction:
    """`commit_sent` tells what a lost connection means."""

    def __init__(self, connection: Connection, owner: Owner, lease_s: float, pending_from: int) -> None:
        self._connection = connection
        self._owner = owner
        self._lease = (lease_s, pending_from, owner.epoch)
        self.commit_sent = False
        self.first_number = pending_from

    async def run(
        self,
        commands: Sequence[Booked],
        notes: Mapping[int, Delivery],
        known: Known,
        at_ms: int,
    ) -> tuple[Page, list[Result | None]]:
        """Raises EpochEnded, Moved, AssertionError (books that contradict themselves), and psycopg.Error."""
        wanted = needed(commands, known, self._owner, at_ms)
        page = Page(self._owner, known, await self._read(commands, wanted))
        results = [page.carry_out(command, at_ms) for command in commands]
        for seq, delivery in notes.items():
            page.note(seq, delivery)
        statements = page.statements()
        async with self._connection.pipeline():
            for query, parameters in statements:
                await self._connection.execute(QUERIES[query], parameters, prepare=True)
            if page.claimed:
                old = (at_ms - CLAIM_MS, page.claimed * FORGET_EACH)
                await self._connection.execute(QUERIES["forget_claims"], old, prepare=True)
            self.commit_sent = True
            await self._connection.execute(QUERIES["commit"], prepare=True)
        return page, results

    async def _read(self, commands: Sequence[Booked], locked: Needed) -> Found:
        burns = [command for command in commands if isinstance(command, BurnNonce)]
        ids = looked_up(commands)
        wanted: list[tuple[str, tuple[Any, ...]]] = [("begin", ()), ("renew_epoch", self._lease)]
        if locked.providers:
            wanted.append(("lock_payouts", ()))
        if locked.accounts:
            ordered = sorted(locked.accounts)
            shards = "{" + ",".join(str(shard) for _, shard in ordered) + "}"
            wanted.append(("lock_accounts", (literal_of(account for account, _ in ordered), shards)))
        if locked.keys:
            wanted.append(("lock_keys", (literal_of(locked.keys),)))
        if ids:
            wanted.append(("chains", (literal_of(ids),)))
        if locked.claims:
            places = literal_of(locked.claims)
            wanted += [("claims", (places,)), ("chains_of_claims", (places,))]
        if locked.keepers:
            wanted.append(("kept", (literal_of(locked.keepers),)))
        holders = {command.account for command in commands if isinstance(command, Hold)}
        if holders:
            wanted.append(("frozen_of", (literal_of(holders),)))
        if locked.providers:
            wanted.append(("owed", (literal_of(locked.providers),)))
        if burns:
            accounts = literal_of(burn.account for burn in burns)
            wanted.append(("nonces_used", (accounts, literal_of(burn.nonce for burn in burns))))
            wanted.append(("forgotten", ()))
        wanted.append(("numbers", ()))
        async with self._connection.pipeline():
            cursors = {
                query: await self._connection.execute(QUERIES[query], parameters, prepare=True)
                for query, parameters in wanted
            }
        rows: dict[str, list[Row]] = {
            query: await cursor.fetchall() for query, cursor in cursors.items() if cursor.description is not None
        }
        if not rows["renew_epoch"]:
            raise EpochEnded
        self.first_number = rows["numbers"][0][0]
        return Found(
            accounts=rows.get("lock_accounts", ()),
            chains=[*rows.get("chains", ()), *rows.get("chains_of_claims", ())],
            claims=rows.get("claims", ()),
            kept=rows.get("kept", ()),
            keys=rows.get("lock_keys", ()),
            frozen=rows.get("frozen_of", ()),
            owed=rows.get("owed", ()),
            nonces=rows.get("nonces_used", ()),
            forgotten_ms=rows["forgotten"][0][0] if burns else 0,
            first_number=self.first_number,
        )
