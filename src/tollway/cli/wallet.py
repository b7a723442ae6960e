"""`tollway wallet new`, `tollway wallet show`: key files on this machine; nothing here talks to a network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tollway.cli.common import JsonFlag, command, out, print_json
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet, account_id, load_wallet

app = typer.Typer(help="Make and show wallets.", add_completion=False, no_args_is_help=True, rich_markup_mode=None)


class Chain(StrEnum):
    SOLANA = "solana"
    EVM = "evm"


@app.command("new")
@command
def new(
    file: Annotated[Path, typer.Option("--out", help="Where to write the key; never overwritten, mode 0600.")],
    chain: Annotated[Chain, typer.Option(help="solana or evm.")] = Chain.SOLANA,
    as_json: JsonFlag = False,
) -> None:
    """Make a keypair: Solana's JSON array, or an EVM key in hex.

    \b
    Example:
      tollway wallet new --out wallet.json
      tollway wallet new --chain evm --out wallet.key
    """
    made: Wallet = SolanaWallet.new() if chain is Chain.SOLANA else EvmWallet.new()
    made.save(file)
    _print(made, as_json)


@app.command("show")
@command
def show(file: Annotated[Path, typer.Argument(help="A wallet file.")], as_json: JsonFlag = False) -> None:
    """Print a wallet's address and account id; never its key.

    \b
    Example:
      tollway wallet show wallet.json
    """
    _print(load_wallet(file), as_json)


def _print(wallet: Wallet, as_json: bool) -> None:
    if as_json:
        print_json({"address": wallet.address, "caip_account_id": account_id(wallet)})
    else:
        out.print(account_id(wallet))
