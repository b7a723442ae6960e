"""Double entry: accounts, the lines of the books, and which counters a line moves. Pure.

Knows nothing of commands, holds that are still to be decided, or stores.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from tollway.domain.commands import Balance
from tollway.domain.keys import PREFIX

REVENUE = "router:revenue"  # what we keep; pending holds stand here too, on the credit side
LOSS = "router:loss"  # what the operator bore: cost that no wallet paid
_NOT_WALLETS = ("provider:", "router:", "source:", PREFIX)

# Counters live in 64-bit columns (9.22e18). One transfer moves a counter by at most two amounts, which fit above this.
COUNTER_NANO_MAX = 9 * 10**18

Kind = Literal["credit", "hold", "post", "void", "expire"]


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


class Transfer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of the books, never changed once written. From these lines alone every counter can be told."""

    seq: int  # its place in the books, from 1
    id: str
    kind: Kind
    at_ms: int
    account: str
    previous: int  # seq of the account's transfer before this one, 0 for the first
    amount: int  # credited, held, charged, or given back
    available: int  # the account's free balance after it
    counterparty: str = ""  # credit: the source's account; post: the provider's
    bounds: tuple[int, ...] = ()  # hold
    unlimited: bool = False  # hold
    model: str = ""  # hold, post
    held: int = 0  # post, void, expire: what the hold still reserved until then
    price: int = 0  # post: asked of the wallet
    cost: int = 0  # post: owed to the provider
    over_max: int | None = None  # post
    late: bool = False  # post: the hold had expired
    ref: str = ""  # credit
    key: str = ""  # hold and its ends: the account that counts what the caller's key spends


Leg = tuple[Account, Account, int, int]  # debit, credit, by how much pending and posted move; both sides alike
Accounts = Callable[[str], Account]


def legs_of(transfer: Transfer, account: Accounts) -> tuple[Leg, ...]:
    """The counters a transfer moves. The wallet is the first leg's debit side; for a credit its credit side."""
    kind = transfer.kind
    if kind == "credit":
        return ((account(transfer.counterparty), account(transfer.account), 0, transfer.amount),)
    legs = _legs(transfer, account)
    if not transfer.key:
        return legs
    spending = account(transfer.key)
    if kind == "hold":
        return (*legs, (spending, spending, transfer.amount, 0))
    return (*legs, (spending, spending, -transfer.held, transfer.amount if kind == "post" else 0))


def _legs(transfer: Transfer, account: Accounts) -> tuple[Leg, ...]:
    """What a hold or an end of one moves between the wallet and others."""
    wallet = account(transfer.account)
    if transfer.kind == "hold":
        return ((wallet, account(REVENUE), transfer.amount, 0),)
    if transfer.kind != "post":
        return ((wallet, account(REVENUE), -transfer.held, 0),)
    charged, cost = transfer.amount, transfer.cost
    provider = account(transfer.counterparty)
    if charged >= cost:
        return ((wallet, account(REVENUE), -transfer.held, charged - cost), (wallet, provider, 0, cost))
    return (
        (wallet, account(REVENUE), -transfer.held, 0),
        (wallet, provider, 0, charged),
        (account(LOSS), provider, 0, cost - charged),
    )


def fits(legs: tuple[Leg, ...]) -> bool:
    """Whether every counter stays within 64 bits."""
    for debit, credit, pending, posted in legs:
        if (
            debit.debits_posted + posted > COUNTER_NANO_MAX
            or credit.credits_posted + posted > COUNTER_NANO_MAX
            or debit.debits_pending + pending > COUNTER_NANO_MAX
            or credit.credits_pending + pending > COUNTER_NANO_MAX
        ):
            return False
    return True


def enter(transfer: Transfer, legs: tuple[Leg, ...]) -> None:
    """Move the counters. The sum over all accounts stays zero because each leg moves two sides alike."""
    for debit, credit, pending, posted in legs:
        debit.debits_pending += pending
        credit.credits_pending += pending
        debit.debits_posted += posted
        credit.credits_posted += posted
        assert debit.debits_pending >= 0 <= credit.credits_pending, "more was given back than was held"
    wallet = legs[0][1] if transfer.kind == "credit" else legs[0][0]
    assert wallet.available == transfer.available, "the counters moved otherwise than the transfer says"
    wallet.last_seq = transfer.seq


def is_wallet(account: str) -> bool:
    """Whether `account` may hold a caller's money, which the router's own accounts may not."""
    return account != "" and not account.startswith(_NOT_WALLETS)


def provider_account(provider: str) -> str:
    return f"provider:{provider}"


def provider_of(account: str) -> str:
    """The provider whose account it is."""
    return account.removeprefix("provider:")


def source_account(source: str) -> str:
    return f"source:{source}"
