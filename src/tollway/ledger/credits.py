"""The rules of money that comes in. Pure; the theory of operation stands in book.py."""

from tollway.domain.commands import Credit, Refused
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.ledger.decision import INVALID, REUSED, SAME, TABLE, Decision, View, answer_of, booked, state_of
from tollway.ledger.transfer import Transfer, is_wallet, source_account


def credit(command: Credit, view: View, seq: int, at_ms: int) -> Decision:
    source = source_account(command.source)
    cell = TABLE[state_of(chain := view.chain(command.id))]["credit"]
    if isinstance(cell, Refused):
        return Decision(cell)
    if cell == SAME:
        first = chain[0]
        same = (command.account, command.amount, source, command.ref) == (
            first.account,
            first.amount,
            first.counterparty,
            first.ref,
        )
        return Decision(answer_of(first) if same else REUSED)
    if not 0 < command.amount <= AMOUNT_NANO_MAX:
        return Decision(INVALID)
    if not is_wallet(command.account):
        return Decision(Refused(reason="unknown_account"))
    if command.source_max is not None and view.account(source).debits_posted + command.amount > command.source_max:
        return Decision(Refused(reason="source_exhausted"))
    wallet = view.account(command.account)
    transfer = Transfer(
        seq=seq,
        id=command.id,
        kind="credit",
        at_ms=at_ms,
        account=command.account,
        previous=wallet.last_seq,
        amount=command.amount,
        available=wallet.available + command.amount,
        counterparty=source,
        ref=command.ref,
    )
    return booked(transfer, view)
