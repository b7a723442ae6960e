"""What a transaction needs before the book can decide: which accounts, keys and claims it locks, which ids it reads.

Knows the commands and what was looked up before the locks; neither connections nor rules.
"""

from collections.abc import Iterable, Mapping

import msgspec

from tollway.domain.commands import (
    Command,
    CreateKey,
    Credit,
    EndKey,
    Hold,
    NoteDelivery,
    NoteRecount,
    Pay,
    Post,
    Reverse,
    SetFrozen,
    Void,
)
from tollway.domain.keys import Key, key_of
from tollway.ledger.claims import place_of
from tollway.ledger.decision import Expire
from tollway.ledger.transfer import LOSS, REVENUE, provider_account, source_account

# Accounts that every process moves, and none decides from; of revenue pending holds stand where they were made.
SHARDED = ("provider:", "router:")

_LOOKED_UP = (Hold, Post, Void, Expire, Credit, NoteDelivery, NoteRecount, Reverse, Pay)

Booked = Command | Expire
Shard = tuple[str, int]  # an account's id and shard: a row


class Owner(msgspec.Struct, frozen=True):
    """Which process books: the epoch that owns its holds, and the shard of the router's accounts that it moves."""

    epoch: int
    shard: int


class Opening(msgspec.Struct, frozen=True):
    """Whose hold an id is, the shard it stands in until it ends, and the account that counts its key's spending."""

    account: str
    shard: int
    spending: str = ""
    seq: int = 0


class Entry(msgspec.Struct, frozen=True):
    """Between whom a credit or a post moved money."""

    account: str
    counterparty: str


class Known(msgspec.Struct, frozen=True):
    """What was looked up before the locks, and never changes."""

    openings: Mapping[str, Opening]  # of the ids that are holds
    entries: Mapping[str, Entry]  # of those that may be reversed
    terms: Mapping[str, Key]  # of delegated keys, by id


class Needed(msgspec.Struct, frozen=True):
    """What a transaction has to lock."""

    accounts: set[Shard]
    keys: set[str]  # ids
    claims: set[str]  # places; the lock of their wallet locks these
    keepers: set[str]  # wallets whose answers are counted; their lock locks the counts too
    providers: set[str]  # accounts of those that are owed less after it


def needed(commands: Iterable[Booked], known: Known, owner: Owner, at_ms: int) -> Needed:
    """What `commands` may move."""
    accounts: set[Shard] = set()
    keys: set[str] = set()
    claims: set[str] = set()
    keepers: set[str] = set()
    providers: set[str] = set()
    openings, entries, terms = dict(known.openings), dict(known.entries), known.terms
    for command in commands:
        if isinstance(command, Hold):
            spending = ""
            if command.key:
                keys.add(command.key)
                if command.key in terms:
                    spending = terms[command.key].spending(at_ms)
                    accounts.add((spending, 0))
            accounts.update(((command.account, 0), (REVENUE, owner.shard)))
            if command.claim is not None:
                claims.add(place_of(command.account, command.claim.key))
            openings.setdefault(command.id, Opening(command.account, owner.shard, spending))
        elif isinstance(command, Credit):
            source = source_account(command.source)
            accounts.update(((command.account, 0), (source, 0)))
            entries.setdefault(command.id, Entry(command.account, source))
        elif isinstance(command, (CreateKey, EndKey)):
            keys.add(command.id)
        elif isinstance(command, (Post, Void, Expire)) and (opening := openings.get(command.id)) is not None:
            accounts.update(((opening.account, 0), (REVENUE, opening.shard)))
            if opening.spending:
                accounts.add((opening.spending, 0))
            if isinstance(command, Post):
                provider = provider_account(command.provider)
                accounts.update(((provider, owner.shard), (LOSS, owner.shard)))
                entries.setdefault(command.id, Entry(opening.account, provider))
                if command.kept is not None:
                    claims.add(place_of(opening.account, command.kept.key))
                    keepers.add(opening.account)
                if opening.spending:
                    keys.add(key_of(opening.spending))
        elif isinstance(command, SetFrozen):
            accounts.add((command.account, 0))
        elif isinstance(command, Reverse) and (entry := entries.get(command.id)) is not None:
            accounts.add((entry.account, 0))
            accounts.add((entry.counterparty, row_of(entry.counterparty, owner)))
            accounts.update(((REVENUE, owner.shard), (LOSS, owner.shard)))
            if entry.counterparty.startswith("provider:"):
                providers.add(entry.counterparty)
        elif isinstance(command, Pay):
            provider = provider_account(command.provider)
            accounts.update(((provider, owner.shard), (source_account(command.source), 0)))
            providers.add(provider)
    return Needed(accounts, keys, claims, keepers, providers)


def row_of(account: str, owner: Owner) -> int:
    """The shard of an account that `owner` moves; of revenue it is the hold's to say."""
    return owner.shard if account.startswith(SHARDED) else 0


def looked_up(commands: Iterable[Booked]) -> list[str]:
    """The ids whose chains the book needs."""
    return [command.id for command in commands if isinstance(command, _LOOKED_UP)]


def keys_of(commands: Iterable[Booked]) -> list[str]:
    """The delegated keys that holds come with."""
    return [command.key for command in commands if isinstance(command, Hold) and command.key]


def ends(commands: Iterable[Booked]) -> list[str]:
    """The ids of commands that end a hold."""
    return [command.id for command in commands if isinstance(command, (Post, Void, Expire, NoteDelivery))]


def reversals(commands: Iterable[Booked]) -> list[str]:
    """The ids of what is to be reversed."""
    return [command.id for command in commands if isinstance(command, Reverse)]
