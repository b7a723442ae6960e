"""The operator's money: what is owed to wallets and to providers, what was earned, what was lost. Pure.

Knows nothing of stores: they give sums of transfers by day, and their accounts to hold those sums against. A day is a
UTC day, by the time that a transfer carries.
"""

import datetime as dt
from collections.abc import Iterable

import msgspec

from tollway.ledger.transfer import LOSS, REVENUE, Account, is_wallet, provider_of
from tollway.ledger.usage import day_key, day_number


class Flow(msgspec.Struct, frozen=True):
    """The transfers of a day that share kind and counterparty. Nano-USD."""

    day: int
    kind: str
    counterparty: str  # a credit's source, a post's provider; a payment's provider; of what a reversal reverses
    count: int
    amount: int
    cost: int
    loss: int  # what of the cost was over the amount, transfer by transfer
    forgiven: int = 0  # reversals: what the provider is owed no more
    source: str = ""  # payments: where they came from

    @property
    def of_credit(self) -> bool:
        return self.counterparty.startswith("source:")


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """What a store has, all of it from one moment."""

    flows: Iterable[Flow]
    accounts: Iterable[Account]  # an account that is kept in parts as their sum
    pending: tuple[int, int]  # holds without an end: how many, and how much
    unsettled: Iterable[tuple[int, int, int]]  # by the day that holds expired which were never posted: the same


class Day(msgspec.Struct, kw_only=True):
    """What happened on one day. Nano-USD."""

    day: str
    calls: int = 0  # posted
    credited: int = 0
    charged: int = 0
    cost: int = 0
    revenue: int = 0
    loss: int = 0
    given_back: int = 0  # to wallets, of what calls were charged
    taken_back: int = 0  # from wallets, of what was credited
    paid: int = 0  # to providers
    unsettled: int = 0  # holds that expired on it and were never posted

    def add(self, flow: Flow) -> None:
        if flow.kind == "credit":
            self.credited += flow.amount
        elif flow.kind == "pay":
            self.paid += flow.amount
        elif flow.kind == "reverse" and flow.of_credit:
            self.taken_back += flow.amount
        elif flow.kind == "reverse":
            self.given_back += flow.amount
            self.cost -= flow.forgiven
            self.revenue -= flow.amount - flow.cost + flow.loss
            self.loss += flow.cost - flow.loss - flow.forgiven
        else:
            self.calls += flow.count
            self.charged += flow.amount
            self.cost += flow.cost
            self.revenue += flow.amount - flow.cost + flow.loss
            self.loss += flow.loss


class Payable(msgspec.Struct, kw_only=True):
    """One provider: what its calls cost and what it was paid in the period, and what is open at its end."""

    provider: str
    calls: int = 0
    cost: int = 0
    paid: int = 0
    open: int = 0


class Source(msgspec.Struct, kw_only=True):
    """Where money came from in the period."""

    source: str
    credits: int = 0
    amount: int = 0


class MoneyReport(msgspec.Struct, kw_only=True):
    """A period's flows, and how things stand at its end. Pending holds are those of now. Nano-USD."""

    first: str | None  # None: from the first transfer
    last: str | None  # None: to the newest
    liabilities: int = 0  # to wallets: what they have credited and not spent, holds among it
    payable: int = 0  # to providers
    revenue_to_date: int = 0
    loss_to_date: int = 0
    brought_in: int = 0  # by all sources to date, less what was taken back and what providers were paid
    total: Day
    days: list[Day] = []
    providers: list[Payable] = []
    sources: list[Source] = []
    unsettled: int = 0
    unsettled_held: int = 0  # what their holds had reserved: the most that was given away
    pending: int = 0
    pending_held: int = 0
    differences: list[str] = []  # of the transfers and the accounts, whatever the period

    @property
    def imbalance(self) -> int:
        """0: what came in is with the wallets, with providers, or earned; less what the operator bore."""
        return self.brought_in + self.loss_to_date - self.liabilities - self.payable - self.revenue_to_date

    @property
    def balanced(self) -> bool:
        return self.imbalance == 0 and not self.differences


def check_days(first: dt.date | None, last: dt.date | None) -> None:
    if first is not None and last is not None and last < first:
        raise ValueError(f"--from: {first} is after --to, {last}")


def report(money: Money, first: dt.date | None = None, last: dt.date | None = None) -> MoneyReport:
    """The period from `first` to `last`, both included. ValueError when it ends before it begins."""
    check_days(first, last)
    return _Report(money, first, last).run()


