"""How the lines of the books and what rides with them stand in columns, and are read from them again.

Knows neither SQL nor how rows come together: the queries of the stores name the columns in these orders.
"""

from typing import Any

from tollway.domain.keys import Key
from tollway.domain.recount import Compared, RecountSums
from tollway.ledger.decision import KnownKey, RecountNote
from tollway.ledger.transfer import Leg, Transfer, account_of, counterparty_of
from tollway.ledger.usage import Sums
from tollway.wire import json

Row = tuple[Any, ...]
TOKENS_MAX = 10**15  # that a batch adds to a sum: far more than there can be, and thousands of them fit 64 bits


def hold_row(hold: Transfer, legs: tuple[Leg, ...], epoch: int) -> Row:
    """Every transfer's wallet has its number by now; a hold's and its ends' is the debit side of their first leg."""
    return (
        hold.seq,
        hold.id,
        hold.at_ms,
        legs[0][0].no,
        hold.previous,
        hold.amount,
        hold.available,
        epoch,
        json.encode(hold.bounds).decode(),
        1 if hold.unlimited else 0,
        hold.model,
        hold.key,
    )


def post_row(post: Transfer, legs: tuple[Leg, ...]) -> Row:
    return (
        post.seq,
        post.id,
        post.at_ms,
        legs[0][0].no,
        post.previous,
        post.amount,
        post.available,
        legs[1][1].no,
        post.model,
        post.held,
        post.price,
        post.cost,
        -1 if post.over_max is None else post.over_max,
        1 if post.late else 0,
        post.key,
    )


def other_row(transfer: Transfer, legs: tuple[Leg, ...]) -> Row:
    """Of a transfer that is neither."""
    kind = transfer.kind
    common = (
        transfer.seq,
        transfer.id,
        transfer.at_ms,
        account_of(transfer, legs).no,
        transfer.previous,
        transfer.amount,
        transfer.available,
    )
    if kind in ("void", "expire"):
        return (*common, transfer.model, transfer.held, transfer.key)
    entry: Row = (*common, counterparty_of(transfer, legs).no, transfer.ref)
    if kind != "credit":
        entry = (*entry, transfer.unlimited)
    if kind == "reverse":
        entry = (*entry, transfer.model, transfer.price, transfer.cost)
    return entry


def read_transfer(row: Row) -> Transfer:
    """A transfer from the columns that the queries `chain`, `statement`, `pending_holds`, `all_transfers` select."""
    seq, own_id, kind, at_ms, account, previous, amount, available, counterparty, bounds, unlimited, model = row[:12]
    held, price, cost, over_max, late, ref, key = row[12:19]
    return Transfer(
        seq=seq,
        id=own_id,
        kind=kind,
        at_ms=at_ms,
        account=account,
        previous=previous,
        amount=amount,
        available=available,
        counterparty=counterparty or "",
        bounds=tuple(json.decode(bounds)) if bounds else (),
        unlimited=bool(unlimited),
        model=model or "",
        held=held or 0,
        price=price or 0,
        cost=cost or 0,
        over_max=over_max,
        late=bool(late),
        ref=ref or "",
        key=key or "",
    )


def read_key(row: Row) -> KnownKey:
    """A delegated key from the columns that the queries `key`, `key_of_secret` and `keys_of` select."""
    terms, secret_hash, ended_ms = row[:3]
    return KnownKey(json.decode_as(terms.encode(), Key), secret_hash, ended_ms)


def recount_row(note: RecountNote) -> Row:
    """Tokens are within 64 bits: no count is over what a call could use."""
    recount = note.recount
    prompt, completion = recount.prompt, recount.completion
    return (
        note.seq,
        note.provider,
        note.model,
        recount.vocabulary,
        json.encode(recount.own).decode(),
        prompt and prompt.reported,
        prompt and prompt.own,
        completion and completion.reported,
        completion and completion.own,
    )


def recount_sums(row: Row) -> RecountSums:
    """From the columns that the query `recounts` selects."""
    provider, model, calls, prompts, *prompt, completions, completion_reported, completion_own = row
    return RecountSums(
        provider=provider,
        model=model,
        calls=calls,
        prompts=prompts,
        prompt=Compared(*prompt),
        completions=completions,
        completion=Compared(completion_reported, completion_own),
    )


def storable(sums: Sums) -> Sums:
    """Tokens that a column can't hold must not fail others' bookings. Money is within its account's counters."""
    calls, *tokens, charged = sums
    if max(tokens) <= TOKENS_MAX and min(tokens) >= 0:
        return sums
    return [calls, *(min(max(0, count), TOKENS_MAX) for count in tokens), charged]
