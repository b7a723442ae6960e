"""`tollway ledger export`: the books for plain-text accounting."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json, put
from tollway.cli.ledger_report import FromOption, ToOption, date_of
from tollway.cli.progress import working
from tollway.cli.settings import ledger_url
from tollway.ledger import operator


class Style(StrEnum):
    hledger = "hledger"
    beancount = "beancount"


@command
def export(
    style: Annotated[Style, typer.Option("--format", help="Which program reads it.")],
    first: FromOption = None,
    last: ToOption = None,
    file: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file, which must not exist, instead of printing it.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the books as a journal for hledger or beancount: every transfer as a balanced entry.

    \b
    Example:
      tollway ledger export --format beancount --out books.beancount
      tollway ledger export --format hledger --from 2026-11-01 --to 2026-11-30
    """
    entries = operator.journal(ledger_url(config), style.value, date_of(first, "--from"), date_of(last, "--to"))
    if file is None:
        if as_json:
            raise CommandFailed("--json tells of a file that was written: name it with --out")
        for entry in entries:
            put(entry)
        return
    characters = 0
    with working("writing the journal"), file.open("x", encoding="utf-8") as journal:
        for entry in entries:
            characters += journal.write(entry)
    if as_json:
        print_json({"file": str(file), "format": style.value, "characters": characters})
    else:
        out.print(f"wrote the journal to {file}")
