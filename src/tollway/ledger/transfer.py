"""Double entry: accounts, the lines of the books, and which counters a line moves. Pure.

Knows nothing of commands, holds that are still to be decided, or stores.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from tollway.domain.commands import Balance
from tollway.domain.keys import PREFIX

REVENUE = "router:revenue"  # what we keep; pending holds stand here too, on the credit side
LOSS = "router:loss"  # what the operator bore: cost that no wallet paid
_SOURCE = "source:"
_NOT_WALLETS = ("provider:", "router:", _SOURCE, PREFIX)

# Counters live in 64-bit columns (9.22e18). One transfer moves a counter by at most two amounts, which fit above this.
COUNTER_NANO_MAX = 9 * 10**18

Kind = Literal["credit", "hold", "post", "void", "expire", "reverse", "pay"]


class Account(msgspec.Struct, kw_only=True, gc=False):
    """One account as it stands. `no` is its number in a store, 0 while it has no transfer; `last_seq` its newest."""

    id: str
    no: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    last_seq: int = 0
    stored: tuple[int, int] | None = None  # debits less credits (pending, posted) as a store has them; None: not at all

    @property
    def available(self) -> int:
        return self.credits_posted - self.debits_posted - self.debits_pending

    def balance(self) -> Balance:
        return Balance(
            account=self.id,
            debits_pending=self.debits_pending,
            debits_posted=self.debits_posted,
            credits_pending=self.credits_pending,
            credits_posted=self.credits_posted,
        )


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One line of the books, never changed once written. From these lines alone every counter can be told.

    What each has is given by place: a call with more than 15 named arguments takes half a microsecond longer (CPython
    makes a dict of them first)."""

    seq: int  # its place in the books, from 1
    id: str
    kind: Kind
    at_ms: int
    account: str  # a wallet; pay: the provider's
    previous: int  # seq of the account's transfer before this one, 0 for the first and for a pay
    amount: int  # credited, held, charged, or given back
    available: int  # the account's free balance after it; pay: what the provider is still owed
    counterparty: str = ""  # credit, pay: the source's account; post: the provider's; reverse: of what it reverses
    bounds: tuple[int, ...] = ()  # hold
    unlimited: bool = False  # hold; reverse: forced
    model: str = ""  # hold and its ends, reverse
    held: int = 0  # post, void, expire: what the hold still reserved until then
    price: int = 0  # post: asked of the wallet; reverse: what the provider is owed no more
    cost: int = 0  # post: owed to the provider; reverse: the post's
    over_max: int | None = None  # post
    late: bool = False  # post: the hold had expired
    ref: str = ""  # credit, pay; reverse: why
    key: str = ""  # hold and its ends: the account that counts what the caller's key spends


Leg = tuple[Account, Account, int, int]  # debit, credit, by how much pending and posted move; both sides alike
Accounts = Callable[[str], Account]


def legs_of(transfer: Transfer, account: Accounts) -> tuple[Leg, ...]:
    """The counters a transfer moves. Its account is a side of the first leg; of a hold and its ends the debit side."""
    legs = _LEGS[transfer.kind](transfer, account)
    if not transfer.key:
        return legs
    spending = account(transfer.key)
    if transfer.kind == "hold":
        return (*legs, (spending, spending, transfer.amount, 0))
    return (*legs, (spending, spending, -transfer.held, transfer.amount if transfer.kind == "post" else 0))


def _credit_legs(credit: Transfer, account: Accounts) -> tuple[Leg, ...]:
    return ((account(credit.counterparty), account(credit.account), 0, credit.amount),)


def _pay_legs(pay: Transfer, account: Accounts) -> tuple[Leg, ...]:
    return ((account(pay.account), account(pay.counterparty), 0, pay.amount),)


def _hold_legs(hold: Transfer, account: Accounts) -> tuple[Leg, ...]:
    return ((account(hold.account), account(REVENUE), hold.amount, 0),)


