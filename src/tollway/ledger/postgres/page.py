"""The part of the books that one transaction has locked: what it decides from, and the rows it will write.

Knows neither connections nor rules: the book decides, and what is read comes in as rows.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from tollway.domain.answer import RESPONSE_ID_CHARS_MAX
from tollway.domain.commands import (
    BurnNonce,
    Frozen,
    Post,
    Result,
    Reverse,
    Revoke,
    SetFrozen,
    SetProvider,
    Void,
)
from tollway.domain.record import Delivery
from tollway.ledger.books import Books
from tollway.ledger.claims import shelf_of
from tollway.ledger.decision import (
    Decision,
    DeliveryNote,
    Expire,
    KnownClaim,
    KnownKey,
    RecountNote,
    state_of,
)
from tollway.ledger.postgres.arrays import Row, columns, text
from tollway.ledger.postgres.needed import Booked, Known, Owner, row_of
from tollway.ledger.rows import read_key, read_transfer, recount_row, storable
from tollway.ledger.transfer import (
    REVENUE,
    Account,
    Transfer,
    account_of,
    counterparty_of,
    provider_of,
)
from tollway.ledger.usage import DAY_MS, Sums, add_call
from tollway.wire import json

COMMANDS_MAX = 1024  # in a transaction; a block of numbers has room for their transfers and the accounts they begin
ACCOUNTS_FROM = 2048  # in a block: where the numbers of new accounts begin


class Moved(Exception):
    """An id turned out to be a hold or an entry that nobody had looked up, so its account isn't locked: begin again."""


class Found(msgspec.Struct, kw_only=True):
    """What was read under the locks."""

    accounts: Sequence[Row]  # query `lock_accounts`
    chains: Sequence[Row]  # queries `chains` and `chains_of_claims`
    keys: Sequence[Row]  # query `lock_keys`
    claims: Sequence[Row]
    kept: Sequence[Row]
    frozen: Sequence[Row]
    owed: Sequence[Row]  # providers' accounts, and what each is owed in all
    nonces: Sequence[Row]
    forgotten_ms: int
    first_number: int


