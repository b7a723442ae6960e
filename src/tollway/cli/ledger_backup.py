"""`tollway ledger backup` and `restore`: the books in a file of their own, and back."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json
from tollway.cli.progress import working
from tollway.cli.settings import ledger_url
from tollway.cli.tables import audit_lines
from tollway.domain.errors import LedgerLocked
from tollway.ledger import operator
from tollway.ledger.sqlite.backup import Copied

MIB = 1024 * 1024


@command
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; it must not exist.")],
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Copy the books to a new file while the router runs, and prove the copy.

    \b
    Example:
      tollway ledger backup /backups/tollway-2026-11-22.db
    """
    with working("copying the books, and recomputing every account of the copy"):
        made = operator.backup(ledger_url(config), file)
    if as_json:
        print_json(_view(made))
    else:
        out.print(f"backed up to {made.file}, {made.bytes / MIB:.1f} MiB")
        out.print(audit_lines(made.audit))


@command
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Put a backup in the place of the books, once it is proved. The router must be stopped; the books that were there
    are kept beside it.

    \b
    Example:
      tollway ledger restore /backups/tollway-2026-11-22.db
    """
    try:
        with working("copying the backup, and recomputing every account of the copy"):
            made = operator.restore(ledger_url(config), file)
    except LedgerLocked as error:
        raise CommandFailed(f"stop the router first: {error}") from None
    if as_json:
        print_json(_view(made))
        return
    out.print(f"{made.file} is now what {file} was")
    if made.aside is not None:
        out.print(f"the books that were there are kept as {made.aside}")
    out.print(audit_lines(made.audit))


def _view(made: Copied) -> dict[str, Any]:
    kept = None if made.aside is None else str(made.aside)
    return {"file": str(made.file), "bytes": made.bytes, "kept": kept, "audit": made.audit}
