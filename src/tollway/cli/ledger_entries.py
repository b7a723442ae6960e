"""`tollway ledger freeze`, `unfreeze`, `reverse` and `pay-provider`: what mends accounts, and what pays providers."""

import asyncio
import getpass
import os
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json
from tollway.cli.settings import ledger_url
from tollway.cli.tables import clock_time
from tollway.config.load import load_providers
from tollway.config.problems import one_of
from tollway.domain.commands import RefusalReason, Refused
from tollway.domain.errors import LedgerOutcomeUnknown
from tollway.domain.money import format_usd, parse_usd
from tollway.ledger import mending

T = TypeVar("T")

AccountArgument = Annotated[str, typer.Argument(help="A wallet's account: eip155:8453:0x..., solana:<network>:<key>.")]

REFUSALS: dict[RefusalReason, str] = {
    "unknown_transfer": "the books have no credit and no call of that id: `tollway ledger statement ACCOUNT --json` "
    "shows ids",
    "not_reversible": "that call was charged nothing: it is in flight, or was given back",
    "over_free": "the wallet has spent or reserved a part of that credit: nothing was taken back; --force takes its "
    "balance below zero",
    "over_owed": "that is more than the provider is owed: nothing was booked; --advance pays in advance",
    "invalid_amount": "the amount must be over 0 and at most 100 million USD: nothing was booked",
}


@command
def freeze(
    account: AccountArgument,
    why: Annotated[str, typer.Option("--why", help="For the report; callers don't see it.")],
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Refuse a wallet's calls from the next one on. Calls in flight go on to their end, and are charged.

    \b
    Example:
      tollway ledger freeze ACCOUNT --why "key was stolen, ticket 12"
    """
    by = _who()
    _told(mending.freeze(ledger_url(config), account, by=by, why=why))
    if as_json:
        print_json({"account": account, "frozen": True, "by": by, "why": why})
    else:
        out.print(f"{account} is frozen: its calls are refused until `tollway ledger unfreeze {account}`")


@command
def unfreeze(account: AccountArgument, config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Let a wallet call again.

    \b
    Example:
      tollway ledger unfreeze ACCOUNT
    """
    before = _told(mending.unfreeze(ledger_url(config), account))
    if as_json:
        print_json({"account": account, "frozen": False, "was_frozen": before is not None})
    elif before is None:
        out.print(f"{account} was not frozen")
    else:
        out.print(f"{account} is unfrozen; {before.by} froze it at {clock_time(before.since_ms)}: {before.why}")


@command
def reverse(
    transfer: Annotated[str, typer.Argument(help="The id of a credit or a call, as statements have it.")],
    why: Annotated[str, typer.Option("--why", help="The wallet's statement shows it.")],
    force: Annotated[bool, typer.Option("--force", help="A credit: also below zero.")] = False,
    provider: Annotated[bool, typer.Option("--provider", help="A call: the provider is owed it no more.")] = False,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take back a credit, or give back what a call was charged. Once: asked again, it answers the same.

    \b
    Example:
      tollway ledger reverse 01a2037b-10c4-721f-80d2-ab7eb88a4c6c --why "the answer was empty"
    """
    result = _told(mending.reverse(ledger_url(config), transfer, why=why, force=force, provider=provider))
    if isinstance(result, Refused):
        raise _refused(result, "this was reversed before, with the other choice of --provider: nothing was booked")
    change, available = format_usd(result.change), format_usd(result.available)
    if as_json:
        print_json(
            {"id": transfer, "account": result.account, "change_usd": change, "available_usd": available, "why": why}
        )
    elif result.change < 0:
        out.print(f"took {change[1:]} USD back from {result.account}; {available} USD available")
    else:
        out.print(f"gave {change} USD back to {result.account}; {available} USD available")


@command
def pay_provider(
    provider: Annotated[str, typer.Argument(help="A provider's id.")],
    usd: Annotated[str, typer.Argument(help="How much, in USD: 120.00")],
    ref: Annotated[str, typer.Option("--ref", help="Your reference; the same one pays once.")],
    advance: Annotated[bool, typer.Option("--advance", help="Also more than is owed.")] = False,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Note what a provider was paid: it is owed that much less.

    \b
    Example:
      tollway ledger pay-provider openai 120.00 --ref "invoice 2026-11"
    """
    ledger, configured = load_providers(config, os.environ)
    known = {one.id for one in configured}
    if provider not in known:
        raise CommandFailed(f"there is no provider {provider!r} in the configuration; {one_of(provider, known)}")
    result = _told(mending.pay(ledger, provider, parse_usd(usd), ref=ref, advance=advance))
    if isinstance(result, Refused):
        raise _refused(result, "this --ref has paid another amount before: nothing was booked; choose a new --ref")
    owed = format_usd(result.owed)
    if as_json:
        print_json({"provider": provider, "paid_usd": usd, "open_usd": owed, "ref": ref})
    else:
        out.print(f"paid {usd} USD to {provider}; {owed} USD open")


def _told(saying: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(saying)
    except LedgerOutcomeUnknown:
        raise CommandFailed("the ledger can't tell whether this is booked: run the same command again") from None


def _refused(result: Refused, reused: str) -> CommandFailed:
    if result.reason == "id_reused":
        return CommandFailed(reused)
    return CommandFailed(REFUSALS.get(result.reason, f"the ledger refused it ({result.reason})"))


def _who() -> str:
    """Who runs this, for the record."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return f"uid {os.getuid()}"
