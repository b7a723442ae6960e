"""`tollway ledger reconcile`: what a provider bills against what was recorded of its calls."""

import csv
import dataclasses
import datetime as dt
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json, print_table, put
from tollway.cli.grouped import grouped
from tollway.cli.ledger_report import date_of
from tollway.cli.progress import working
from tollway.cli.settings import ledger_url
from tollway.config.places import LedgerUrl
from tollway.config.units import percent
from tollway.domain.money import BASIS_POINTS, format_usd, parse_usd
from tollway.ledger import operator
from tollway.ledger.billed import Billed
from tollway.ledger.invoice import COLUMNS, DELIMITERS, Column, Invoice, InvoiceError, read
from tollway.ledger.reconcile import WHATS, Line, Reconciliation, Sums, What, period_of, reconcile
from tollway.ledger.usage import day_key, day_number

FILE_CHARS_MAX = 256 << 20  # half a million rows, the most that are read, have about 60 million
LINE_CHARS_MAX = 1 << 20  # a line without an end must not fill the memory
LINES_SHOWN = 50  # differences in the table; --csv and --json have more
ROWS_AT_ONCE = 1_000
LINE_COLUMNS = ("what", "line", "day", "model", "id", "call", "theirs_usd", "ours_usd", "difference_usd", "note")
RECORDED = ("id", "day", "model", "prompt_tokens", "completion_tokens", "amount_usd")
EARLIEST, LATEST = dt.date(2000, 1, 1), dt.date(2199, 12, 31)
SAID: dict[What, str] = {
    "matched": "the same on both sides",
    "differs": "not the same amount, or tokens",
    "billed twice": "one call of ours, a further row of theirs",
    "only theirs": "no call of ours",
    "only ours": "no row of theirs",
    "taken off": "billed, though `ledger reverse --provider` took it off",
    "given back": "billed, though we charged nothing: expected, and not disputed",
}


class Delimiter(StrEnum):
    comma = "comma"
    semicolon = "semicolon"
    tab = "tab"


@dataclasses.dataclass
class Reading:
    """How the invoice is written."""

    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME=HEADER", help=f"Which header is which: {', '.join(COLUMNS)}."),
    ] = None
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="THEIRS=OURS", help="What they call a model otherwise.")
    ] = None
    delimiter: Annotated[
        Delimiter | None, typer.Option("--delimiter", help="comma, semicolon or tab; found out if left out.")
    ] = None
    decimal_comma: Annotated[bool, typer.Option("--decimal-comma", help="Amounts are written 0,0125.")] = False


@dataclasses.dataclass
class Showing:
    """What is printed."""

    as_json: JsonFlag = False
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the differences as CSV.")] = False
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Print what we recorded instead, as such an invoice.")
    ] = False


@command
@grouped
def reconciled(
    provider: Annotated[str, typer.Argument(help="Whose invoice it is: its id in the configuration.")],
    reading: Reading,
    showing: Showing,
    invoice: Annotated[Path | None, typer.Argument(help="The invoice, CSV with a header.")] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", help="First day (UTC), YYYY-MM-DD; the invoice's if left out."),
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; the invoice's if left out.")] = None,
    tolerance: Annotated[
        str, typer.Option("--tolerance", help="How much may be disputed: USD, or a share of ours such as 0.5%.")
    ] = "0.01",
    config: ConfigOption = None,
) -> None:
    """Compare a provider's invoice with what was recorded of its calls. Exits 1 when more is disputed than tolerated.

    \b
    Example:
      tollway ledger reconcile openai invoice-2026-11.csv --tolerance 0.5%
      tollway ledger reconcile azure costs.csv --column amount=Billed --column day=UsageDay --json
    """
    days = date_of(first, "--from"), date_of(last, "--to")
    if showing.as_csv and showing.as_json:
        raise typer.BadParameter("--json and --csv can't both be printed: choose one")
    if showing.recorded:
        _print_recorded(ledger_url(config), provider, days, as_json=showing.as_json)
        return
    if invoice is None:
        raise typer.BadParameter("name the INVOICE, a CSV file")
    tolerated = _tolerance(tolerance)
    names = dict(_pair(one, "--model THEIRS=OURS") for one in reading.model or ())
    books = ledger_url(config)
    try:
        with working("reading the invoice"):
            rows = _read(invoice, reading)
        period = period_of(rows, *(None if day is None else day_number(day) for day in days))
    except (InvoiceError, OSError) as error:
        raise typer.BadParameter(f"{invoice}: {error.strerror if isinstance(error, OSError) else error}") from None
    with working("comparing it with the books"):
        found = reconcile(rows, operator.billed(books, provider, *period), *period, names=names)
    limit = tolerated(found.ours)
    if showing.as_json:
        print_json(_view(provider, rows, found, limit))
    elif showing.as_csv:
        _print_csv(LINE_COLUMNS, map(_cells, found.lines))
    else:
        _print(provider, rows, found, limit)
    if found.disputed > limit:
        raise CommandFailed(
            f"{format_usd(found.disputed)} USD are disputed, over the tolerance of {format_usd(limit)} USD: look at "
            "each difference, then ask the provider"
        )