class Page:
    """Carries commands out on what was found, and gathers what they write."""

    def __init__(self, owner: Owner, known: Known, found: Found) -> None:
        self._owner = owner
        self._openings = known.openings
        self._revenue: dict[int, Account] = {}
        self._touched: dict[int, tuple[Account, int]] = {}  # by number, with the shard
        self._rows: dict[str, list[Row]] = {}
        self._revocations: dict[str, Row] = {}
        self._providers: dict[str, Row] = {}
        self._frozen: dict[str, Row] = {}
        self._keys: dict[str, KnownKey] = {}
        self._claims: dict[str, Row] = {}
        self._kept: dict[tuple[str, int], int] = {}  # bytes of answers by wallet and day
        self._usage: dict[tuple[int, int, str, str], Sums] = {}
        self._usage_by_name: dict[tuple[int, int, str, str], Sums] = {}  # by day, wallet, kind of name, name
        self.deliveries: dict[int, Delivery] = {}  # by the post's seq
        self.chains: dict[str, tuple[Transfer, ...]] = {}  # as they are now, of the ids that were booked
        self._books = books = Books(complete=True, forgotten_ms=found.forgotten_ms)
        books.next_seq = found.first_number
        books.next_account_no = found.first_number + ACCOUNTS_FROM
        for *row, shard in found.accounts:
            account = read_account(row)
            if account.id == REVENUE:
                self._revenue[shard] = account
            else:
                books.accounts[account.id] = account
        for own, chain in _chains(found.chains).items():
            books.remember(own, chain)
        for key in map(read_key, found.keys):
            books.keys[key.key.id] = key
        for claim in found.claims:
            books.claims.remember(claim[0], KnownClaim(*claim))
        for account_id, day, size in found.kept:
            books.claims.shelves.remember(shelf_of(account_id, day * DAY_MS), size)
        for account_id, since_ms, who, why in found.frozen:
            books.frozen[account_id] = Frozen(since_ms=since_ms, by=who, why=why)
        for provider, owed in found.owed:
            books.owed_elsewhere[provider] = int(owed) - books.account(provider).available
        self._keys_before = frozenset(books.keys)
        for account_id, nonce in found.nonces:
            books.burn(account_id, nonce, 0)

    def carry_out(self, command: Booked, at_ms: int) -> Result | None:
        """Decide a command and enter it. Raises Moved; AssertionError when the books contradict themselves."""
        shard = self._shard_of(command)
        if isinstance(command, Reverse):
            self._check_locked(command)
        self._books.accounts[REVENUE] = self._revenue.setdefault(shard, Account(id=REVENUE))
        decision = self._books.decide(command, at_ms)
        if decision.transfer is not None or decision.note is not None:
            record = json.encode(decision.record).decode() if decision.record is not None else None
            self._books.enter(decision)
            self._keep(decision, record, shard)
        return decision.result

    def note(self, seq: int, delivery: Delivery) -> None:
        self.deliveries.setdefault(seq, delivery)

    def statements(self) -> list[tuple[str, tuple[str, ...]]]:
        """The queries that write it all, and their parameters. In an order that is the same for every process."""
        self._settle_accounts()
        rows = self._rows
        rows["insert_nonces"] = sorted(rows.get("insert_nonces", ()))
        rows["insert_revocations"] = [self._revocations[key] for key in sorted(self._revocations)]
        rows["insert_providers"] = [self._providers[key] for key in sorted(self._providers)]
        rows["insert_frozen"] = [self._frozen[account] for account in sorted(self._frozen)]
        rows["insert_claims"] = [self._claims[key] for key in sorted(self._claims)]
        rows["answer_claims"] = rows.pop("answer_claims", [])  # after the claims of this transaction
        rows["insert_kept"] = [(*shelf, self._kept[shelf]) for shelf in sorted(self._kept)]
        ended = sorted(self._keys.keys() & self._keys_before)
        rows["end_keys"] = [(own, self._keys[own].ended_ms) for own in ended]
        rows["insert_keys"] = [_key_row(self._keys[own]) for own in sorted(self._keys.keys() - self._keys_before)]
        rows["insert_deliveries"] = sorted(self.deliveries.items())
        rows["insert_recounts"] = sorted(rows.get("insert_recounts", ()), key=lambda row: row[0])
        rows["insert_usage"] = [
            (account, day, model, provider, *storable(sums))
            for (day, account, model, provider), sums in self._usage.items()
        ]
        rows["insert_usage_by_name"] = [
            (account, day, kind, name, *storable(sums))
            for (day, account, kind, name), sums in self._usage_by_name.items()
        ]
        return [(query, columns(found)) for query, found in rows.items() if found]

    @property
    def claimed(self) -> int:
        """How many claims are new."""
        return len(self._claims)

    def _shard_of(self, command: Booked) -> int:
        """Where the hold stands that `command` makes or ends."""
        if not isinstance(command, (Post, Void, Expire)):
            return self._owner.shard
        if (opening := self._openings.get(command.id)) is not None:
            return opening.shard
        chain = self._books.chain(command.id)
        if chain and chain[0].kind == "hold" and command.id not in self.chains:
            raise Moved(command.id)
        return self._owner.shard

    def _check_locked(self, command: Reverse) -> None:
        chain = self._books.chain(command.id)
        if state_of(chain) in ("credited", "posted") and chain[0].account not in self._books.accounts:
            raise Moved(command.id)

    def _keep(self, decision: Decision, record: str | None, shard: int) -> None:
        transfer, note = decision.transfer, decision.note
        if transfer is not None:
            for debit, credit, _, _ in decision.legs:
                self._touch(debit, shard)
                self._touch(credit, shard)
            self._append("insert_transfers", _row(transfer, decision, self._owner.epoch))
            self.chains[transfer.id] = self._books.chain(transfer.id)
            if record is not None and decision.record is not None:
                response_id = (decision.record.response_id or "")[:RESPONSE_ID_CHARS_MAX] or None
                self._append("insert_calls", (transfer.seq, response_id, record))
                if transfer.kind == "post":
                    wallet, usage, charged = decision.legs[0][0].no, decision.record.usage, transfer.amount
                    day = transfer.at_ms // DAY_MS
                    provider = provider_of(transfer.counterparty)
                    add_call(self._usage, (day, wallet, transfer.model, provider), usage, charged)
                    if (user := decision.record.user) is not None:
                        add_call(self._usage_by_name, (day, wallet, "user", text(user)), usage, charged)
                    if (key := decision.record.key) is not None:
                        add_call(self._usage_by_name, (day, wallet, "key", text(key)), usage, charged)
            if (claim := decision.claim) is not None and claim.answered:
                self._append("answer_claims", (decision.answer, claim.place, claim.id))
                if decision.answer is not None:
                    shelf = (transfer.account, claim.at_ms // DAY_MS)
                    self._kept[shelf] = self._kept.get(shelf, 0) + len(decision.answer)
            elif claim is not None:
                self._claims[claim.place] = (claim.place, claim.id, claim.request, claim.at_ms, False)
        elif isinstance(note, BurnNonce):
            self._append("insert_nonces", (note.account, note.nonce, note.expires_ms))
        elif isinstance(note, Revoke):
            before = self._revocations.get(note.message_hash)
            expires_ms = note.expires_ms if before is None else max(before[2], note.expires_ms)
            self._revocations[note.message_hash] = (note.message_hash, note.account, expires_ms)
        elif isinstance(note, KnownKey):
            self._keys[note.key.id] = note
        elif isinstance(note, SetProvider):
            off = note.disabled
            self._providers[note.provider] = (note.provider, off and off.since_ms, off and off.why)
        elif isinstance(note, SetFrozen):
            since = note.frozen
            self._frozen[note.account] = (
                note.account,
                since and since.since_ms,
                since and since.by,
                since and since.why,
            )
        elif isinstance(note, DeliveryNote):
            self.note(note.seq, note.delivery)
        elif isinstance(note, RecountNote):
            self._append("insert_recounts", recount_row(note))

    def _touch(self, account: Account, shard: int) -> None:
        if account.no not in self._touched:
            if account.id != REVENUE:
                shard = row_of(account.id, self._owner)
            self._touched[account.no] = (account, shard)

    def _settle_accounts(self) -> None:
        pending_sum = posted_sum = 0
        for account, shard in sorted(self._touched.values(), key=lambda touched: (touched[0].id, touched[1])):
            pending = account.debits_pending - account.credits_pending
            posted = account.debits_posted - account.credits_posted
            before = account.stored or (0, 0)
            pending_sum += pending - before[0]
            posted_sum += posted - before[1]
            counters = (account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted)
            if account.stored is None:
                self._append("insert_accounts", (account.no, account.id, shard, *counters, account.last_seq))
            else:
                self._append("update_accounts", (account.no, *counters, account.last_seq))
        assert pending_sum == 0 == posted_sum, "a transaction must leave the sum over all accounts at zero"

    def _append(self, query: str, row: Row) -> None:
        self._rows.setdefault(query, []).append(row)


def read_account(row: Sequence[Any]) -> Account:
    """From the columns that `lock_accounts`, `account` and `all_accounts` select; sums come as text."""
    own_id, no, debits_pending, debits_posted, credits_pending, credits_posted, last_seq = row
    account = Account(
        id=own_id,
        no=no,
        debits_pending=int(debits_pending),
        debits_posted=int(debits_posted),
        credits_pending=int(credits_pending),
        credits_posted=int(credits_posted),
        last_seq=last_seq,
    )
    account.stored = (
        account.debits_pending - account.credits_pending,
        account.debits_posted - account.credits_posted,
    )
    return account


def _chains(rows: Sequence[Row]) -> dict[str, tuple[Transfer, ...]]:
    chains: dict[str, tuple[Transfer, ...]] = {}
    for row in rows:
        transfer = read_transfer(row)
        chain = chains.get(transfer.id, ())
        if not chain or chain[-1].seq < transfer.seq:  # one may have been found in two ways
            chains[transfer.id] = (*chain, transfer)
    return chains


def _row(transfer: Transfer, decision: Decision, epoch: int) -> Row:
    """The columns of query `insert_transfers`."""
    kind = transfer.kind
    hold, post, reversal = kind == "hold", kind == "post", kind == "reverse"
    return (
        transfer.seq,
        transfer.id,
        kind,
        transfer.at_ms,
        account_of(transfer, decision.legs).no,
        transfer.previous,
        transfer.amount,
        transfer.available,
        counterparty_of(transfer, decision.legs).no if transfer.counterparty else None,
        epoch if hold else None,
        json.encode(transfer.bounds).decode() if hold else None,
        transfer.unlimited if hold or reversal or kind == "pay" else None,
        transfer.model or None,
        transfer.held if kind in ("post", "void", "expire") else None,
        transfer.price if post or reversal else None,
        transfer.cost if post or reversal else None,
        transfer.over_max,
        transfer.late if post else None,
        transfer.ref or None,
        transfer.key or None,
    )


def _key_row(known: KnownKey) -> Row:
    """The columns of query `insert_keys`."""
    key = known.key
    return (key.id, key.account, known.secret_hash, json.encode(key).decode(), known.ended_ms)
