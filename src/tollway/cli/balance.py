"""`tollway balance`: what a wallet has at a router."""

from tollway.cli.common import DEFAULT_URL, JsonFlag, KeyOption, UrlOption, WalletIfNoKey, command, out, print_json
from tollway.cli.signed_in import signed_in


@command
def balance(
    wallet: WalletIfNoKey = None, key: KeyOption = None, url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False
) -> None:
    """Show what this wallet or key can spend, and what is held for calls in flight.

    \b
    Example:
      tollway balance --wallet wallet.json
      tollway balance --wallet wallet.json --json
    """
    with signed_in(url, wallet, key) as router:
        has = router.get("/session/balance")
    if as_json:
        print_json(has)
        return
    out.print(f"{has['balance_usd']} USD available, {has['held_usd']} held   {has['caip_account_id']}")
