"""What each configured model costs at its provider and how much it takes: as the configuration says, else as the price
book knows, with where each price came from. Once, when a router is built.
"""

from pathlib import Path

import msgspec

from tollway.config.places import url
from tollway.config.problems import ConfigError, Problem, key_path, nearest, one_of, shown
from tollway.config.problems import Path as KeyPath
from tollway.config.schema import Config, Model, Provider
from tollway.domain.price import PartialPrice, Price
from tollway.metering.price_book import IncompletePrice, PriceBook, PriceRow, laid_over, provider_of
from tollway.metering.price_files import known

WRITE = 'write price = { input = "2.50", output = "10.00" } in USD per million tokens; what is free is written as "0"'


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """`row` is the book's; None for a price that the configuration says whole. Sizes in tokens."""

    price: Price
    row: PriceRow | None = None
    context_length: int
    max_output_tokens: int


PriceList = dict[tuple[str, str], ListedModel]  # by the ids of provider and model


def price_list(config: Config) -> PriceList:
    """Raises ConfigError with every model that has no known price or size, or when the operator's book can't be
    read."""
    every = [(provider, model) for provider in config.providers for model in provider.models]
    if all(isinstance(model.price, Price) and model.context_length for _, model in every):
        book = PriceBook()
    else:
        book = _book(config.billing.price_book)
    reader = _Reader(book)
    found = {
        (provider.id, model.id): listed
        for place, provider in enumerate(config.providers)
        for spot, model in enumerate(provider.models)
        if (listed := reader.read(provider, model, ("providers", place, "models", spot)))
    }
    if reader.problems:
        raise ConfigError(tuple(reader.problems))
    return found


def remarks(prices: PriceList) -> tuple[str, ...]:
    """What an operator should know of prices that are from the book: where each is from, and where sources disagree."""
    said: list[str] = []
    for (provider, model), listed in prices.items():
        row = listed.row
        if row is None:
            continue
        doubt = f"; the sources disagree about {', '.join(row.disagreements)}" if row.disagreements else ""
        said.append(f"{provider}:{model} is priced by the book ({row.provider}/{row.model}: {row.origin}{doubt})")
    return tuple(said)


class _Reader:
    """Looks prices up and gathers what is wrong."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._rows = book.index()
        self._sizes = book.size_index()
        self._providers = frozenset(book.providers())
        self.problems: list[Problem] = []

    def read(self, provider: Provider, model: Model, at: KeyPath) -> ListedModel | None:
        name = ""
        if model.context_length == 0 or not isinstance(model.price, Price):
            if provider.price_book is not None and provider.price_book not in self._providers:
                self._wrong(
                    (*at[:2], "price_book"), one_of(provider.price_book, self._providers), shown(provider.price_book)
                )
                return None
            name = provider.price_book or provider_of(self._book, provider.id, url(provider.base_url).host)
        price = self._price(name, model, at)
        size = self._size(name, model, at)
        if price is None or size is None:
            return None
        return ListedModel(price=price[0], row=price[1], context_length=size[0], max_output_tokens=size[1])

    def _price(self, name: str, model: Model, at: KeyPath) -> tuple[Price, PriceRow | None] | None:
        if isinstance(model.price, Price):
            return model.price, None
        row = self._rows.get((name, model.upstream.lower()))
        written = model.price or PartialPrice()
        try:
            return laid_over(written, None if row is None else row.price), row
        except IncompletePrice as missing:
            at = (*at, "price")
            if missing.above is not None:
                self._wrong(
                    (*at, "tiers"),
                    f"the price has {missing.rate}, and the book's tier above {missing.above} tokens lacks it: "
                    "write the tiers too",
                )
            else:
                self._wrong(at if model.price is None else (*at, missing.rate), self._unknown(name, model))
            return None

    def _size(self, name: str, model: Model, at: KeyPath) -> tuple[int, int] | None:
        """Context and most of an answer; what is written counts, and both follow from a context that is."""
        if model.context_length:
            return model.context_length, model.max_output_tokens
        known = self._sizes.get((name, model.upstream.lower()))
        if known is None:
            self._wrong(
                (*at, "context_length"),
                f"is missing, and the price book doesn't know how much {shown(model.upstream)} of {name} takes: write "
                "context_length = 128000, and max_output_tokens, as its provider says",
            )
            return None
        most = model.max_output_tokens or known.max_output_tokens or known.context_length
        if most > known.context_length:
            self._wrong(
                (*at, "max_output_tokens"),
                f"is over the context_length that the price book has, {known.context_length}, which includes it",
                str(most),
            )
        return known.context_length, most

    def _unknown(self, name: str, model: Model) -> str:
        if name not in self._providers:
            known = ", ".join(sorted(self._providers))
            return f"no known price: {WRITE}; or say in price_book which provider of the price book this is ({known})"
        near = nearest(model.upstream, (row for provider, row in self._rows if provider == name))
        hint = f'; it knows "{near}"' if near else ""
        return f"no known price: the price book has no {shown(model.upstream)} of {name}{hint}: {WRITE}"

    def _wrong(self, at: KeyPath, expected: str, value: str | None = None) -> None:
        problem = Problem(key=key_path(at), expected=expected, value=value)
        if problem not in self.problems:
            self.problems.append(problem)


def _book(path: str | None) -> PriceBook:
    try:
        return known(None if path is None else Path(path))
    except ValueError as error:
        raise ConfigError((Problem(key="billing.price_book", expected=str(error)),)) from error
