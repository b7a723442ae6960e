"""A whole router for tests: real sockets, a real ledger, simulated providers, wallets with credit.

async with running({"sim": "tokens=5"}) as router:
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, {"model": "sim/model", ...})
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from tollway.app import Router
from tollway.cli.serve import free_address, serving
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet, account_id
from tollway.config.load import loads
from tollway.config.places import LedgerUrl
from tollway.config.schema import Config
from tollway.domain.commands import Balance, Credit, Credited
from tollway.domain.money import parse_usd
from tollway.simulator import Simulator

PRICE = '{ input = "1", output = "10" }'  # 1,000 and 10,000 nano-USD a thousand tokens: easy to reckon with

PROVIDER = """
[[providers]]
id = "{id}"
base_url = "{base_url}"
{provider_extra}
[[providers.models]]
id = "sim/model"
aliases = {aliases}
upstream = "{upstream}?{scenario}"
context_length = 100000
max_output_tokens = 1000
price = {price}
{model_extra}
"""


class Running:
    """A router that serves, and what tests ask it."""

    def __init__(
        self, router: Router, url: str, simulators: dict[str, Simulator], read: Callable[[str], Config], text: str
    ) -> None:
        self.router = router
        self.url = url
        self.simulators = simulators
        self.text = text  # the configuration, as TOML
        self.read = read
        self.accounts: set[str] = set()  # of the wallets that were credited
        # Without TLS to verify: loading the certificate authorities would take longer than most tests.
        self.http = httpx2.AsyncClient(base_url=url, timeout=30.0, verify=False)

    async def reload(self, *changes: tuple[str, str]) -> bool:
        """Take each change, (what stands there, what is to stand there), over into the configuration and reload it."""
        text = self.text
        for old, new in changes:
            assert old in text, f"{old!r} is not in the configuration"
            text = text.replace(old, new)
        accepted = await self.router.reloader.reload(lambda: self.read(text))
        self.text = text if accepted else self.text
        return accepted

    @property
    def books(self) -> LedgerUrl:
        """Where they are."""
        return self.router.reloader.config.ledger.url

    @property
    def ledger(self) -> Any:
        return self.router.services.ledger

    async def credit(self, wallet: Wallet, usd: str, ref: str = "test") -> None:
        command = Credit(
            id=f"{ref}:{account_id(wallet)}",
            account=account_id(wallet),
            amount=parse_usd(usd),
            source="operator",
            ref=ref,
        )
        assert isinstance((await self.ledger.apply([command]))[0], Credited)
        self.accounts.add(account_id(wallet))

    async def wallet(self, usd: str | None = None, *, evm: bool = False) -> Wallet:
        """A fresh wallet with credit."""
        wallet: Wallet = EvmWallet.new() if evm else SolanaWallet.new()
        if usd is not None:
            await self.credit(wallet, usd)
        return wallet

    def sign_in(self, wallet: Wallet, **options: Any) -> str:
        return sign_in_header(wallet, self.url, 600, time.time_ns() // 1_000_000, **options)

    def headers(self, wallet: Wallet | None) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        return headers if wallet is None else {**headers, "sign-in-with-x": self.sign_in(wallet)}

    async def post(self, wallet: Wallet | None, body: Mapping[str, Any], **headers: str) -> httpx2.Response:
        return await self.http.post(
            "/api/v1/chat/completions", json=dict(body), headers={**self.headers(wallet), **headers}
        )

    async def get(self, path: str, wallet: Wallet | None = None, **params: Any) -> Any:
        answer = await self.http.get(f"/api/v1{path}", headers=self.headers(wallet), params=params)
        return answer.json()

    async def balance(self, wallet: Wallet) -> Balance:
        found = await self.ledger.balance(account_id(wallet))
        assert found is not None
        return found

    @property
    def simulator(self) -> Simulator:
        """The only one."""
        (simulator,) = self.simulators.values()
        return simulator


@contextlib.asynccontextmanager
async def running(
    scenarios: Mapping[str, str] | None = None,
    *,
    config: str = "",
    ledger: Path | LedgerUrl | None = None,
    price: str | Mapping[str, str] = PRICE,
    provider_extra: str = "",
    model_extra: str = "",
    listen: str = "",
    upstream: str = "sim",
) -> AsyncIterator[Running]:
    """One simulator a provider, each named in `scenarios` with how it behaves. `config` is further TOML ahead of the
    providers; the ledger is in memory unless `ledger` names a file or a database; it listens at `listen`, or at
    any free port; `upstream` is what the provider calls the model."""
    scenarios = scenarios or {"sim": ""}
    async with contextlib.AsyncExitStack() as stack:
        simulators = {
            name: await stack.enter_async_context(await Simulator.start("127.0.0.1", 0)) for name in scenarios
        }
        place = listen or str(free_address("127.0.0.1:0"))
        environment = {"TOLLWAY_SERVER__LISTEN": place}
        text = f'[ledger]\nurl = "{"memory:" if ledger is None else f"sqlite:///{ledger}"}"\n{config}'
        if isinstance(ledger, LedgerUrl):
            environment["BOOKS_PASSWORD"] = ledger.password.reveal() if ledger.password is not None else ""
            text = f'[ledger]\nurl = "{ledger.conninfo}"\npassword_env = "BOOKS_PASSWORD"\n{config}'
        for name, scenario in scenarios.items():
            text += PROVIDER.format(
                id=name,
                base_url=simulators[name].base_url,
                scenario=scenario,
                upstream=upstream,
                aliases='["model"]',
                price=price if isinstance(price, str) else price[name],
                provider_extra=provider_extra,
                model_extra=model_extra,
            )

        def read(text: str) -> Config:
            return loads(text, environment, Path())

        router, url = await stack.enter_async_context(serving(read(text)))
        serving_router = Running(router, url, simulators, read, text)
        stack.push_async_callback(serving_router.http.aclose)
        yield serving_router


def chat(content: str = "hello", **fields: Any) -> dict[str, Any]:
    """A request body."""
    return {"model": "sim/model", "messages": [{"role": "user", "content": content}], **fields}
