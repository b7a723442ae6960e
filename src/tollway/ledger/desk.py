"""A store as an operator reaches it from outside a router: what each kind of books has to offer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tollway.domain.commands import Disabled, Frozen, Result, Statement
from tollway.domain.recount import RecountSums
from tollway.ledger.audit import AuditReport
from tollway.ledger.billed import Entry
from tollway.ledger.control import ControlCommand
from tollway.ledger.report import Money
from tollway.ledger.transfer import Transfer


class Desk(Protocol):
    """Accounts are stored ids. Everything raises LedgerUnusable."""

    async def apply(self, commands: Sequence[ControlCommand]) -> list[Result]:
        """Carry out `commands`, in order. Raises LedgerUnavailable and LedgerOutcomeUnknown too."""

    def statement(self, account: str, limit: int, cursor: str | None) -> Statement: ...

    def disabled(self) -> Mapping[str, Disabled]:
        """The providers that are out of service; none where there are no books yet."""

    def frozen(self) -> Mapping[str, Frozen]:
        """The wallets that are frozen; none where there are no books yet."""

    def money(self) -> Money:
        """What a report is made from."""

    def recounts(self, after_ms: int) -> list[RecountSums]:
        """Calls posted since, by provider and model, that our own tokenizer has counted again."""

    def entries(self, provider: str, after_ms: int, before_ms: int) -> Iterator[Entry]:
        """The posts of the calls that a provider (its account) served, and all voids: booked from `after_ms` on and
        before `before_ms`. From one moment, and never all in memory."""

    def transfers(self) -> Iterator[Transfer]:
        """All there are, by their place; from one moment, and never all in memory."""

    def audit(self) -> AuditReport: ...
