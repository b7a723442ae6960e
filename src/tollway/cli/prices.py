"""`tollway prices`: look into the price book, compare it with a newer reading, and write an operator's own rows.

Nothing here reads the network: what is newer comes with an installed genai-prices (`pip install --upgrade
'tollway[prices]'`).
"""

import datetime as dt
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import asdict

from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json, print_table
from tollway.cli.price_source import GENAI, genai_rows
from tollway.cli.progress import working
from tollway.config.load import load_price_book
from tollway.config.names import model_name, provider_id
from tollway.config.problems import nearest, one_of
from tollway.config.units import rate
from tollway.domain.price import PartialPrice, Rates
from tollway.metering.price_book import (
    OPERATOR,
    SPECIAL,
    IncompletePrice,
    ModelSize,
    PriceBook,
    PriceRow,
    Source,
    laid_over,
    over,
)
from tollway.metering.price_changes import Change, changes, differences, flat
from tollway.metering.price_files import known, read_book, shipped, write_book

app = typer.Typer(
    help="Prices: show, diff, update, set.", add_completion=False, no_args_is_help=True, rich_markup_mode=None
)

BOOK_NAME = "prices.json"
PICO_PER_MTOK = 10**6
MTOK = "USD per million tokens"

ProviderOption = Annotated[str | None, typer.Option("--provider", help="Only of this provider of the price book.")]
TargetOption = Annotated[
    Path | None, typer.Option("--to", help="The price book to write (default: billing.price_book, else prices.json).")
]


