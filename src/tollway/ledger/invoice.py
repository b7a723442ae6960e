"""A provider's invoice as rows: which column says what, and how its amounts, days and counts are written. Pure.

Lines come in, rows go out; amounts are read digit by digit and never a float. Knows nothing of our own books.
"""

import csv
import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, get_args

import msgspec

from tollway.domain.answer import RESPONSE_ID_CHARS_MAX
from tollway.domain.money import AMOUNT_NANO_MAX
from tollway.ledger.usage import day_number

ROWS_MAX = 500_000  # about 200 MB in memory
CELL_CHARS_MAX = 4_096  # more is no id, model or amount; free text beside them may be as long
BAD_ROWS_MAX = 5  # that are told of; the others are counted
SHOWN_CHARS_MAX = 40  # of a cell that can't be read
NANO_DIGITS = 9
DELIMITERS: dict[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t"}

Column = Literal["id", "day", "model", "prompt", "completion", "amount", "currency"]
COLUMNS: tuple[Column, ...] = get_args(Column)

# What each is called, letters and digits alone, the surest name first.
KNOWN: dict[Column, tuple[str, ...]] = {
    "id": ("responseid", "generationid", "completionid", "id"),
    "day": (
        *("day", "date", "usagedate", "createdat", "created", "timestamp", "time", "datetime"),
        *("starttimeiso", "starttime", "requestedat"),
    ),
    "model": ("model", "modelid", "modelname", "modelpermaslug", "modelversion"),
    "prompt": ("prompttokens", "inputtokens", "tokensprompt", "tokensinput", "prompt", "input"),
    "completion": (
        *("completiontokens", "outputtokens", "tokenscompletion", "tokensoutput", "generatedtokens"),
        *("completion", "output"),
    ),
    "amount": (
        *("amountusd", "amount", "costusd", "cost", "totalcost", "costtotal", "totalusd", "total", "amountvalue"),
        *("charge", "charged", "price", "usage", "spend"),
    ),
    "currency": ("currency", "amountcurrency", "costcurrency"),
}

_PLAIN = re.compile(r"[^a-z0-9]")
_AMOUNT = re.compile(
    r"(-)?(?:US\$|\$|USD)?\s*(-)?([0-9]{0,12})(?:\.([0-9]{0,30}))?(?:[eE]([+-]?[0-9]{1,2}))?\s*(?:USD|\$)?\Z"
)
_COUNT = re.compile(r"([0-9]{1,15})(?:\.0{1,6})?\Z")
_EPOCH = re.compile(r"([0-9]{9,10})(?:[0-9]{3})?(?:\.[0-9]{1,9})?\Z")  # seconds, or milliseconds
_DAYS = range(day_number(dt.date(2000, 1, 1)), day_number(dt.date(2200, 1, 1)))


class InvoiceError(ValueError):
    """The invoice can't be read; says where and what to do."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One line of an invoice. Nano-USD; None: it has no such column."""

    line: int
    id: str | None
    day: int | None  # UTC, since 1970-01-01
    model: str | None
    prompt: int | None
    completion: int | None
    amount: int


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    rows: Sequence[Row]
    columns: Mapping[Column, str]  # which header was taken for what
    unit: int  # what its amounts may be off by for being rounded: one of their last decimal, at most a cent


def read(
    lines: Iterable[str],
    *,
    named: Mapping[Column, str] | None = None,
    delimiter: str | None = None,
    decimal_comma: bool = False,
) -> Invoice:
    """The invoice in `lines` of CSV with a header. `named` says which header is what, "" that there is none. Raises
    InvoiceError."""
    remaining = iter(lines)
    header = next(remaining, "").removeprefix("\ufeff")
    if not header.strip():
        raise InvoiceError("it is empty: the first line has to name the columns")
    delimiter = delimiter or _sniffed(header)
    try:
        headers = next(csv.reader([header], delimiter=delimiter))
        places = _places(headers, named or {})
        rows, decimals = _rows(csv.reader(remaining, delimiter=delimiter), len(headers), places, decimal_comma)
    except csv.Error as error:
        raise InvoiceError(f"it is no CSV: {error}") from None
    return Invoice(
        rows=rows,
        columns={name: headers[place].strip() for name, place in places.items()},
        unit=10 ** (NANO_DIGITS - min(max(decimals, 2), NANO_DIGITS)),
    )


def amount_of(text: str, *, decimal_comma: bool = False) -> tuple[int, int]:
    """Nano-USD, rounded to the nearest, and the number of decimals that were written. ValueError says what is wrong."""
    if decimal_comma:
        if "." in text:
            raise ValueError(f"{_shown(text)} has a point: write 1234,50, without thousands separators")
        text = text.replace(",", ".")
    elif "," in text:
        raise ValueError(
            f"{_shown(text)} has a comma: write 1234.50, without thousands separators; or say --decimal-comma"
        )
    match = _AMOUNT.match(text)
    if match is None or not (match[3] or match[4]) or (match[1] and match[2]):
        raise ValueError(f"{_shown(text)} is no amount in USD such as 0.0125")
    digits, decimals = match[3] + (match[4] or ""), len(match[4] or "") - int(match[5] or 0)
    shift = NANO_DIGITS - decimals
    scaled = int(digits) * 10**shift if shift >= 0 else (2 * int(digits) + 10**-shift) // (2 * 10**-shift)
    if scaled > AMOUNT_NANO_MAX:
        raise ValueError(f"{_shown(text)} is over 100 million USD")
    return (-scaled if match[1] or match[2] else scaled), max(decimals, 0)


def day_of(text: str) -> int:
    """The UTC day of a date, a time (ISO 8601; UTC unless it says otherwise) or a Unix time. ValueError."""
    epoch = _EPOCH.match(text)
    if epoch is not None:
        day = int(epoch[1]) // 86_400
    else:
        try:
            day = _iso_day(text.removesuffix(" UTC"))
        except ValueError:
            raise ValueError(
                f"{_shown(text)} is no day: write 2026-11-30, or a time such as 2026-11-30T12:00Z"
            ) from None
    if day not in _DAYS:
        raise ValueError(f"{_shown(text)} is no day of this century")
    return day


def _iso_day(text: str) -> int:
    if len(text) <= len("2026-11-30"):
        return day_number(dt.date.fromisoformat(text))
    at = dt.datetime.fromisoformat(text)
    return day_number((at if at.tzinfo is None else at.astimezone(dt.UTC)).date())


def _count(text: str) -> int:
    match = _COUNT.match(text)
    if match is None:
        raise ValueError(f"{_shown(text)} is no count of tokens")
    return int(match[1])


def _shown(text: str) -> str:
    return repr(text[:SHOWN_CHARS_MAX])


def _plain(header: str) -> str:
    return _PLAIN.sub("", header.lower())


def _sniffed(header: str) -> str:
    """The delimiter that finds most columns that are known, then most columns."""

    def found(delimiter: str) -> tuple[int, int]:
        names = {_plain(name) for name in header.split(delimiter)}
        return sum(any(known in names for known in all_of) for all_of in KNOWN.values()), len(names)

    return max(DELIMITERS.values(), key=found)


def _places(headers: Sequence[str], named: Mapping[Column, str]) -> dict[Column, int]:
    """Column -> its place in a row."""
    plain = [_plain(header) for header in headers]
    shown = ", ".join(header.strip() for header in headers)[:200]
    places: dict[Column, int] = {}
    for column in COLUMNS:
        if column in named:
            wanted = named[column].strip().lower()
            if not wanted:
                continue
            at = [place for place, header in enumerate(headers) if header.strip().lower() == wanted]
            if not at:
                raise InvoiceError(f"it has no column {named[column]!r}; it has {shown}")
        else:
            at = next((same for name in KNOWN[column] if (same := _all(plain, name))), [])
        if len(at) > 1:
            raise InvoiceError(
                f"two columns are called {headers[at[0]].strip()!r}: rename the one that isn't the {column}"
            )
        if at:
            places[column] = at[0]
    if "amount" not in places:
        raise InvoiceError(f"no column is known to be the amount: say --column amount=HEADER; it has {shown}")
    if not places.keys() & {"id", "day", "model"}:
        raise InvoiceError(f"no column is known to be the id, the day or the model: say --column; it has {shown}")
    return places


def _all(plain: Sequence[str], name: str) -> list[int]:
    return [place for place, header in enumerate(plain) if header == name]


def _rows(
    cells: Iterator[list[str]], width: int, places: Mapping[Column, int], decimal_comma: bool
) -> tuple[list[Row], int]:
    """The rows, and the most decimals of their amounts."""
    rows: list[Row] = []
    bad: list[str] = []
    bad_count = decimals_max = 0
    for row in cells:
        if not any(cell.strip() for cell in row):
            continue
        line = cells.line_num + 1  # type: ignore[attr-defined]  # of csv.reader; the header is the first
        try:
            found, decimals = _row(row, line, width, places, decimal_comma)
        except ValueError as error:
            bad_count += 1
            if len(bad) < BAD_ROWS_MAX:
                bad.append(f"line {line}: {error}")
            continue
        if len(rows) >= ROWS_MAX:
            raise InvoiceError(f"it has more than {ROWS_MAX} rows: split it, by day, and compare the parts")
        rows.append(found)
        decimals_max = max(decimals_max, decimals)
    if bad:
        more = f"; and {bad_count - len(bad)} more rows" if bad_count > len(bad) else ""
        raise InvoiceError("; ".join(bad) + more)
    return rows, decimals_max


def _row(
    cells: Sequence[str], line: int, width: int, places: Mapping[Column, int], decimal_comma: bool
) -> tuple[Row, int]:
    if len(cells) != width:
        raise ValueError(f"has {len(cells)} fields, the header {width}")

    def cell(column: Column) -> str | None:
        place = places.get(column)
        if place is None:
            return None
        text = cells[place].strip()
        if len(text) > CELL_CHARS_MAX:
            raise ValueError(f"{column}: is longer than {CELL_CHARS_MAX} characters")
        return text

    currency = cell("currency")
    if currency and currency.upper() not in ("USD", "US$", "$"):
        raise ValueError(f"currency: {_shown(currency)}; the books are in USD: convert it first")
    own, day, model = cell("id"), cell("day"), cell("model")
    if not (own or day or model):
        raise ValueError("has neither id, day nor model: if it is a total, take it out")
    prompt, completion = cell("prompt"), cell("completion")
    try:
        amount, decimals = amount_of(cell("amount") or "", decimal_comma=decimal_comma)
    except ValueError as error:
        raise ValueError(f"amount: {error}") from None
    row = Row(
        line=line,
        id=None if own is None else own[:RESPONSE_ID_CHARS_MAX],
        day=day_of(day) if day else None,
        model=model,
        prompt=_count(prompt) if prompt else None,
        completion=_count(completion) if completion else None,
        amount=amount,
    )
    return row, decimals
