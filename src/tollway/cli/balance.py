"""`tollway balance`: what a wallet has at a router."""

from tollway.cli.common import DEFAULT_URL, JsonFlag, UrlOption, WalletOption, command, out, print_json
from tollway.client.api import RouterClient
from tollway.client.wallet import load_wallet


@command
def balance(wallet: WalletOption, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """Show what this wallet can spend, and what is held for calls in flight.

    \b
    Example:
      tollway balance --wallet wallet.json
      tollway balance --wallet wallet.json --json
    """
    with RouterClient(url, load_wallet(wallet)) as router:
        has = router.get("/session/balance")
    if as_json:
        print_json(has)
        return
    out.print(f"{has['balance_usd']} USD available, {has['held_usd']} held   {has['caip_account_id']}")
