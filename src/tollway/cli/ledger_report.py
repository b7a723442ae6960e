"""`tollway ledger report`: whose money it is, what was earned and what was lost."""

import csv
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json, print_table, put
from tollway.cli.progress import working
from tollway.cli.settings import ledger_url
from tollway.cli.tables import clock_time
from tollway.domain.commands import Frozen
from tollway.domain.money import format_usd
from tollway.ledger import mending, operator
from tollway.ledger.report import Day, MoneyReport

FromOption = Annotated[str | None, typer.Option("--from", help="First day (UTC), YYYY-MM-DD; the books' if left out.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last day; today if left out.")]

DAY_COLUMNS = (
    "calls",
    "credited",
    "charged",
    "cost",
    "revenue",
    "loss",
    "given_back",
    "taken_back",
    "paid",
    "unsettled",
)
COUNTS = {"calls", "unsettled", "credits"}  # the others are money


@command
def report(
    config: ConfigOption = None,
    first: FromOption = None,
    last: ToOption = None,
    as_json: JsonFlag = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the days as CSV.")] = False,
) -> None:
    """Show whose the money is: owed to wallets and to providers, earned, lost; in all and by day.

    \b
    Example:
      tollway ledger report
      tollway ledger report --from 2026-11-01 --to 2026-11-30 --csv
    """
    if as_json and as_csv:
        raise CommandFailed("--json and --csv can't both be printed: choose one")
    with working("adding up the books"):
        ledger = ledger_url(config)
        found = operator.report(ledger, date_of(first, "--from"), date_of(last, "--to"))
        frozen = mending.frozen(ledger)
    if as_json:
        print_json(
            {**_view(found), "frozen": [{"account": account, **_frozen(how)} for account, how in frozen.items()]}
        )
    elif as_csv:
        put(_csv(found))
    else:
        _print(found, frozen)
    if not found.balanced:
        raise CommandFailed("the books don't balance: run `tollway ledger audit`, and keep the books as they are")


def date_of(text: str | None, option: str) -> dt.date | None:
    if text is None:
        return None
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise CommandFailed(f"{option}: {text[:40]!r} is no day; write it as 2026-11-30") from None


def _usd(fields: dict[str, Any]) -> dict[str, Any]:
    """Amounts as decimal strings under names that end in _usd."""
    return {
        (name if name in COUNTS or not isinstance(value, int) else f"{name}_usd"): (
            value if name in COUNTS or not isinstance(value, int) else format_usd(value)
        )
        for name, value in fields.items()
    }


def _day(day: Day) -> dict[str, Any]:
    return _usd({name: getattr(day, name) for name in DAY_COLUMNS})


def _view(found: MoneyReport) -> dict[str, Any]:
    return {
        "from": found.first,
        "to": found.last,
        "standing": _usd(
            {
                "owed_to_wallets": found.liabilities,
                "owed_to_providers": found.payable,
                "revenue": found.revenue_to_date,
                "loss": found.loss_to_date,
                "brought_in": found.brought_in,
            }
        ),
        "pending": {"holds": found.pending, "held_usd": format_usd(found.pending_held)},
        "unsettled": {"holds": found.unsettled, "held_usd": format_usd(found.unsettled_held)},
        "providers": [
            _usd({"provider": one.provider, "calls": one.calls, "cost": one.cost, "paid": one.paid, "open": one.open})
            for one in found.providers
        ],
        "sources": [
            _usd({"source": one.source, "credits": one.credits, "amount": one.amount}) for one in found.sources
        ],
        "days": [{"day": day.day, **_day(day)} for day in found.days],
        "total": _day(found.total),
        "balanced": found.balanced,
        "imbalance_usd": format_usd(found.imbalance),
        "differences": found.differences,
    }


def _csv(found: MoneyReport) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["day", *_day(found.total)])
    for day in found.days:
        writer.writerow([day.day, *_day(day).values()])
    return text.getvalue()


def _frozen(how: Frozen) -> dict[str, Any]:
    return {"since": how.since_ms, "by": how.by, "why": how.why}


def _print(found: MoneyReport, frozen: Mapping[str, Frozen]) -> None:
    period = f"{found.first or 'the beginning'} to {found.last or 'now'} (UTC)"
    print_table((period, "USD", ""), _standing(found), right=("USD",))
    _section(
        ("provider", "calls", "cost USD", "paid USD", "open USD"),
        [
            (one.provider, str(one.calls), format_usd(one.cost), format_usd(one.paid), format_usd(one.open))
            for one in found.providers
        ],
    )
    _section(
        ("source", "credits", "USD"),
        [(one.source, str(one.credits), format_usd(one.amount)) for one in found.sources],
    )
    lines = [(day.day, *map(str, _day(day).values())) for day in (*found.days, found.total)]
    _section(
        ("day (UTC)", *(name if name in COUNTS else f"{name.replace('_', ' ')} USD" for name in DAY_COLUMNS)), lines
    )
    _section(
        ("frozen wallet", "since (UTC)", "by", "why"),
        [(account, clock_time(how.since_ms), how.by, how.why) for account, how in frozen.items()],
        right=(),
    )
    verdict = "balances" if found.balanced else "DOES NOT BALANCE"
    out.print(
        f"\nit {verdict}: {format_usd(found.brought_in)} brought in + {format_usd(found.loss_to_date)} operator loss = "
        f"{format_usd(found.liabilities)} owed to wallets + {format_usd(found.payable)} owed to providers + "
        f"{format_usd(found.revenue_to_date)} revenue"
    )
    for difference in found.differences:
        out.print(difference)


def _standing(found: MoneyReport) -> list[tuple[str, str, str]]:
    held = f"{format_usd(found.pending_held)} of it held by {found.pending} calls in flight" if found.pending else ""
    rows = [
        ("owed to wallets", format_usd(found.liabilities), held),
        ("owed to providers", format_usd(found.payable), ""),
        ("revenue to date", format_usd(found.revenue_to_date), ""),
        ("operator loss to date", format_usd(found.loss_to_date), ""),
    ]
    if found.unsettled:
        rows.append(("unsettled", format_usd(found.unsettled_held), f"at most, in {found.unsettled} calls given away"))
    return rows


def _section(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] | None = None) -> None:
    if rows:
        out.print()
        print_table(columns, rows, right=columns[1:] if right is None else right)
