"""`tollway ledger recounts`: each provider's count of tokens against our own."""

from typing import Annotated, Any

import typer

from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json, print_table
from tollway.cli.settings import ledger_url, recount_threshold
from tollway.config.units import percent
from tollway.domain.recount import Compared, RecountSums, deviation_bps
from tollway.ledger import operator

COLUMNS = ("provider", "model", "calls", "of", "compared", "reported", "own", "off by", "")


@command
def recounts(
    config: ConfigOption = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider.")] = None,
    days: Annotated[int, typer.Option(help="Of the last so many days.")] = 30,
    threshold: Annotated[
        str | None, typer.Option(help="Mark what is further off than this, such as 5%; else billing.recount_threshold.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what providers counted against our own tokenizer's count of the same text.

    \b
    Example:
      tollway ledger recounts
      tollway ledger recounts --provider openai --days 7 --json
    """
    limit_bps = recount_threshold(config) if threshold is None else _limit(threshold)
    found = [one for one in operator.recounts(ledger_url(config), days) if provider in (None, one.provider)]
    if as_json:
        print_json({"days": days, "data": [_view(one, limit_bps) for one in found]})
    elif not found:
        out.print(f"no call of the last {days} days was recounted: see billing.recount, and the extra `tokens`")
    else:
        print_table(COLUMNS, [row for one in found for row in _rows(one, limit_bps)], right=("calls", *COLUMNS[4:8]))


def _limit(threshold: str) -> int:
    try:
        return percent(threshold)
    except ValueError as error:
        raise CommandFailed(f"--threshold: {error}") from None


def _view(one: RecountSums, limit_bps: int) -> dict[str, Any]:
    return {
        "provider": one.provider,
        "model": one.model,
        "calls": one.calls,
        "prompt": _side(one.prompts, one.prompt, limit_bps),
        "completion": _side(one.completions, one.completion, limit_bps),
    }


def _side(calls: int, compared: Compared, limit_bps: int) -> dict[str, Any]:
    deviation = deviation_bps(compared)
    return {
        "compared": calls,
        "reported": compared.reported,
        "own": compared.own,
        "deviation_percent": None if deviation is None else deviation / 100,
        "flagged": deviation is not None and abs(deviation) > limit_bps,
    }


def _rows(one: RecountSums, limit_bps: int) -> list[tuple[str, ...]]:
    prompt = _cells("prompt", _side(one.prompts, one.prompt, limit_bps))
    completion = _cells("completion", _side(one.completions, one.completion, limit_bps))
    return [(one.provider, one.model, str(one.calls), *prompt), ("", "", "", *completion)]


def _cells(kind: str, side: dict[str, Any]) -> tuple[str, ...]:
    off = side["deviation_percent"]
    counts = (str(side["compared"]), str(side["reported"]), str(side["own"]))
    return (kind, *counts, "-" if off is None else f"{off:+.1f} %", "!" if side["flagged"] else "")