def _tolerance(text: str) -> Callable[[int], int]:
    """What may be disputed, by what we recorded; nano-USD."""
    try:
        if text.endswith("%"):
            points = percent(text)
            return lambda ours: ours * points // BASIS_POINTS
        amount = parse_usd(text)
    except ValueError as error:
        raise typer.BadParameter(f"--tolerance: {error}") from None
    return lambda ours: amount


def _pair(text: str, option: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not equals or not left:
        raise typer.BadParameter(f"{option}: {text[:80]!r} has no =")
    return left.strip(), right.strip()


def _columns(given: Sequence[str]) -> dict[Column, str]:
    named: dict[Column, str] = {}
    for one in given:
        name, header = _pair(one, "--column NAME=HEADER")
        column = next((column for column in COLUMNS if column == name.lower()), None)
        if column is None:
            raise typer.BadParameter(f"--column: {name[:40]!r} is none of {', '.join(COLUMNS)}")
        named[column] = header
    return named


def _read(file: Path, reading: Reading) -> Invoice:
    """Raises InvoiceError and OSError."""
    named = _columns(reading.column or ())
    delimiter = None if reading.delimiter is None else DELIMITERS[reading.delimiter.value]
    with file.open(encoding="utf-8-sig", newline="") as text:
        try:
            return read(_lines(text), named=named, delimiter=delimiter, decimal_comma=reading.decimal_comma)
        except UnicodeDecodeError:
            raise InvoiceError("it isn't UTF-8: save it as CSV in UTF-8") from None


def _lines(text: IO[str]) -> Iterator[str]:
    read_so_far = 0
    while line := text.readline(LINE_CHARS_MAX + 1):
        read_so_far += len(line)
        if len(line) > LINE_CHARS_MAX:
            raise InvoiceError(f"it has a line of more than {LINE_CHARS_MAX} characters: is it CSV?")
        if read_so_far > FILE_CHARS_MAX:
            raise InvoiceError(f"it is larger than {FILE_CHARS_MAX >> 20} MiB: split it, by day, and compare the parts")
        yield line


def _day(day: int | None) -> str:
    return "" if day is None else day_key(day)


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.what,
        "" if line.line is None else str(line.line),
        _day(line.day),
        line.model,
        line.id,
        line.call,
        format_usd(line.theirs),
        format_usd(line.ours),
        format_usd(line.theirs - line.ours),
        line.note,
    )


def _sums(sums: Sums) -> dict[str, Any]:
    return {
        "count": sums.count,
        "theirs_usd": format_usd(sums.theirs),
        "ours_usd": format_usd(sums.ours),
        "difference_usd": format_usd(sums.theirs - sums.ours),
    }


def _view(provider: str, invoice: Invoice, found: Reconciliation, limit: int) -> dict[str, Any]:
    return {
        "provider": provider,
        "from": day_key(found.first),
        "to": day_key(found.last),
        "by": found.by,
        "columns": dict(invoice.columns),
        "rows": found.rows,
        "rows_outside": found.outside,
        "calls": found.calls,
        **{what.replace(" ", "_"): _sums(found.sums[what]) for what in WHATS},
        "total": {
            "theirs_usd": format_usd(found.theirs),
            "ours_usd": format_usd(found.ours),
            "difference_usd": format_usd(found.theirs - found.ours),
        },
        "rounding_usd": format_usd(found.rounding),
        "disputed_usd": format_usd(found.disputed),
        "tolerance_usd": format_usd(limit),
        "reconciled": found.disputed <= limit,
        "unpaid_by_wallets": {"calls": found.lost.count, "cost_usd": format_usd(found.lost.ours)},
        "given_back_calls": found.voided,
        "calls_without_record": found.unrecorded,
        "lines": [
            {
                **dict(zip(LINE_COLUMNS, _cells(line), strict=True)),
                "line": line.line,
                "day": _day(line.day) or None,
            }
            for line in found.lines
        ],
        "lines_left_out": found.left_out,
    }


