"""`tollway chat`: one message, one answer, streamed as it comes."""

import sys
from typing import Annotated, Any

import typer

from tollway.cli.common import DEFAULT_URL, JsonFlag, UrlOption, WalletOption, command, print_json
from tollway.client.api import RouterClient
from tollway.client.wallet import load_wallet


@command
def chat(
    message: Annotated[str, typer.Argument(help="What to say.")],
    wallet: WalletOption,
    model: Annotated[str, typer.Option("--model", help="Model id or alias; `tollway models` lists them.")],
    url: UrlOption = DEFAULT_URL,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="The longest answer, in tokens.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask a model. The answer goes to stdout, what it cost to stderr.

    \b
    Example:
      tollway chat "What is a toll?" --model gpt-4o --wallet wallet.json
    """
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": message}]}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    with RouterClient(url, load_wallet(wallet)) as router:
        if as_json:
            print_json(router.complete(body))
            return
        usage, tollway = print_stream(router, body)
    typer.echo(cost_line(usage, tollway), err=True)


def print_stream(router: RouterClient, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer to stdout as it comes; gives back `usage` and `tollway`. Raises RouterError for half an answer."""
    usage: dict[str, Any] = {}
    tollway: dict[str, Any] = {}
    try:
        for delta in router.stream(body):
            sys.stdout.write(delta.text)
            sys.stdout.flush()
            usage = delta.usage or usage
            tollway = delta.tollway or tollway
    finally:
        sys.stdout.write("\n")
        sys.stdout.flush()
    return usage, tollway


def cost_line(usage: dict[str, Any], tollway: dict[str, Any]) -> str:
    """One line on what an answer cost and who gave it."""
    return (
        f"{usage.get('prompt_tokens')} + {usage.get('completion_tokens')} tokens, {usage.get('cost')} USD, "
        f"by {tollway.get('provider')}; {tollway.get('balance_usd')} USD left"
    )
