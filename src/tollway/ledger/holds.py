"""The rules of a hold and of its ends: post, void, expiry. Pure; the theory of operation stands in book.py."""

import msgspec

from tollway.domain.commands import Hold, Insufficient, Post, Refused, Void
from tollway.domain.keys import key_of
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.domain.record import CallRecord
from tollway.ledger import claims
from tollway.ledger.decision import (
    INVALID,
    REUSED,
    SAME,
    TABLE,
    Decision,
    Expire,
    View,
    answer_of,
    booked,
    post_of,
    state_of,
)
from tollway.ledger.keys import left, left_over, refusal
from tollway.ledger.transfer import Kind, Transfer, is_wallet, provider_account


def reserve(command: Hold, view: View, seq: int, at_ms: int) -> Decision:
    chain = view.chain(command.id)
    if chain:
        first = chain[0]
        same = (
            first.kind == "hold"
            and first.account == command.account
            and first.bounds == command.bounds
            and first.unlimited == command.unlimited
            and key_of(first.key) == command.key
        )
        return Decision(answer_of(first) if same else REUSED)
    if not is_wallet(command.account):
        return Decision(Refused(reason="unknown_account"))
    if command.account in view.frozen:
        return Decision(Refused(reason="account_frozen"))
    spending, allowed = "", AMOUNT_NANO_MAX
    if command.key:
        known = view.key(command.key)
        reason = refusal(command, known, at_ms)
        if known is None or reason is not None:
            return Decision(Refused(reason=reason or "unknown_key"))
        spending = known.key.spending(at_ms)
        if (limit := left(known, spending, view)) is not None:
            allowed = limit
    if command.claim is not None and (taken := claims.taken(command.account, command.claim, view, at_ms)) is not None:
        return Decision(taken)
    wallet = view.account(command.account)
    available = wallet.available
    bounds = command.bounds
    granted = -1
    for bound in bounds:
        if not 0 <= bound <= AMOUNT_NANO_MAX:
            return Decision(INVALID)
        if bound > granted and (bound <= available or command.unlimited) and bound <= allowed:
            granted = bound
    if not bounds:
        return Decision(INVALID)
    if granted < 0:
        if allowed < available or command.unlimited:
            return Decision(Insufficient(available=max(allowed, 0), short="key"))
        return Decision(Insufficient(available=available))
    transfer = Transfer(
        seq,
        command.id,
        "hold",
        at_ms,
        command.account,
        wallet.last_seq,
        granted,
        available - granted,
        bounds=bounds,
        unlimited=command.unlimited,
        model=command.model,
        key=spending,
    )
    decision = booked(transfer, view)
    return decision if command.claim is None else claims.made(decision, command.claim)


def post(command: Post, view: View, seq: int, at_ms: int) -> Decision:
    chain = view.chain(command.id)
    cell = TABLE[state_of(chain)]["post"]
    if cell != "posted":
        if isinstance(cell, Refused):
            return Decision(cell)
        before = post_of(chain)
        return Decision(answer_of(before) if _same_post(command, before) else REUSED)
    price, cost, over_max = command.price, command.cost, command.over_max
    if not (0 <= price <= AMOUNT_NANO_MAX and 0 <= cost <= AMOUNT_NANO_MAX) or (over_max is not None and over_max < 0):
        return Decision(INVALID)
    hold = chain[0]
    late = len(chain) > 1
    held = 0 if late else hold.amount
    wallet = view.account(hold.account)
    available = wallet.available
    charged = price if price <= held else _charged(command, hold, held, available, left_over(hold, view))
    transfer = Transfer(
        seq,
        command.id,
        "post",
        at_ms,
        hold.account,
        wallet.last_seq,
        charged,
        available + held - charged,
        counterparty=provider_account(command.provider),
        model=command.record.model or hold.model,
        held=held,
        price=price,
        cost=cost,
        over_max=over_max,
        late=late,
        key=hold.key,
    )
    decision = booked(transfer, view, _settled(command.record, hold, charged, cost))
    return decision if command.kept is None else claims.answered(decision, command.kept, view)


def _charged(command: Post, hold: Transfer, held: int, available: int, allowed: int | None) -> int:
    """What the wallet pays of a price that its hold doesn't cover: the part within the hold, then as much more as is
    free and as the caller and the limit of the key that the hold was made through (`allowed`) allow."""
    price = command.price
    within = min(price, hold.amount)
    over = price - within
    if command.over_max is not None:
        over = min(over, command.over_max)
    secured = min(within, held)
    unsecured = within + over - secured
    if allowed is not None:
        unsecured = min(unsecured, max(allowed, 0))
    return secured + (unsecured if hold.unlimited else min(unsecured, max(available, 0)))


def give_back(command: Void | Expire, view: View, seq: int, at_ms: int) -> Decision:
    kind: Kind = "void" if isinstance(command, Void) else "expire"
    chain = view.chain(command.id)
    cell = TABLE[state_of(chain)][kind]
    if isinstance(cell, Refused):
        return Decision(cell)
    if cell == SAME:
        return Decision(answer_of(chain[-1]))
    hold = chain[0]
    wallet = view.account(hold.account)
    transfer = Transfer(
        seq,
        command.id,
        kind,
        at_ms,
        hold.account,
        wallet.last_seq,
        hold.amount,
        wallet.available + hold.amount,
        model=hold.model,
        held=hold.amount,
        key=hold.key,
    )
    return booked(transfer, view, _settled(command.record, hold, 0, 0) if isinstance(command, Void) else None)


def _same_post(command: Post, before: Transfer) -> bool:
    return (command.price, command.cost, command.over_max, provider_account(command.provider)) == (
        before.price,
        before.cost,
        before.over_max,
        before.counterparty,
    )


def _settled(record: CallRecord, hold: Transfer, charged: int, cost: int) -> CallRecord:
    """The record as it is kept: whose call it is and what it came to are the books' word, not the sender's."""
    if (
        record.price == charged
        and record.cost == cost
        and record.held == hold.amount
        and record.id == hold.id
        and record.account == hold.account
    ):
        return record
    return msgspec.structs.replace(record, id=hold.id, account=hold.account, price=charged, cost=cost, held=hold.amount)
