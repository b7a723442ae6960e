"""The `tollway` command: one file a command."""

import typer

from tollway.cli import balance, chat, demo, ledger, models, serve, sign_in, simulate, statement, wallet

app = typer.Typer(
    name="tollway",
    help="A self-hosted LLM router you sign in to with a wallet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for name, function in {
    "demo": demo.demo,
    "serve": serve.serve,
    "sign-in": sign_in.sign_in,
    "chat": chat.chat,
    "balance": balance.balance,
    "statement": statement.statement,
    "models": models.models,
    "simulate": simulate.simulate,
}.items():
    app.command(name)(function)
app.add_typer(wallet.app, name="wallet")
app.add_typer(ledger.app, name="ledger")


def main() -> None:
    """Entry point of the console script."""
    app()
