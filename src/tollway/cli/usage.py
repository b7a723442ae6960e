"""`tollway usage`: what a wallet's calls came to, by day, model, provider, user or key."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from tollway.cli.common import DEFAULT_URL, JsonFlag, UrlOption, WalletOption, command, out, print_json, print_table
from tollway.client.api import RouterClient
from tollway.client.wallet import load_wallet

COUNTS = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
HEADINGS = ("calls", "prompt", "completion", "cached", "reasoning", "USD")


class By(StrEnum):
    day = "day"
    model = "model"
    provider = "provider"
    user = "user"
    key = "key"


@command
def usage(
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    by: Annotated[By, typer.Option(help="What a line is of.")] = By.day,
    first: Annotated[
        str | None, typer.Option("--from", help="First day (UTC), YYYY-MM-DD; 30 days up to the last if left out.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; today if left out.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what calls came to, by day, model, provider, user or key.

    \b
    Example:
      tollway usage --wallet wallet.json --by model
      tollway usage --wallet wallet.json --from 2026-11-01 --json
    """
    period = {name: day for name, day in (("from", first), ("to", last)) if day is not None}
    with RouterClient(url, load_wallet(wallet)) as router:
        found: dict[str, Any] = router.get("/session/usage", by=by.value, **period)
    if as_json:
        print_json(found)
    elif not found["data"]:
        out.print(f"No calls from {found['from']} to {found['to']}.")
    else:
        lines = [_row(line["key"] if line["key"] is not None else f"(no {by.value})", line) for line in found["data"]]
        heading = f"{by.value} (UTC)" if by is By.day else by.value
        print_table((heading, *HEADINGS), [*lines, _row("total", found["total"])], right=HEADINGS)
        if found["has_more"]:
            out.print(f"These are the dearest {len(lines)}; the total is of all.")


def _row(name: str, line: dict[str, Any]) -> list[str]:
    return [name, *(str(line[count]) for count in COUNTS), line["cost_usd"]]