class _Report:
    def __init__(self, money: Money, first: dt.date | None, last: dt.date | None) -> None:
        self._money = money
        self._first = None if first is None else day_number(first)
        self._last = None if last is None else day_number(last)
        self._days: dict[int, Day] = {}
        self._providers: dict[str, Payable] = {}
        self._sources: dict[str, Source] = {}
        self._now: dict[str, int] = {}  # credits less debits by account, all wallets as "", whatever the period
        self._then: dict[str, int] = {}  # the same up to the period's end
        self._report = MoneyReport(
            first=None if first is None else first.isoformat(),
            last=None if last is None else last.isoformat(),
            total=Day(day="total"),
        )

    def run(self) -> MoneyReport:
        report, money = self._report, self._money
        for flow in money.flows:
            self._post(self._now, flow)
            if self._last is None or flow.day <= self._last:
                self._post(self._then, flow)
            if self._within(flow.day):
                self._count(flow)
        for day, count, held in money.unsettled:
            if self._within(day):
                self._day(day).unsettled += count
                report.total.unsettled += count
                report.unsettled += count
                report.unsettled_held += held
        report.pending, report.pending_held = money.pending
        self._stand()
        self._compare()
        report.days = [self._days[day] for day in sorted(self._days)]
        report.providers = [self._providers[name] for name in sorted(self._providers)]
        report.sources = [self._sources[name] for name in sorted(self._sources)]
        return report

    def _within(self, day: int) -> bool:
        return (self._first is None or day >= self._first) and (self._last is None or day <= self._last)

    def _day(self, day: int) -> Day:
        if day not in self._days:
            self._days[day] = Day(day=day_key(day))
        return self._days[day]

    def _count(self, flow: Flow) -> None:
        self._day(flow.day).add(flow)
        self._report.total.add(flow)
        if flow.kind == "credit":
            name = flow.counterparty.removeprefix("source:")
            source = self._sources.setdefault(name, Source(source=name))
            source.credits += flow.count
            source.amount += flow.amount
        elif flow.kind == "post":
            provider = self._provider(flow.counterparty)
            provider.calls += flow.count
            provider.cost += flow.cost
        elif flow.kind == "pay":
            self._provider(flow.counterparty).paid += flow.amount
        elif not flow.of_credit:
            self._provider(flow.counterparty).cost -= flow.forgiven

    def _provider(self, account: str) -> Payable:
        name = provider_of(account)
        return self._providers.setdefault(name, Payable(provider=name))

    @staticmethod
    def _post(balances: dict[str, int], flow: Flow) -> None:
        """Double entry by sums: what each side of the books gains."""
        gains: tuple[tuple[str, int], ...] = (
            ("", -flow.amount),
            (flow.counterparty, flow.cost),
            (REVENUE, flow.amount - flow.cost + flow.loss),
            (LOSS, -flow.loss),
        )
        if flow.kind == "credit":
            gains = (("", flow.amount), (flow.counterparty, -flow.amount))
        elif flow.kind == "pay":
            gains = ((flow.counterparty, -flow.amount), (flow.source, flow.amount))
        elif flow.kind == "reverse" and flow.of_credit:
            gains = (("", -flow.amount), (flow.counterparty, flow.amount))
        elif flow.kind == "reverse":
            gains = (
                ("", flow.amount),
                (flow.counterparty, -flow.forgiven),
                (REVENUE, -(flow.amount - flow.cost + flow.loss)),
                (LOSS, flow.forgiven - flow.cost + flow.loss),
            )
        for account, gain in gains:
            balances[account] = balances.get(account, 0) + gain

    def _stand(self) -> None:
        report = self._report
        for account, balance in self._then.items():
            if account == "":
                report.liabilities = balance
            elif account == REVENUE:
                report.revenue_to_date = balance
            elif account == LOSS:
                report.loss_to_date = -balance
            elif account.startswith("provider:"):
                report.payable += balance
                self._provider(account).open = balance
            else:
                report.brought_in -= balance

    def _compare(self) -> None:
        """What the transfers say and what the accounts have, to date: they are written together, so they agree."""
        written: dict[str, int] = {}
        for account in self._money.accounts:
            name = "" if is_wallet(account.id) else account.id
            written[name] = written.get(name, 0) + account.credits_posted - account.debits_posted
        for name in sorted(written.keys() | self._now.keys()):
            has, said = written.get(name, 0), self._now.get(name, 0)
            if has != said:
                self._report.differences.append(f"{name or 'all wallets'}: has {has}, its transfers say {said}")
