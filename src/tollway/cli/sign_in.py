"""`tollway sign-in`: a signed header value for curl and other clients. Asks the router for nothing but a nonce."""

import time
from typing import Annotated

import typer

from tollway.cli.common import DEFAULT_URL, CommandFailed, JsonFlag, UrlOption, WalletOption, command, print_json
from tollway.cli.lazy import load
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import load_wallet
from tollway.config.units import duration


@command
def sign_in(
    wallet: WalletOption,
    url: UrlOption = DEFAULT_URL,
    lifetime: Annotated[str, typer.Option(help="How long it is good for, at most what the router takes.")] = "1h",
    once: Annotated[bool, typer.Option("--once", help="Good for one request: asks the router for a nonce.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print a Sign-In-With-X header value: -H "Sign-In-With-X: $(tollway sign-in ...)".

    \b
    Example:
      curl -H "Sign-In-With-X: $(tollway sign-in --wallet wallet.json)" ...
      curl -H "Sign-In-With-X: $(tollway sign-in --wallet wallet.json --once)" ...
    """
    try:
        seconds = duration(lifetime)
    except ValueError as error:
        raise CommandFailed(f"--lifetime: {error}") from None
    signer = load_wallet(wallet)
    now_ms = time.time_ns() // 1_000_000
    nonce = None
    if once:
        nonce, ends_s = _nonce(url)
        seconds = min(seconds, ends_s - now_ms / 1000)
    header = sign_in_header(signer, url, seconds, now_ms, nonce=nonce)
    if as_json:
        print_json({"header": "Sign-In-With-X", "value": header, "expires_at": now_ms // 1000 + int(seconds)})
    else:
        typer.echo(header)


def _nonce(url: str) -> tuple[str, int]:
    """A nonce of the router's, and the Unix second in which it ends."""
    with load("tollway.client.api:RouterClient")(url) as router:
        given = router.get("/session/nonce")
    return given["nonce"], given["expires_at"]
