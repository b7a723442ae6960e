"""The `tollway` command: one file a command."""

from typing import Annotated

import typer

from tollway import __version__
from tollway.cli.lazy import Lazy, LazyGroup


class Tollway(LazyGroup):
    table = {
        "demo": Lazy("tollway.cli.demo:demo", "See it work: a wallet, a credit, a streamed and billed answer."),
        "serve": Lazy("tollway.cli.serve:serve", "Run the router."),
        "sign-in": Lazy("tollway.cli.sign_in:sign_in", "Print a Sign-In-With-X header value."),
        "chat": Lazy("tollway.cli.chat:chat", "Ask a model."),
        "balance": Lazy("tollway.cli.balance:balance", "Show what this wallet can spend, and what is held."),
        "statement": Lazy("tollway.cli.statement:statement", "Show what came in, what was held and what was charged."),
        "usage": Lazy("tollway.cli.usage:usage", "Show what calls came to, by day, model, provider or user."),
        "models": Lazy("tollway.cli.models:models", "List models with their prices."),
        "prices": Lazy("tollway.cli.prices:app", "Prices: show, diff, update, set."),
        "route": Lazy("tollway.cli.route:route", "Show who would serve a request, and why."),
        "wallet": Lazy("tollway.cli.wallet:app", "Make and show wallets."),
        "ledger": Lazy("tollway.cli.ledger:app", "Money: credit, statement, audit."),
        "simulate": Lazy("tollway.cli.simulate:simulate", "Run a provider that behaves, and misbehaves, on request."),
    }


app = typer.Typer(
    name="tollway",
    cls=Tollway,
    help="A self-hosted LLM router you sign in to with a wallet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tollway {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    app()
