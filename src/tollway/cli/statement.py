"""`tollway statement`: a wallet's own account statement, newest first."""

from typing import Annotated, Any

import typer

from tollway.cli.common import (
    DEFAULT_URL,
    JsonFlag,
    UrlOption,
    WalletOption,
    command,
    print_json,
)
from tollway.cli.tables import print_statement
from tollway.client.api import RouterClient
from tollway.client.wallet import load_wallet


@command
def statement(
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many lines at the most.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show what came in, what was held and what was charged.

    \b
    Example:
      tollway statement --wallet wallet.json --limit 100
    """
    with RouterClient(url, load_wallet(wallet)) as router:
        page: dict[str, Any] = router.get("/session/transactions", limit=limit)
    if as_json:
        print_json(page)
    else:
        print_statement(page["data"])
