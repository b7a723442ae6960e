"""Who asks, for commands that a delegated key may use as well as a wallet."""

from pathlib import Path

import typer

from tollway.client.api import RouterClient
from tollway.client.wallet import load_wallet


def signed_in(url: str, wallet: Path | None, key: str | None) -> RouterClient:
    """The key, if there is one: whoever has both set it for this. BadParameter when there is neither."""
    if key:
        return RouterClient(url, key=key)
    if wallet is None:
        raise typer.BadParameter("Name a wallet file with --wallet (or TOLLWAY_WALLET), or a key in TOLLWAY_KEY.")
    return RouterClient(url, load_wallet(wallet))
