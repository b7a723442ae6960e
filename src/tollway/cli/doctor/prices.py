"""Prices: each model has one, and how far the book's may be believed."""

import datetime as dt

from tollway.cli.doctor.finding import Area, Finding
from tollway.config.problems import ConfigError
from tollway.config.schema import Config
from tollway.metering.price_book import OPERATOR, PriceRow
from tollway.metering.price_list import PriceList, price_list

OLD_DAYS = 180  # providers have changed some price within half a year, each year so far


def prices(config: Config, today: dt.date) -> tuple[PriceList | None, list[Finding]]:
    """The prices, None when one is missing, and what is to be said of them."""
    area = Area("prices")
    try:
        listed = price_list(config)
    except ConfigError as error:
        for problem in error.problems:
            area.problem(
                "price list", str(problem), "write that price, or `tollway prices set` it in a book of your own"
            )
        return None, area.findings
    by_book = [listing.row for listing in listed.values() if listing.row is not None]
    area.ok("price list", f"every model has one: {len(listed) - len(by_book)} written, {len(by_book)} from the book")
    for (provider, model), listing in listed.items():
        if listing.row is not None:
            _doubts(area, f"{provider}:{model}", listing.row, today)
    return listed, area.findings


def _doubts(area: Area, subject: str, row: PriceRow, today: dt.date) -> None:
    if row.disagreements:
        area.warning(
            subject,
            f"the book's sources disagree about {', '.join(row.disagreements)}",
            f"see `tollway prices show {row.model} --provider {row.provider} --disagreements`, look at the provider's "
            "own page, and write the right price",
        )
    if row.source != OPERATOR and (age := _age(row.date, today)) > OLD_DAYS:
        area.warning(
            subject,
            f"the book's price is {age} days old ({row.origin})",
            "`tollway prices diff` shows what is newer, `tollway prices update` takes it over",
        )


def _age(date: str, today: dt.date) -> int:
    """Days since `date` (YYYY-MM-DD); 0 for one that can't be read."""
    try:
        return (today - dt.date.fromisoformat(date)).days
    except ValueError:
        return 0
