"""The rules of paying providers: no more than is owed, unless it is said to be in advance. Pure."""

from tollway.domain.commands import Pay, Refused
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.ledger.decision import INVALID, REUSED, SAME, TABLE, Decision, View, answer_of, booked, state_of
from tollway.ledger.transfer import Transfer, provider_account, source_account

OVER_OWED = Refused(reason="over_owed")


def pay(command: Pay, view: View, seq: int, at_ms: int) -> Decision:
    provider, source = provider_account(command.provider), source_account(command.source)
    chain = view.chain(command.id)
    cell = TABLE[state_of(chain)]["pay"]
    if isinstance(cell, Refused):
        return Decision(cell)
    if cell == SAME:
        before = chain[0]
        same = (provider, source, command.amount, command.ref) == (
            before.account,
            before.counterparty,
            before.amount,
            before.ref,
        )
        return Decision(answer_of(before) if same else REUSED)
    if not 0 < command.amount <= AMOUNT_NANO_MAX:
        return Decision(INVALID)
    owed = view.owed(provider)
    if command.amount > owed and not command.advance:
        return Decision(OVER_OWED)
    transfer = Transfer(
        seq=seq,
        id=command.id,
        kind="pay",
        at_ms=at_ms,
        account=provider,
        previous=0,
        amount=command.amount,
        available=owed - command.amount,
        counterparty=source,
        unlimited=command.advance,
        ref=command.ref,
    )
    return booked(transfer, view)
