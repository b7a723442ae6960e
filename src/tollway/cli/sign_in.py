"""`tollway sign-in`: a signed header value for curl and other clients."""

import time
from typing import Annotated

import typer

from tollway.cli.common import DEFAULT_URL, CommandFailed, JsonFlag, UrlOption, WalletOption, command, print_json
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import load_wallet
from tollway.config.units import duration


@command
def sign_in(
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    lifetime: Annotated[str, typer.Option(help="How long it is good for, at most what the router takes.")] = "1h",
    as_json: JsonFlag = False,
) -> None:
    """Print a Sign-In-With-X header value: -H "Sign-In-With-X: $(tollway sign-in ...)".

    \b
    Example:
      curl -H "Sign-In-With-X: $(tollway sign-in --wallet wallet.json)" ...
    """
    try:
        seconds = duration(lifetime)
    except ValueError as error:
        raise CommandFailed(f"--lifetime: {error}") from None
    now_ms = time.time_ns() // 1_000_000
    header = sign_in_header(load_wallet(wallet), url, seconds, now_ms)
    if as_json:
        print_json({"header": "Sign-In-With-X", "value": header, "expires_at": now_ms // 1000 + int(seconds)})
    else:
        typer.echo(header)
