"""The rules of reversals: an entry that was wrong is taken back by another one, at most once. Pure.

A reversal shares the id of what it reverses, so that the chain of an id says whether it was. What a call was charged
goes back to its wallet, out of revenue and, for what of it was the provider's, out of the operator's loss or, when the
operator says so, the provider's account. A credit goes back to its source.
"""

from tollway.domain.commands import Refused, Reverse
from tollway.ledger.decision import REUSED, SAME, TABLE, Decision, View, answer_of, booked, post_of, state_of
from tollway.ledger.transfer import Transfer

OVER_FREE = Refused(reason="over_free")


def reverse(command: Reverse, view: View, seq: int, at_ms: int) -> Decision:
    chain = view.chain(command.id)
    state = state_of(chain)
    cell = TABLE[state]["reverse"]
    if isinstance(cell, Refused):
        return Decision(cell)
    if cell == SAME:
        before = chain[-1]
        given_up = before.cost if command.provider else 0
        return Decision(answer_of(before) if before.price == given_up else REUSED)
    wrong = chain[0] if state == "credited" else post_of(chain)
    wallet = view.account(wrong.account)
    back = wrong.amount
    if state == "credited":
        if back > wallet.available and not command.force:
            return Decision(OVER_FREE)
        back = -back
    transfer = Transfer(
        seq=seq,
        id=command.id,
        kind="reverse",
        at_ms=at_ms,
        account=wrong.account,
        previous=wallet.last_seq,
        amount=wrong.amount,
        available=wallet.available + back,
        counterparty=wrong.counterparty,
        unlimited=command.force,
        model=wrong.model,
        price=wrong.cost if command.provider else 0,
        cost=wrong.cost,
        ref=command.why,
    )
    return booked(transfer, view)