def _print(provider: str, invoice: Invoice, found: Reconciliation, limit: int) -> None:
    period = f"{provider}, {day_key(found.first)} to {day_key(found.last)} (UTC)"
    rows: list[tuple[str, ...]] = [
        (what, str(sums.count), *_amounts(sums), SAID[what])
        for what in WHATS
        if (sums := found.sums[what]).count or what == "matched"
    ]
    total = Sums(theirs=found.theirs, ours=found.ours)
    rows.append(("total", "", *_amounts(total), f"{found.rows} rows, {found.calls} calls, by {found.by}"))
    figures = ("count", "theirs USD", "ours USD", "difference USD")
    print_table((period, *figures, ""), rows, right=figures)
    if found.lines:
        out.print()
        _print_lines(found.lines[:LINES_SHOWN])
    hidden = len(found.lines) + found.left_out - LINES_SHOWN
    if hidden > 0:
        out.print(f"and {hidden} more: --csv and --json have them")
    out.print()
    for note in _notes(provider, invoice, found):
        out.print(note)
    verdict = "it reconciles" if found.disputed <= limit else "IT DOES NOT RECONCILE"
    out.print(f"{verdict}: {format_usd(found.disputed)} USD disputed, {format_usd(limit)} USD tolerated")


def _print_lines(lines: Sequence[Line]) -> None:
    """Without columns that say nothing."""
    rows = [
        (
            line.what,
            "" if line.line is None else str(line.line),
            _day(line.day),
            line.model,
            line.id or line.call,
            format_usd(line.theirs),
            format_usd(line.ours),
            line.note,
        )
        for line in lines
    ]
    kept = [place for place, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
    headers = ("what", "line", "day", "model", "id", "theirs USD", "ours USD", "note")
    print_table(
        [headers[place] for place in kept],
        [[row[place] for place in kept] for row in rows],
        right=("line", "theirs USD", "ours USD"),
        whole=("id",),
    )


def _amounts(sums: Sums) -> tuple[str, str, str]:
    return format_usd(sums.theirs), format_usd(sums.ours), format_usd(sums.theirs - sums.ours)


def _notes(provider: str, invoice: Invoice, found: Reconciliation) -> Iterator[str]:
    """What explains differences, where there is something to explain."""
    taken = ", ".join(f"{name}={header!r}" for name, header in invoice.columns.items())
    yield f"columns: {taken}"
    if found.outside:
        yield f"{found.outside} rows are of other days, and left out"
    if not found.calls:
        yield f"no call of {provider} that cost anything was recorded in these days"
    elif "id" in invoice.columns and found.rows and not found.sums["matched"].count:
        header = invoice.columns["id"]
        yield f"no row was matched: if {header!r} is no response id, compare sums with --column id="
    if found.lost.count:
        cost = format_usd(found.lost.ours)
        yield f"{found.lost.count} calls cost {cost} USD that no wallet paid: your loss, and owed all the same"
    if found.voided:
        yield f"{found.voided} calls were given back; what they are billed is in the sums, and expected"
    if found.unrecorded:
        yield f"{found.unrecorded} calls have no record any more (ledger.keep_calls): only sums can be compared"


def _print_recorded(books: LedgerUrl, provider: str, days: tuple[dt.date | None, ...], *, as_json: bool) -> None:
    """Our own calls in the form of an invoice, in full days."""
    first, last = (day_number(day or edge) for day, edge in zip(days, (EARLIEST, LATEST), strict=True))
    found = operator.billed(books, provider, first, last)
    rows = (_recorded(call) for call in found if first <= call.day <= last and not call.given_back)
    if as_json:
        print_json({"provider": provider, "data": [dict(zip(RECORDED, row, strict=True)) for row in rows]})
    else:
        _print_csv(RECORDED, rows)


def _recorded(call: Billed) -> tuple[str, ...]:
    tokens = ("" if count is None else str(count) for count in (call.prompt, call.completion))
    return (call.response_id or call.id, day_key(call.day), call.models[0], *tokens, format_usd(call.cost))


def _print_csv(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Some rows at a time: there may be millions."""
    remaining = iter([headers])
    for batch in itertools.chain([remaining], _batched(rows)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(batch)
        put(text.getvalue())


def _batched(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, ROWS_AT_ONCE)):
        yield batch