@app.command("show")
@command
def show(
    model: Annotated[str | None, typer.Argument(help="A model, or a part of its name; without it every model.")] = None,
    provider: ProviderOption = None,
    disagreements: Annotated[
        bool, typer.Option("--disagreements", help="Only where the sources disagree, with what each says.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what the price book knows: USD per million tokens with source and date, and how many tokens a model takes.

    \b
    Example:
      tollway prices show gpt-4o
      tollway prices show --provider openai --json
    """
    path, _ = load_price_book(config, os.environ)
    book = known(path)
    rows = _asked(book, model, provider)
    if disagreements:
        rows = [row for row in rows if row.disagreements]
    if as_json:
        sizes = book.size_index()
        print_json({"unit": MTOK, "data": [{**_view(row), **_size_view(sizes.get(row.key))} for row in rows]})
    elif disagreements:
        _print_disagreements(rows)
    else:
        _print_rows(rows, {} if model is None else book.size_index())


@app.command("diff")
@command
def diff(config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Show what the installed genai-prices says otherwise than the price book. Changes nothing.

    \b
    Example:
      tollway prices diff
    """
    path, _ = load_price_book(config, os.environ)
    book = known(path)
    version, found = _newer(book)
    if as_json:
        print_json(
            {"unit": MTOK, "source": GENAI, "version": version, "data": [_change_view(change) for change in found]}
        )
        return
    if not found:
        say(f"The price book says what {GENAI} {version} says.")
        return
    print_table(
        ("change", "provider", "model", "rate", "book", GENAI),
        [line for change in found for line in _lines(change)],
        right=("book", GENAI),
    )
    counts = ", ".join(f"{sum(change.kind == kind for change in found)} {kind}" for kind in ("changed", "new", "gone"))
    say(f"{GENAI} {version}: {counts}. `tollway prices update` takes them over; what is gone stays.")


@app.command("update")
@command
def update(to: TargetOption = None, config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Write what the installed genai-prices says anew into a price book of your own. Your own rows stay.

    \b
    Example:
      tollway prices update --to prices.json
    """
    target, configured = _target(to, config)
    own = read_book(target) if target.exists() else PriceBook()
    book = over(own, shipped())
    version, found = _newer(book)
    taken = {change.after.key: change.after for change in found if change.after is not None}
    if taken:
        reading = Source(version=version, date=_today().isoformat())
        sources = PriceBook(sources={GENAI: reading}, hosts=own.hosts, sizes=own.sizes)
        write_book(target, PriceBook.of({**own.index(), **taken}.values(), sources))
    if as_json:
        data = [_view(row) for row in taken.values()]
        print_json({"unit": MTOK, "source": GENAI, "version": version, "to": str(target), "data": data})
    elif not taken:
        say(f"Nothing to take over: the price book says what {GENAI} {version} says.")
    else:
        say(f"{len(taken)} prices of {GENAI} {version} written to {target}.{_advice(target, configured)}")


@app.command("set")
@command
def set_price(
    model: Annotated[str, typer.Argument(help="The provider's own name for the model.")],
    provider: Annotated[str, typer.Option("--provider", help="The provider's name in the price book.")],
    input: Annotated[str | None, typer.Option("--input", help="USD per million prompt tokens: 2.50")] = None,
    output: Annotated[str | None, typer.Option("--output", help="USD per million generated tokens: 10")] = None,
    rates: Annotated[
        list[str] | None, typer.Option("--rate", help="A further rate, NAME=USD: cached_input=1.25. Can be repeated.")
    ] = None,
    to: TargetOption = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Set a price in a price book of your own. What you don't give stays as the book knows it; 0 is free.

    \b
    Example:
      tollway prices set my-model --provider vllm --input 0.20 --output 0.60
    """
    target, configured = _target(to, config)
    written = _written({"input": input, "output": output}, rates or [])
    own = read_book(target) if target.exists() else PriceBook()
    row = _priced(over(own, shipped()), (provider_id(provider), model_name(model)), written)
    write_book(target, PriceBook.of({**own.index(), row.key: row}.values(), own))
    if as_json:
        print_json({"unit": MTOK, "to": str(target), "data": [_view(row)]})
        return
    figures = ", ".join(f"{name} {_usd(value)}" for name, value in flat(row).items())
    say(f"{row.provider}/{row.model}: {figures} {MTOK}, written to {target}.{_advice(target, configured)}")


def say(text: str) -> None:
    out.print(text)


def _asked(book: PriceBook, model: str | None, provider: str | None) -> list[PriceRow]:
    """The model of that name, else those with it in their name. Raises CommandFailed when there is none."""
    if provider is not None and provider not in book.providers():
        raise CommandFailed(f"the price book has no provider {provider!r}: {one_of(provider, book.providers())}")
    rows = [row for row in book.rows if provider in (None, row.provider)]
    if model is None:
        return rows
    wanted = model.lower()
    exact = [row for row in rows if wanted in (row.model.lower(), f"{row.provider}/{row.model}".lower())]
    found = exact or [row for row in rows if wanted in row.model.lower()]
    if not found:
        near = nearest(model, (row.model for row in rows))
        hint = f'did you mean "{near}"? Else ' if near else ""
        raise CommandFailed(f"the price book has no {model!r}: {hint}`tollway prices set` writes a price of your own")
    return found


def _newer(book: PriceBook) -> tuple[str, tuple[Change, ...]]:
    """The installed version, and what it changes. Raises CommandFailed when it isn't installed."""
    reading = shipped().sources[GENAI]
    try:
        with working(f"reading {GENAI}"):
            version, rows = genai_rows(reading.provides, _today())
            left_out = frozenset(reading.left_out)
            read = (row for row in rows if f"{row.provider}/{row.model}" not in left_out)
            return version, changes(book, read, GENAI)
    except ImportError:
        raise CommandFailed(f"{GENAI} is not installed: pip install 'tollway[prices]'") from None


def _target(to: Path | None, config: Path | None) -> tuple[Path, Path | None]:
    """The file to write, and the one that the configuration names."""
    configured, folder = load_price_book(config, os.environ)
    return to or configured or folder / BOOK_NAME, configured


def _advice(target: Path, configured: Path | None) -> str:
    if configured is not None and target.absolute() == configured.absolute():
        return " A router that starts now, or reloads (SIGHUP), uses it."
    return f'\nTo use it, write price_book = "{target.name}" into the billing section of a configuration beside it.'


def _written(ways: Mapping[str, str | None], further: list[str]) -> PartialPrice:
    """Raises CommandFailed."""
    given = {name: text for name, text in ways.items() if text is not None}
    for pair in further:
        name, equals, text = pair.partition("=")
        if not equals or name not in SPECIAL:
            raise CommandFailed(f"--rate {pair!r}: write NAME=USD, with one of {', '.join(SPECIAL)}")
        given[name] = text
    if not given:
        raise CommandFailed("nothing to set: give --input, --output or --rate")
    found: dict[str, Any] = {}
    for name, text in given.items():
        try:
            found[name] = rate(text)
        except ValueError as error:
            raise CommandFailed(f"{name}: {error}") from None
    return PartialPrice(**found)


def _priced(book: PriceBook, key: tuple[str, str], written: PartialPrice) -> PriceRow:
    """An operator's row over what is known. Raises CommandFailed when a rate is neither given nor known."""
    provider, model = key
    before = book.index().get((provider, model.lower()))
    try:
        price = laid_over(written, None if before is None else before.price)
    except IncompletePrice as missing:
        if missing.above is not None:
            raise CommandFailed(
                f"the tier above {missing.above} tokens has no {missing.rate}: write this price with its tiers into "
                "the configuration"
            ) from None
        raise CommandFailed(f"{missing.rate} is not known: give --{missing.rate} too; what is free is 0") from None
    figures = [
        value for rates in (price.rates, *(tier.rates for tier in price.tiers)) for value in asdict(rates).values()
    ]
    return PriceRow(
        provider=provider,
        model=model if before is None else before.model,
        rates=price.rates,
        tiers=price.tiers,
        source=OPERATOR,
        date=_today().isoformat(),
        free=0 in figures,
    )


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _usd(pico: int | None) -> str:
    """USD per million tokens."""
    return "" if pico is None else f"{Decimal(pico) / PICO_PER_MTOK:f}"


def _print_rows(rows: list[PriceRow], sizes: Mapping[tuple[str, str], ModelSize]) -> None:
    """A line a row, and one more for each of its tiers: `> 200000` is for prompts with more tokens. Below them `sizes`,
    and what is to be noted."""
    lines: list[tuple[str, ...]] = []
    for row in rows:
        origin = row.source + (" (disagrees)" if row.disagreements else "")
        lines.append((row.provider, row.model, *_figures(row.rates), origin, row.date))
        lines += [("", f"  > {tier.above}", *_figures(tier.rates), "", "") for tier in row.tiers]
    print_table(
        ("provider", "model", "input", "output", "further rates", "source", "date"),
        lines,
        right=("input", "output"),
        whole=("model",),
    )
    for row in rows:
        if row.key in sizes:
            say(f"{row.provider}/{row.model} {_takes(sizes[row.key])}")
    for note in sorted({f"{row.provider}/{row.model} {row.note}" for row in rows if row.note}):
        say(note)


def _figures(rates: Rates) -> tuple[str, str, str]:
    """Input, output, and the rest by name."""
    special = {name: getattr(rates, name) for name in SPECIAL}
    further = ", ".join(f"{name} {_usd(value)}" for name, value in special.items() if value is not None)
    return _usd(rates.input), _usd(rates.output), further


def _print_disagreements(rows: list[PriceRow]) -> None:
    if not rows:
        say("The sources agree.")
        return
    print_table(
        ("provider", "model", "rate", "the sources say", "the book has"),
        [
            (
                row.provider,
                row.model,
                name,
                ", ".join(f"{source} {_usd(value)}" for source, value in said.items()),
                row.source,
            )
            for row in rows
            for name, said in row.disagreements.items()
        ],
    )


def _view(row: PriceRow) -> dict[str, Any]:
    """A row with USD per million tokens, as decimal text."""
    return {
        "provider": row.provider,
        "model": row.model,
        "rates": _usd_each(asdict(row.rates)),
        "tiers": [{"above": tier.above, "rates": _usd_each(asdict(tier.rates))} for tier in row.tiers],
        "source": row.source,
        "date": row.date,
        "confirmed_by": row.confirmed_by,
        "filled": row.filled,
        "disagreements": {name: _usd_each(said) for name, said in row.disagreements.items()},
        "free": row.free,
        "note": row.note,
    }


def _takes(size: ModelSize) -> str:
    answer = "" if size.max_output_tokens is None else f", at most {size.max_output_tokens} in its answer"
    return f"takes {size.context_length} tokens{answer}"


def _size_view(size: ModelSize | None) -> dict[str, Any]:
    """How many tokens the model takes, and at most answers with, and who says so; None is unknown."""
    return {
        "context_length": None if size is None else size.context_length,
        "max_output_tokens": None if size is None else size.max_output_tokens,
        "size_source": None if size is None else size.source,
    }


def _usd_each(rates: Mapping[str, int | None]) -> dict[str, str]:
    return {name: _usd(value) for name, value in rates.items() if value is not None}


def _change_view(change: Change) -> dict[str, Any]:
    row = change.row
    return {"change": change.kind, "provider": row.provider, "model": row.model, "rates": _moves(change)}


def _moves(change: Change) -> dict[str, dict[str, str | None]]:
    """What each rate was and is; None where there was none, or where the source no longer lists the model."""
    if change.before is not None and change.after is not None:
        moves = differences(change.before, change.after)
    elif change.before is None:
        moves = {name: (None, value) for name, value in flat(change.row).items()}
    else:
        moves = {name: (value, None) for name, value in flat(change.row).items()}
    return {name: {"book": _usd(old) or None, GENAI: _usd(new) or None} for name, (old, new) in moves.items()}


def _lines(change: Change) -> list[tuple[str, ...]]:
    row = change.row
    return [
        (change.kind, row.provider, row.model, name, said["book"] or "", said[GENAI] or "")
        for name, said in _moves(change).items()
    ]
