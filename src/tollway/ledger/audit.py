"""Proves the books from their rows: replays every transfer and compares what comes out with what is written.

Knows no store, and no rule that isn't the book's.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tollway.ledger.decision import TABLE, State, change_of, state_after
from tollway.ledger.rows import read_transfer
from tollway.ledger.transfer import Account, Transfer, enter, is_wallet, legs_of

DIFFERENCES_SHOWN_MAX = 100  # all are counted; the first ones tell enough


class AuditReport(msgspec.Struct, kw_only=True):
    """What was read, and every difference found. Amounts in nano-USD."""

    accounts: int = 0
    transfers: int = 0
    credits: int = 0
    holds: int = 0
    posts: int = 0
    voids: int = 0
    expired: int = 0
    pending: int = 0  # holds without an end: of the running router, or to be expired at the next start
    reversals: int = 0
    payments: int = 0
    unsettled: int = 0  # holds that expired and were never posted: their calls were given away
    late_posts: int = 0
    credited_total: int = 0
    charged_total: int = 0
    cost_total: int = 0
    loss_total: int = 0
    given_back_total: int = 0  # of what was charged
    taken_back_total: int = 0  # of what was credited
    paid_total: int = 0
    difference_count: int = 0
    differences: list[str] = []

    @property
    def clean(self) -> bool:
        return self.difference_count == 0


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has written, all of it from one moment."""

    # The columns that `read_transfer` reads, the epoch of a hold, whether there is a record of the call; by seq.
    transfers: Iterable[tuple[Any, ...]]
    accounts: Iterable[Account]  # an account that is kept in parts as their sum
    usage: Iterable[tuple[str | None, int, int]]  # by wallet: calls, and what they were charged
    reversed: Iterable[str]  # the ids that have a reversal
    pruned_to: int  # seq up to which records of calls were let go of
    abandoned: Callable[[int], bool]  # whether an epoch is one whose pending holds should have expired


def replay(rows: Rows) -> AuditReport:
    return _Replay(rows).run()


