"""The `tollway` command: one file a command."""

import functools
import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tollway import __version__
from tollway.cli.ending import ended, open_what_is_closed
from tollway.cli.lazy import Lazy, LazyGroup


class Tollway(LazyGroup):
    table = {
        "demo": Lazy("tollway.cli.demo:demo", "See it work: a wallet, a credit, a streamed and billed answer."),
        "init": Lazy("tollway.cli.init.command:init", "Write a configuration."),
        "doctor": Lazy("tollway.cli.doctor.command:doctor", "Say what is wrong, and how to mend it."),
        "serve": Lazy("tollway.cli.serve:serve", "Run the router."),
        "sign-in": Lazy("tollway.cli.sign_in:sign_in", "Print a Sign-In-With-X header value."),
        "chat": Lazy("tollway.cli.chat:chat", "Ask a model."),
        "balance": Lazy("tollway.cli.balance:balance", "Show what this wallet or key can spend, and what is held."),
        "statement": Lazy("tollway.cli.statement:statement", "Show what came in, what was held and what was charged."),
        "usage": Lazy("tollway.cli.usage:usage", "Show what calls came to, by day, model, provider, user or key."),
        "models": Lazy("tollway.cli.models:models", "List models with their prices."),
        "prices": Lazy("tollway.cli.prices:app", "Prices: show, diff, update, set."),
        "route": Lazy("tollway.cli.route:route", "Show who would serve a request, and why."),
        "wallet": Lazy("tollway.cli.wallet:app", "Make and show wallets."),
        "key": Lazy("tollway.cli.key:app", "Delegated keys: new, list, end."),
        "receipt": Lazy("tollway.cli.receipt:app", "Receipts: get, keys, verify."),
        "ledger": Lazy("tollway.cli.ledger:app", "Money: credit, statement, report, audit, backup."),
        "provider": Lazy("tollway.cli.provider:app", "Providers: list, disable, enable."),
        "bench": Lazy("tollway.cli.bench:bench", "Measure what a call costs on this machine."),
        "simulate": Lazy("tollway.cli.simulate:simulate", "Run a provider that behaves, and misbehaves, on request."),
    }

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """What goes wrong, here or in a command, ends in one line and an exit code (`ending.py`)."""
        run = functools.partial(super().main, args, prog_name, complete_var, False, windows_expand_args, **extra)
        return ended(run) if standalone_mode else run()


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
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colour, as with NO_COLOR set. Into a pipe there is none anyway.")
    ] = False,
) -> None:
    if no_color:
        os.environ["NO_COLOR"] = "1"  # what writes to the terminal looks there


def main() -> None:
    """Entry point of the console script."""
    open_what_is_closed()
    app()
