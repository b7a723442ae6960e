"""A booking over a ledger that answers as written down."""

import asyncio
from collections.abc import Sequence
from typing import Any

from helpers.ledgers import WALLET
from helpers.metered import call
from helpers.virtual_time import LoopClock
from tollway.domain.call import Caller
from tollway.domain.commands import (
    Command,
    Held,
    Posted,
    Result,
    Voided,
)
from tollway.domain.errors import LedgerOutcomeUnknown, LedgerUnavailable
from tollway.domain.plan import Plan
from tollway.domain.usage import Charge, Usage
from tollway.ledger.booking import VOID_AGAIN_S, VOID_TRIES, Booking, Bookings

CALLER = Caller(account=WALLET, caip_account_id=WALLET, message_hash="", expires_at=0)
CHARGE = Charge(usage=Usage(prompt=10, completion=5), price=300, cost=200, flags=("cut",))
DOWN, UNKNOWN = LedgerUnavailable("down"), LedgerOutcomeUnknown("unknown")
HELD = Held(amount=1_000, available=0)
POSTED = Posted(charged=300, loss=0, available=700)
VOIDED = Voided(available=1_000)
FOREVER = object()


class ScriptedLedger:
    """Answers one command after another as written down, and keeps what it was told. More is a failure."""

    def __init__(self, *answers: Result | Exception | object) -> None:
        self.answers = list(answers)
        self.told: list[Command] = []

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        (command,) = commands
        self.told.append(command)
        assert self.answers, f"the ledger is told one more thing: {command}"
        answer = self.answers.pop(0)
        if answer is FOREVER:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return [answer]  # type: ignore[list-item]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a booking does not use {name}")

    @property
    def kinds(self) -> list[str]:
        return [type(command).__name__ for command in self.told]


def booking(ledger: Any, **fields: Any) -> Booking:
    asked = call(id="call-1", user="u", client_request_id="r", request_hash="h", **fields)
    return Bookings(ledger, LoopClock()).open(CALLER, asked, Plan(candidates=(), seed=7))


async def held(*answers: Result | Exception | object) -> tuple[Booking, ScriptedLedger]:
    """A booking whose hold was granted; what the ledger answers after that."""
    ledger = ScriptedLedger(HELD, *answers)
    made = booking(ledger)
    assert await made.hold((1_000,), unlimited=False) is None
    return made, ledger


async def later() -> None:
    """Let what is to be booked later be booked."""
    await asyncio.sleep(VOID_AGAIN_S * VOID_TRIES + 1)