class _Replay:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._report = AuditReport()
        self._accounts: dict[str, Account] = {}
        self._open: dict[str, Transfer] = {}  # holds that are pending or expired
        self._expired: set[str] = set()
        self._epochs: dict[str, int] = {}
        self._used: dict[str | None, tuple[int, int]] = {}  # by wallet: posts, and what they charged
        self._reversed = frozenset(rows.reversed)
        self._reversible: dict[str, Transfer] = {}  # the credits and posts among them
        self._metered: set[str] = (
            set()
        )  # wallets that had an unlimited hold or a forced reversal: only they may be below zero

    def run(self) -> AuditReport:
        report = self._report
        for row in self._rows.transfers:
            if row[4] is None:
                self._differ(f"transfer {row[0]}: its account does not exist")
                continue
            self._enter(read_transfer(row), epoch=row[19], has_call=bool(row[20]) or row[0] <= self._rows.pruned_to)
        for own, hold in self._open.items():
            if own in self._expired:
                report.unsettled += 1
                continue
            report.pending += 1
            if self._rows.abandoned(self._epochs[own]):
                self._differ(f"hold {own} (seq {hold.seq}): pending, but the process that owned it is gone")
        self._compare_accounts()
        self._compare_usage()
        return report

    def _enter(self, transfer: Transfer, *, epoch: int | None, has_call: bool) -> None:
        self._count(transfer)
        where = f"{transfer.kind} {transfer.id} (seq {transfer.seq})"
        for fault in self._faults(transfer, has_call):
            self._differ(f"{where}: {fault}")
        if transfer.kind == "hold":
            self._open[transfer.id] = transfer
            self._epochs[transfer.id] = epoch or 0
        elif transfer.kind == "expire":
            self._expired.add(transfer.id)
        else:
            self._open.pop(transfer.id, None)
            self._expired.discard(transfer.id)
        if transfer.unlimited:
            self._metered.add(transfer.account)
        if transfer.id in self._reversed:
            self._reversible[transfer.id] = transfer
        try:
            enter(transfer, legs_of(transfer, self._account))
        except AssertionError as error:
            self._differ(f"{where}: {error}")

    def _faults(self, transfer: Transfer, has_call: bool) -> list[str]:
        """What is wrong with a transfer, seen from those before it."""
        faults = []
        if transfer.kind == "reverse":
            faults.extend(_reversal_faults(transfer, self._reversible.get(transfer.id)))
        hold = self._open.get(transfer.id)
        state: State = "absent" if hold is None else "expired" if transfer.id in self._expired else "pending"
        if transfer.kind != "reverse" and TABLE[state][transfer.kind] != state_after(transfer.kind):
            faults.append(f"not allowed when the id is {state}")
        if transfer.previous != self._account(transfer.account).last_seq:
            faults.append("does not follow the account's transfer before it")
        if not is_wallet(transfer.account) and transfer.kind != "pay":
            faults.append(f"{transfer.account} is not a wallet")
        if transfer.kind in ("post", "void") and not has_call:
            faults.append("has no record of its call")
        if hold is not None and transfer.kind != "hold":
            faults.extend(_end_faults(transfer, hold, late=state == "expired"))
        if transfer.available < 0 and transfer.account not in self._metered and not transfer.unlimited:
            faults.append("takes a prepaid balance below zero")
        return faults

    def _count(self, transfer: Transfer) -> None:
        report = self._report
        report.transfers += 1
        if transfer.kind == "credit":
            report.credits += 1
            report.credited_total += transfer.amount
        elif transfer.kind == "hold":
            report.holds += 1
        elif transfer.kind == "void":
            report.voids += 1
        elif transfer.kind == "expire":
            report.expired += 1
        elif transfer.kind == "pay":
            report.payments += 1
            report.paid_total += transfer.amount
        elif transfer.kind == "reverse":
            report.reversals += 1
            report.given_back_total += max(0, change_of(transfer))
            report.taken_back_total += max(0, -change_of(transfer))
        else:
            calls, charged = self._used.get(transfer.account, (0, 0))
            self._used[transfer.account] = (calls + 1, charged + transfer.amount)
            report.posts += 1
            report.late_posts += transfer.late
            report.charged_total += transfer.amount
            report.cost_total += transfer.cost
            report.loss_total += max(0, transfer.cost - transfer.amount)

    def _compare_accounts(self) -> None:
        pending_sum = posted_sum = 0
        for written in self._rows.accounts:
            self._report.accounts += 1
            pending_sum += written.debits_pending - written.credits_pending
            posted_sum += written.debits_posted - written.credits_posted
            replayed = self._accounts.pop(written.id, Account(id=written.id))
            if replayed.balance() != written.balance():
                self._differ(f"account {written.id}: has {_show(written)}, its transfers say {_show(replayed)}")
            if is_wallet(written.id) and replayed.last_seq != written.last_seq:
                self._differ(
                    f"account {written.id}: ends at seq {written.last_seq}, its transfers at {replayed.last_seq}"
                )
        for missing in self._accounts:
            self._differ(f"account {missing}: has transfers but no row")
        if pending_sum or posted_sum:
            self._differ(f"sum over all accounts: {pending_sum} pending, {posted_sum} posted; both must be 0")

    def _compare_usage(self) -> None:
        """What GET /session/usage sums is what was posted."""
        kept = {row[0]: (row[1], row[2]) for row in self._rows.usage}
        for account in sorted(self._used.keys() | kept.keys(), key=str):
            posted, summed = self._used.get(account, (0, 0)), kept.get(account, (0, 0))
            if posted != summed:
                self._differ(
                    f"usage of {account}: sums up {summed[0]} calls and {summed[1]} nano-USD, "
                    f"its posts are {posted[0]} and {posted[1]}"
                )

    def _account(self, id: str) -> Account:
        account = self._accounts.get(id)
        if account is None:
            account = self._accounts[id] = Account(id=id)
        return account

    def _differ(self, difference: str) -> None:
        self._report.difference_count += 1
        if len(self._report.differences) < DIFFERENCES_SHOWN_MAX:
            self._report.differences.append(difference)


def _end_faults(transfer: Transfer, hold: Transfer, *, late: bool) -> list[str]:
    """What is wrong with a post, void or expiry of `hold`."""
    faults = []
    if transfer.account != hold.account:
        faults.append("is of another account than its hold")
    if transfer.held != (0 if late else hold.amount):
        faults.append(f"gives {transfer.held} back, where {0 if late else hold.amount} was held")
    if transfer.key != hold.key:
        faults.append("is counted for another key than its hold")
    if transfer.kind == "post":
        over = max(0, transfer.amount - hold.amount)
        if transfer.amount > transfer.price or (transfer.over_max is not None and over > transfer.over_max):
            faults.append(f"charges {transfer.amount}, more than price, hold and what was allowed over it")
        if transfer.late != late:
            faults.append("is booked late" if transfer.late else "is not booked late")
    return faults


def _reversal_faults(reversal: Transfer, wrong: Transfer | None) -> list[str]:
    """What is wrong with the reversal of `wrong`, the id's newest transfer before it."""
    if wrong is None or wrong.kind not in ("credit", "post"):
        return ["reverses what was neither credited nor charged"]
    faults = [
        f"is of another {field} than what it reverses"
        for field in ("account", "counterparty", "amount", "cost")
        if getattr(reversal, field) != getattr(wrong, field)
    ]
    if reversal.price not in (0, wrong.cost):
        faults.append(f"takes {reversal.price} from the provider, where {wrong.cost} was owed")
    return faults


def _show(account: Account) -> str:
    return (
        f"{account.debits_pending}/{account.debits_posted} debits and "
        f"{account.credits_pending}/{account.credits_posted} credits (pending/posted)"
    )