def _back_legs(end: Transfer, account: Accounts) -> tuple[Leg, ...]:
    """Of a void or an expiry."""
    return ((account(end.account), account(REVENUE), -end.held, 0),)


def _post_legs(post: Transfer, account: Accounts) -> tuple[Leg, ...]:
    charged, cost = post.amount, post.cost
    wallet, provider = account(post.account), account(post.counterparty)
    if charged >= cost:
        return ((wallet, account(REVENUE), -post.held, charged - cost), (wallet, provider, 0, cost))
    return (
        (wallet, account(REVENUE), -post.held, 0),
        (wallet, provider, 0, charged),
        (account(LOSS), provider, 0, cost - charged),
    )


def _reversed_legs(transfer: Transfer, account: Accounts) -> tuple[Leg, ...]:
    """Of a credit: back to its source. Of a post: the wallet has back what it was charged; what of that was the
    provider's comes from the provider, where it is owed its cost no more, else from the operator."""
    wallet, other = account(transfer.account), account(transfer.counterparty)
    if transfer.counterparty.startswith(_SOURCE):
        return ((wallet, other, 0, transfer.amount),)
    charged, cost = transfer.amount, transfer.cost
    to_provider = min(charged, cost)
    loss = account(LOSS)
    if transfer.price:
        back = ((other, wallet, 0, to_provider), (other, loss, 0, cost - to_provider))
    else:
        back = ((loss, wallet, 0, to_provider), (other, other, 0, 0))
    return ((account(REVENUE), wallet, 0, charged - to_provider), *back)


_LEGS: Mapping[Kind, Callable[[Transfer, Accounts], tuple[Leg, ...]]] = MappingProxyType(
    {
        "hold": _hold_legs,
        "post": _post_legs,
        "void": _back_legs,
        "expire": _back_legs,
        "credit": _credit_legs,
        "reverse": _reversed_legs,
        "pay": _pay_legs,
    }
)


def fits(legs: tuple[Leg, ...]) -> bool:
    """Whether every counter stays within 64 bits."""
    for debit, credit, pending, posted in legs:
        if posted > 0 and (
            debit.debits_posted + posted > COUNTER_NANO_MAX or credit.credits_posted + posted > COUNTER_NANO_MAX
        ):
            return False
        if pending > 0 and (
            debit.debits_pending + pending > COUNTER_NANO_MAX or credit.credits_pending + pending > COUNTER_NANO_MAX
        ):
            return False
    return True


def enter(transfer: Transfer, legs: tuple[Leg, ...]) -> None:
    """Move the counters. The sum over all accounts stays zero because each leg moves two sides alike."""
    for debit, credit, pending, posted in legs:
        if pending:
            debit.debits_pending += pending
            credit.credits_pending += pending
            assert debit.debits_pending >= 0 <= credit.credits_pending, "more was given back than was held"
        if posted:
            debit.debits_posted += posted
            credit.credits_posted += posted
    if transfer.kind != "pay":  # what a provider is owed is kept in parts
        wallet = account_of(transfer, legs)
        assert wallet.available == transfer.available, "the counters moved otherwise than the transfer says"
        wallet.last_seq = transfer.seq


def account_of(transfer: Transfer, legs: tuple[Leg, ...]) -> Account:
    """The transfer's account."""
    debit, credit, _, _ = legs[0]
    return debit if debit.id == transfer.account else credit


def counterparty_of(transfer: Transfer, legs: tuple[Leg, ...]) -> Account:
    """The account on the transfer's other side."""
    return next(side for leg in legs for side in leg[:2] if side.id == transfer.counterparty)


def is_wallet(account: str) -> bool:
    """Whether `account` may hold a caller's money, which the router's own accounts may not."""
    return account != "" and not account.startswith(_NOT_WALLETS)


def provider_account(provider: str) -> str:
    return f"provider:{provider}"


def provider_of(account: str) -> str:
    """The provider whose account it is."""
    return account.removeprefix("provider:")


def source_account(source: str) -> str:
    return f"{_SOURCE}{source}"
