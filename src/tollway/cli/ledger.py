"""`tollway ledger`: the operator's hands on the books, with or without a running router."""

import asyncio
from typing import Annotated

import typer

from tollway.api.session import entry_view
from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json
from tollway.cli.ledger_backup import backup, restore
from tollway.cli.ledger_entries import freeze, pay_provider, reverse, unfreeze
from tollway.cli.ledger_export import export
from tollway.cli.ledger_reconcile import reconciled
from tollway.cli.ledger_recounts import recounts
from tollway.cli.ledger_report import report
from tollway.cli.progress import working
from tollway.cli.settings import ledger_url
from tollway.cli.tables import audit_lines, clock_time, print_statement
from tollway.domain.commands import RefusalReason, Refused
from tollway.domain.errors import LedgerOutcomeUnknown
from tollway.domain.money import format_usd, parse_usd
from tollway.ledger import mending, operator
from tollway.ledger.accounts import stored_account
from tollway.wire import json

app = typer.Typer(
    help="Money: credit, statement, report, audit, backup.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)

REFUSALS: dict[RefusalReason, str] = {
    "id_reused": "this --ref has credited another amount before: nothing was credited; choose a new --ref",
    "invalid_amount": "the amount must be over 0 and at most 100 million USD: nothing was credited",
    "unknown_account": "that account is no wallet's: nothing was credited",
}

AccountArgument = Annotated[str, typer.Argument(help="A wallet's account: eip155:8453:0x..., solana:<network>:<key>.")]


@app.command("credit")
@command
def credit(
    account: AccountArgument,
    usd: Annotated[str, typer.Argument(help="How much, in USD: 12.50")],
    ref: Annotated[str, typer.Option("--ref", help="Your reference; the same one credits once.")],
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Credit a wallet. Spendable at once, whether or not a router is running.

    \b
    Example:
      tollway ledger credit ACCOUNT 12.50 --ref invoice-17
    """
    try:
        result = asyncio.run(operator.credit(ledger_url(config), account, parse_usd(usd), ref))
    except LedgerOutcomeUnknown:
        raise CommandFailed(
            "the ledger can't tell whether this is booked: run the same command again, with the same --ref"
        ) from None
    if isinstance(result, Refused):
        raise CommandFailed(REFUSALS.get(result.reason, f"the ledger refused the credit ({result.reason})"))
    available = format_usd(result.available)
    if as_json:
        print_json({"account": account, "credited_usd": usd, "available_usd": available, "ref": ref})
    else:
        out.print(f"credited {usd} USD to {account}; {available} USD available")


@app.command("statement")
@command
def statement(
    account: AccountArgument,
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show an account's transactions, newest first.

    \b
    Example:
      tollway ledger statement ACCOUNT --limit 100
    """
    ledger = ledger_url(config)
    page = operator.statement(ledger, account, limit, cursor)
    frozen = mending.frozen(ledger).get(stored_account(account))
    entries = [json.decode(json.encode(entry_view(entry))) for entry in page.entries]
    if as_json:
        print_json({"data": entries, "next_cursor": page.next_cursor, "frozen": frozen})
        return
    if frozen is not None:
        out.print(f"frozen since {clock_time(frozen.since_ms)} by {frozen.by}: {frozen.why}")
    print_statement(entries)
    if page.next_cursor is not None:
        out.print(f"older ones: --cursor {page.next_cursor}")


@app.command("audit")
@command
def audit(config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Prove the books: recompute every account from its transfers. Exits 1 when anything differs.

    \b
    Example:
      tollway ledger audit
      tollway ledger audit --json
    """
    with working("recomputing every account"):
        report = operator.audit(ledger_url(config))
    if as_json:
        print_json(report)
    else:
        out.print(audit_lines(report))
    if not report.clean:
        raise CommandFailed("the books don't balance: keep the file as it is and look at the differences above")


app.command("report")(report)
app.command("reconcile")(reconciled)
app.command("recounts")(recounts)
app.command("backup")(backup)
app.command("restore")(restore)
for entry in (export, freeze, unfreeze, reverse, pay_provider):
    app.command(entry.__name__.replace("_", "-"))(entry)
