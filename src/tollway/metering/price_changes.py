"""What a newer reading of a source changes in a price book. Pure."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import asdict, replace

from tollway.domain.price import Rates, Tier
from tollway.metering.price_book import RATES, PriceBook, PriceRow


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """`before` None: new; `after` None: the source no longer lists it (the book keeps its row)."""

    before: PriceRow | None
    after: PriceRow | None

    @property
    def row(self) -> PriceRow:
        row = self.after or self.before
        assert row is not None
        return row

    @property
    def kind(self) -> str:
        if self.before is None:
            return "new"
        return "gone" if self.after is None else "changed"


def changes(book: PriceBook, read: Iterable[PriceRow], source: str) -> tuple[Change, ...]:
    """How `read`, all that `source` says now, differs from the rows of the book that are from it. What came from
    elsewhere, an operator's rows first of all, is left alone."""
    known, now = book.index(), {row.key: row for row in read}
    found: list[Change] = []
    for key in sorted(known.keys() | now.keys()):
        before, after = known.get(key), now.get(key)
        if before is not None and before.source != source:
            continue
        if before is not None and after is not None:
            after = _kept(before, after)
            if (after.rates, after.tiers) == (before.rates, before.tiers):
                continue
        found.append(Change(before=before, after=after))
    return tuple(found)


def differences(before: PriceRow, after: PriceRow) -> dict[str, tuple[int | None, int | None]]:
    """The rates that differ, by name; `input>200000` is a tier's."""
    old, new = flat(before), flat(after)
    names = sorted(old.keys() | new.keys())
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def flat(row: PriceRow) -> dict[str, int]:
    """Every rate of a row that is known, by name; a tier's as `input>200000`."""
    found = {name: rate for name, rate in asdict(row.rates).items() if rate is not None}
    for tier in row.tiers:
        found |= {f"{name}>{tier.above}": rate for name, rate in asdict(tier.rates).items() if rate is not None}
    return found


def _kept(before: PriceRow, after: PriceRow) -> PriceRow:
    """The new row with the rates that only another source knows, and with those disagreements whose rate stands."""
    carried = {name: source for name, source in before.filled.items() if getattr(after.rates, name) is None}
    rates = _with(after.rates, before.rates, carried)
    earlier = {tier.above: tier.rates for tier in before.tiers}
    tiers = tuple(
        Tier(above=tier.above, rates=_with(tier.rates, earlier.get(tier.above, before.rates), carried))
        for tier in after.tiers
    )
    row = replace(after, rates=rates, tiers=tiers, filled=carried)
    changed = differences(before, row)
    return replace(
        row, disagreements={name: said for name, said in before.disagreements.items() if name not in changed}
    )


def _with(rates: Rates, others: Rates, names: Iterable[str]) -> Rates:
    wanted = set(names)
    return Rates(**{name: getattr(others if name in wanted else rates, name) for name in RATES})
