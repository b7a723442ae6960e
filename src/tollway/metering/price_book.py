"""What providers are known to charge, and how much their models take: one row a model and provider, each with its
source and date. Data and lookups.

Nothing here guesses: a model that has no row, or a rate that a row lacks, is unknown. Must not know models as
the configuration has them, and is asked only when a router is built, never for a call.
"""

from collections.abc import Iterable, Mapping
from typing import Self

import msgspec

from tollway.config.schema import TOKENS_MAX
from tollway.config.units import RATE_MAX
from tollway.domain.price import PartialPrice, Price, Rates, Tier
from tollway.wire import json

OPERATOR = "operator"  # the source of a row that an operator wrote
BOOK_BYTES_MAX = 8_000_000  # ten times the shipped book; a larger file is none

RATES = Rates.__struct_fields__
SPECIAL = tuple(name for name in RATES if name not in ("input", "output"))


class IncompletePrice(ValueError):
    """A price that lacks `rate`; in the tier above `above` tokens where that is given."""

    def __init__(self, rate: str, above: int | None = None) -> None:
        super().__init__(rate if above is None else f"{rate} above {above} tokens")
        self.rate = rate
        self.above = above


class PriceRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Pico-USD per token. `date` (YYYY-MM-DD) is when these figures were read at `source`."""

    provider: str
    model: str
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    source: str
    date: str
    confirmed_by: str | None = None  # another source that says the same, as far as it knows the rates
    filled: dict[str, str] = {}  # rates that `source` lacks, with the source they are from
    disagreements: dict[str, dict[str, int]] = {}  # rate -> source -> value; the row has the value of its own source
    free: bool = False  # input and output cost nothing: the source says so
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.provider, self.model.lower()

    @property
    def price(self) -> Price:
        return Price(rates=self.rates, tiers=self.tiers)

    @property
    def origin(self) -> str:
        return f"{self.source}, {self.date}"


class ModelSize(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Tokens. `context_length` is the largest that any source gives, since a hold has to cover it; `others` are the
    sources that give another. Without `max_output_tokens` an answer may fill the context, as far as is known."""

    provider: str
    model: str
    context_length: int
    max_output_tokens: int | None = None
    source: str
    date: str
    others: dict[str, int] = {}

    @property
    def key(self) -> tuple[str, str]:
        return self.provider, self.model.lower()


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A package that prices were read from. `provides` maps the book's provider ids to its own; `left_out` are models
    (`provider/model`) that it prices and that another source knows for no chat models."""

    version: str
    date: str
    licence: str = ""
    provides: dict[str, str] = {}
    left_out: tuple[str, ...] = ()


class PriceBook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`hosts` maps the host of a provider's API to the provider's id here."""

    sources: dict[str, Source] = {}
    hosts: dict[str, str] = {}
    rows: tuple[PriceRow, ...] = ()
    sizes: tuple[ModelSize, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[PriceRow], like: "PriceBook") -> Self:
        """A book of `rows`, in a stable order, with the sources, hosts and sizes of another."""
        ordered = tuple(sorted(rows, key=lambda row: row.key))
        return cls(sources=like.sources, hosts=like.hosts, rows=ordered, sizes=like.sizes)

    def index(self) -> Mapping[tuple[str, str], PriceRow]:
        """The rows by PriceRow.key: models are found whatever the case of their letters."""
        return {row.key: row for row in self.rows}

    def size_index(self) -> Mapping[tuple[str, str], ModelSize]:
        """The sizes by ModelSize.key."""
        return {size.key: size for size in self.sizes}

    def providers(self) -> tuple[str, ...]:
        return tuple(sorted({row.provider for row in self.rows}))


def parse(data: bytes) -> PriceBook:
    """A book from JSON. ValueError when it isn't one."""
    return json.decode_as(data, PriceBook)


