"""`tollway receipt`: have a call's receipt signed, fetch the keys that vouch for it, and check it offline."""

from pathlib import Path
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
    put,
)
from tollway.client.api import RouterClient
from tollway.client.receipts import verify as verified
from tollway.client.wallet import load_wallet
from tollway.wire import json

KEYS_PATH = "/.well-known/jwks.json"
FILE_BYTES_MAX = 1_000_000  # of a receipt or a key set; both are far smaller
REQUEST_BYTES_MAX = 100_000_000

app = typer.Typer(
    help="Receipts: get, keys, verify.", add_completion=False, no_args_is_help=True, rich_markup_mode=None
)

OutOption = Annotated[Path | None, typer.Option("--out", help="Write it to this file.")]


@app.command("get")
@command
def get(
    call: Annotated[str, typer.Argument(metavar="CALL", help="The call's x-request-id, or the answer's own id.")],
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    file: OutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Have the receipt of a call signed: a compact JWS.

    \b
    Example:
      tollway receipt get 0198c0de-0000-7000-8000-000000000001 --wallet my-wallet.json --out call.receipt
    """
    with RouterClient(url, load_wallet(wallet)) as router:
        receipt: str = router.get(f"/generations/{call}", receipt="true")["receipt"]
    if as_json:
        print_json({"receipt": receipt})
    else:
        _write(f"{receipt}\n", file)


@app.command("keys")
@command
def keys(url: UrlOption = DEFAULT_URL, file: OutOption = None, as_json: JsonFlag = False) -> None:
    """Fetch the router's public keys (a JWK Set), to check receipts with offline.

    \b
    Example:
      tollway receipt keys --url https://router.example.com --out router-keys.json
    """
    with RouterClient(url) as router:
        published = router.root(KEYS_PATH)
    if as_json:
        print_json(published)
    else:
        _write(json.encode(published).decode() + "\n", file)


@app.command("verify")
@command
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt.")],
    keys: Annotated[Path, typer.Option("--keys", help="The router's keys, as `tollway receipt keys` wrote them.")],
    request: Annotated[
        Path | None, typer.Option("--request", help="The request's body as it was sent: is the receipt for it?")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a receipt offline. Exits 1 when it doesn't hold.

    \b
    Example:
      tollway receipt verify call.receipt --keys router-keys.json
    """
    text = _read(file, FILE_BYTES_MAX).decode("utf-8", "replace")
    body = None if request is None else _read(request, REQUEST_BYTES_MAX)
    claims = verified(text, _read(keys, FILE_BYTES_MAX), request=body)
    if as_json:
        print_json(claims)
    else:
        out.print("\n".join(_lines(claims, body is not None)))


def _lines(claims: dict[str, Any], request_seen: bool) -> list[str]:
    usage: dict[str, Any] = claims.get("usage") or {}
    served = f"{claims.get('model')} by {claims.get('provider')}" if claims.get("model") else "no provider was paid"
    tokens = f"{usage.get('prompt', 0)} + {usage.get('completion', 0)} tokens ({claims.get('usage_origin')})"
    return [
        f"the receipt holds, signed for {claims.get('iss')}",
        f"call      {claims.get('jti')} ({claims.get('ended')})",
        f"paid by   {claims.get('sub')}",
        f"served    {served}",
        f"usage     {tokens if usage else 'none'}",
        f"cost      {claims.get('cost_usd')} USD",
        f"request   sha256 {claims.get('request_sha256')}{' (is this request)' if request_seen else ''}",
    ]


def _write(text: str, file: Path | None) -> None:
    if file is None:
        put(text)
    else:
        file.write_text(text)


def _read(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise CommandFailed(f"{file} is over {most} bytes: is it the right file?")
    return data
