"""Where price books are kept: the shipped one in the package, an operator's in a file.

The room's only reader of files.
"""

import os
from importlib.resources import files
from pathlib import Path

from tollway.config.files import read
from tollway.metering.price_book import BOOK_BYTES_MAX, PriceBook, checked, dump, over, parse


def shipped() -> PriceBook:
    """Not checked again: tests have, and a start shouldn't wait for it."""
    return parse((files("tollway.metering") / "data" / "prices.json").read_bytes())


def read_book(path: Path) -> PriceBook:
    """Raises ValueError, also when there is no such file."""
    try:
        data = read(path, BOOK_BYTES_MAX)
    except OSError as error:
        raise ValueError(f"the price book {str(path)!r} can't be read ({error.strerror})") from error
    if len(data) > BOOK_BYTES_MAX:
        raise ValueError(f"the price book {str(path)!r} is over {BOOK_BYTES_MAX} bytes")
    try:
        return checked(parse(data))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is no price book: {error}") from error


def known(path: Path | None) -> PriceBook:
    """The shipped book, under the operator's where there is one. Raises ValueError."""
    return shipped() if path is None else over(read_book(path), shipped())


def write_book(path: Path, book: PriceBook) -> None:
    """Whole or not at all. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(dump(book))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
