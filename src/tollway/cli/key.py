"""`tollway key`: a wallet's delegated keys, given out, listed and ended."""

import time
from typing import Annotated, Any

import typer

from tollway.cli.common import (
    DEFAULT_URL,
    CommandFailed,
    JsonFlag,
    UrlOption,
    WalletOption,
    command,
    out,
    print_json,
    print_table,
    put,
)
from tollway.client.api import RouterClient
from tollway.client.wallet import load_wallet
from tollway.config.units import duration

PAGE_MAX = 500

app = typer.Typer(
    help="Delegated keys: new, list, end.", add_completion=False, no_args_is_help=True, rich_markup_mode=None
)


@app.command("new")
@command
def new(
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    limit: Annotated[str | None, typer.Option("--limit", metavar="USD", help="The most it may spend: 5.00")] = None,
    period: Annotated[str, typer.Option("--per", help="Of the limit: lifetime, day or month (UTC).")] = "lifetime",
    expires: Annotated[str | None, typer.Option("--expires", metavar="TIME", help="How long it is good: 24h")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Allow this model only; may be repeated.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Give out a key that may spend of this wallet. Its secret goes to stdout, once; nobody can show it again.

    \b
    Example:
      tollway key new --wallet wallet.json --label agent --limit 5.00 --per month --expires 720h
      TOLLWAY_KEY=$(tollway key new --wallet wallet.json --limit 1.00)
    """
    asked: dict[str, Any] = {"label": label, "limit_usd": limit, "period": period, "models": model or []}
    if expires is not None:
        asked["expires_at"] = int(time.time() + duration(expires))
    with RouterClient(url, load_wallet(wallet)) as router:
        made = router.create_key(asked)
    if as_json:
        print_json(made)
    else:
        put(f"{made['key']}\n")


@app.command("list")
@command
def listing(
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_MAX, help="How many at the most.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List this wallet's keys, the newest first, with what they have spent in their period.

    \b
    Example:
      tollway key list --wallet wallet.json
    """
    with RouterClient(url, load_wallet(wallet)) as router:
        page = router.get("/keys", limit=limit, **({} if cursor is None else {"cursor": cursor}))
    if as_json:
        print_json(page)
        return
    rows = [
        (key["id"], key["label"], _limit(key), key["spent_usd"], ", ".join(key["models"]) or "any", _state(key))
        for key in page["data"]
    ]
    columns = ("id", "label", "limit USD", "spent USD", "models", "state")
    print_table(columns, rows, right=("limit USD", "spent USD"), whole=("id",))
    if page["next_cursor"] is not None:
        out.print(f"older ones: --cursor {page['next_cursor']}")


@app.command("end")
@command
def end(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `tollway key list` shows it.")],
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """End a key: at once, and for good. Calls that it has under way end as they would.

    \b
    Example:
      tollway key end 0198c0de-0000-7000-8000-000000000001 --wallet wallet.json
    """
    if key.startswith("tollway_"):
        raise CommandFailed("that is a key's secret: end a key by its id, as `tollway key list` shows it")
    with RouterClient(url, load_wallet(wallet)) as router:
        router.delete(f"/keys/{key}")
    if as_json:
        print_json({"id": key, "ended": True})
    else:
        out.print(f"ended {key}")


def _limit(key: dict[str, Any]) -> str:
    if key["limit_usd"] is None:
        return ""
    return key["limit_usd"] if key["period"] == "lifetime" else f"{key['limit_usd']} a {key['period']}"


def _state(key: dict[str, Any]) -> str:
    if key["ended_at"] is not None:
        return f"ended {_day(key['ended_at'])}"
    if key["expires_at"] is None:
        return "living"
    return f"{'expired' if key['expires_at'] <= time.time() else 'until'} {_day(key['expires_at'])}"


def _day(unix_s: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(unix_s))