def checked(book: PriceBook) -> PriceBook:
    """The same book. ValueError when a model has two rows, or when a figure is negative, or 0 without the row being
    free: what is unknown is left out."""
    seen: set[tuple[str, str]] = set()
    for row in book.rows:
        if row.key in seen:
            raise ValueError(f"{row.model} of {row.provider} has two rows")
        seen.add(row.key)
        for rates in (row.rates, *(tier.rates for tier in row.tiers)):
            _check(row, rates)
    if len(book.size_index()) < len(book.sizes):
        raise ValueError("a model has two sizes")
    for size in book.sizes:
        if not 0 < (size.max_output_tokens or 1) <= size.context_length <= TOKENS_MAX:
            raise ValueError(
                f"{size.model} of {size.provider} takes {size.context_length} tokens, {size.max_output_tokens} of them "
                f"in an answer: write whole numbers over 0, an answer within its context, at most {TOKENS_MAX}"
            )
    return book


def dump(book: PriceBook) -> bytes:
    """The book as JSON, a row a line, in a stable order: two versions compare line by line."""
    head = json.encode({"sources": book.sources, "hosts": dict(sorted(book.hosts.items()))})
    return head[:-1] + b',\n"rows":[\n' + _lines(book.rows) + b'\n],\n"sizes":[\n' + _lines(book.sizes) + b"\n]}\n"


def over(upper: PriceBook, lower: PriceBook) -> PriceBook:
    """Two books as one. For a model in both, an operator's row counts; else the one that was read later, `upper`'s when
    they are of one day. A size is always `upper`'s."""
    rows = dict(lower.index())
    for row in upper.rows:
        below = rows.get(row.key)
        if below is None or row.source == OPERATOR or row.date >= below.date:
            rows[row.key] = row
    sizes = {**lower.size_index(), **upper.size_index()}
    merged = PriceBook(
        sources={**lower.sources, **upper.sources},
        hosts={**lower.hosts, **upper.hosts},
        sizes=tuple(sizes[key] for key in sorted(sizes)),
    )
    return PriceBook.of(rows.values(), merged)


def provider_of(book: PriceBook, id: str, host: str) -> str:
    """Which provider of the book a provider most likely is: by the host of its API, else by its id."""
    return book.hosts.get(host, id)


def laid_over(written: PartialPrice, known: Price | None) -> Price:
    """A known price with what an operator wrote over it: each rate for itself, the tiers as a whole. Raises
    IncompletePrice when a rate is neither written nor known, or when a tier lacks a rate that the price has: a tier
    replaces the whole price, so its tokens would be billed at another rate in silence."""
    base = {} if known is None else msgspec.structs.asdict(known.rates)
    found = {name: base.get(name) if (rate := getattr(written, name)) is None else rate for name in RATES}
    for name in ("input", "output"):
        if found[name] is None:
            raise IncompletePrice(name)
    tiers = written.tiers if written.tiers is not None else () if known is None else known.tiers
    for tier in tiers:
        for name in SPECIAL:
            if found[name] is not None and getattr(tier.rates, name) is None:
                raise IncompletePrice(name, tier.above)
    features = written.features if known is None else {**known.features, **written.features}
    return Price(rates=msgspec.convert(found, Rates), tiers=tiers, features=features)


def _check(row: PriceRow, rates: Rates) -> None:
    for name in RATES:
        rate = getattr(rates, name)
        if rate is not None and not (0 < rate <= RATE_MAX or (rate == 0 and row.free)):
            raise ValueError(
                f"{row.model} of {row.provider} has {name} {rate}: write pico-USD per token, over 0 unless the row is "
                f"marked free, at most {RATE_MAX}"
            )


def _lines(rows: Iterable[PriceRow] | Iterable[ModelSize]) -> bytes:
    ordered = sorted(rows, key=lambda row: row.key)
    return b",\n".join(json.encode(_bare(msgspec.to_builtins(row))) for row in ordered)


def _bare(value: object) -> object:
    """Without the rates that are absent."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, list | tuple) else value
