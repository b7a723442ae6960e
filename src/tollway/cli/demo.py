"""`tollway demo`: the whole thing with no key and no account, on this machine alone.

A real small local model as the provider, a Solana and an EVM wallet, a credit, a streamed answer to each, both
statements and the audit of the books. What is shown is what happened: every line comes from the running router.
"""

import asyncio
import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.text import Text

from tollway.cli.chat import print_stream
from tollway.cli.common import command, out
from tollway.cli.local_model import CONTEXT_LENGTH, MODEL_NAME, LocalModel, LocalModelMissing
from tollway.cli.progress import working
from tollway.cli.serve import free_address, serving
from tollway.cli.signals import stop_signal
from tollway.cli.tables import audit_lines, print_statement
from tollway.client.api import RouterClient
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet, account_id
from tollway.config.load import loads
from tollway.domain.money import parse_usd
from tollway.ledger import operator
from tollway.simulator import Simulator

PROMPT = "Write one sentence about rivers."
MAX_TOKENS = 60
CREDIT_USD = "1.00"

CONFIG = """\
[server]
listen = "{listen}"

[ledger]
url = "sqlite:///ledger.db"

[billing]
markup = "3%"

[[providers]]
id = "{provider}"
base_url = "{base_url}"

[[providers.models]]
id = "{model}"
upstream = "{upstream}"
aliases = ["demo"]
context_length = {context_length}
max_output_tokens = 512
price = {{ input = "0.10", output = "0.40" }}
"""


@command
def demo(
    exit_after: Annotated[bool, typer.Option("--exit", help="End after the demo instead of serving on.")] = False,
    listen: Annotated[str, typer.Option("--listen", help="HOST:PORT of the router.")] = "127.0.0.1:0",
    simulated: Annotated[bool, typer.Option("--simulated", help="The simulated provider, no model.")] = False,
) -> None:
    """See it work: a wallet, a credit, a streamed and billed answer, the statement, the audit.

    \b
    Example:
      tollway demo
      tollway demo --simulated --exit
    """
    logging.basicConfig(level="ERROR")
    folder = Path(tempfile.mkdtemp(prefix="tollway-demo-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_demo(folder, listen, simulated, serve_on=not exit_after and sys.stdin.isatty()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _demo(folder: Path, listen: str, simulated: bool, *, serve_on: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        provider, base_url = await stack.enter_async_context(_provider(simulated))
        # The port has to be known before the start: it is part of the domain that wallets sign in to.
        place = free_address(listen)
        text = CONFIG.format(
            listen=place,
            provider=provider,
            base_url=base_url,
            model=f"{provider}/{MODEL_NAME}",
            upstream=MODEL_NAME,
            context_length=CONTEXT_LENGTH,
        )
        config = loads(text, {}, folder)
        _, url = await stack.enter_async_context(serving(config))
        _say("A router", f"listening at {url}/api/v1, its books in SQLite")
        wallets: list[Wallet] = [SolanaWallet.new(), EvmWallet.new()]
        files = [folder / "solana.json", folder / "evm.key"]
        books = folder / "ledger.db"
        for wallet, file in zip(wallets, files, strict=True):
            wallet.save(file)
            _say(f"A wallet ({wallet.account_name})", account_id(wallet))
            await operator.credit(books, account_id(wallet), parse_usd(CREDIT_USD), f"demo-{wallet.namespace}")
            _say("  credited", f"{CREDIT_USD} USD")
        for wallet in wallets:
            await asyncio.to_thread(_ask, url, wallet, f"{provider}/{MODEL_NAME}")
        report = await asyncio.to_thread(operator.audit, books)
        _say("\nAudit", audit_lines(report))
        if serve_on:
            _invite(url, files[0], f"{provider}/{MODEL_NAME}")
            await stop_signal().wait()


@contextlib.asynccontextmanager
async def _provider(simulated: bool) -> AsyncIterator[tuple[str, str]]:
    """A provider's id and base URL: the local model where its wheels are installed, else the simulator."""
    missing = "asked for"
    if not simulated:
        try:
            with working("loading the local model"):
                model = await asyncio.to_thread(LocalModel)
        except LocalModelMissing as reason:
            missing = str(reason)
        else:
            _say("A provider", "SmolLM2-135M-Instruct on llama.cpp, a real model on this machine")
            yield "local", model.base_url
            del model
            return
    async with await Simulator.start("127.0.0.1", 0) as simulator:
        _say("A provider", f"the simulator, not a model ({missing})")
        yield "simulator", simulator.base_url


def _ask(url: str, wallet: Wallet, model: str) -> None:
    """One streamed answer to a wallet, then what it did to its account."""
    _say(f"\nThe {wallet.account_name} wallet asks", PROMPT)
    messages = [{"role": "user", "content": PROMPT}]
    body = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0}
    with RouterClient(url, wallet) as router:
        out.print(print_stream(router, body).cost_line(), style="dim")
        print_statement(router.get("/session/transactions")["data"])


def _invite(url: str, wallet: Path, model: str) -> None:
    program = sys.argv[0]
    typer.echo(
        f"""
Still serving. In another terminal:

  curl -N {url}/api/v1/chat/completions \\
    -H "Sign-In-With-X: $({program} sign-in --wallet {wallet} --url {url})" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "{PROMPT}"}}]}}'

Ctrl-C ends the demo and removes its wallets and books."""
    )


def _say(what: str, value: str) -> None:
    out.print(Text.assemble((f"{what}:", "bold"), f" {value}"))
