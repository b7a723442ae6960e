"""docs/sign-in.md in other hands: its TypeScript is checked by the compiler and run, and examples/browser.html signs in
from another origin, in a real browser, with wallets that are not ours."""

import asyncio
import contextlib
import functools
import http.server
import json
import re
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from eth_account import Account
from eth_account.messages import encode_defunct
from solders.keypair import Keypair

from helpers.browser import Page, browser
from helpers.commands import TIMEOUT_S
from helpers.console import BLOCK
from helpers.node import install
from helpers.require import require_chromium, require_node
from helpers.running import Running, running
from tollway.cli.serve import free_address
from tollway.client.wallet import EvmWallet, SolanaWallet, account_id
from tollway.simulator import expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

DOCS = Path(__file__).parents[2] / "docs"
PACKAGES = Path(__file__).parent / "sign_in"
COST = "0.00007"  # 20 tokens in and 5 out at the test router's price
EVM_KEY = b"\x11" * 32
SOLANA_SEED = bytes([7]) * 32


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """docs/examples on a web server of its own: its origin."""
    serve = functools.partial(Quiet, directory=DOCS / "examples")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(site: str) -> AsyncIterator[Running]:
    """As the page configures it. Its address has to be known before the start, to be among the domains."""
    place = free_address("127.0.0.1:0")
    config = (
        f'[server]\npublic_url = "http://{place}"\ncors_origins = ["{site}"]\n'
        f'[auth]\ndomains = ["{place}", "{site.removeprefix("http://")}"]\n'
    )
    async with running({"sim": "tokens=5&prompt_tokens=20"}, config=config, listen=str(place)) as router:
        yield router


# --- TypeScript


def typescript(folder: Path, url: str) -> list[str]:
    """Check and run the page's lines of TypeScript in a folder with two wallets; what they print."""
    text = (DOCS / "sign-in.md").read_text(encoding="utf-8")
    source = "".join(match[2] for match in BLOCK.finditer(text) if match[1] == "ts")
    (folder / "sign-in.ts").write_text(source.replace("http://127.0.0.1:8080", url))
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(PACKAGES / "node_modules")
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--types", "node"]
    for command in ([compiler, *options, "sign-in.ts"], ["sign-in.js"]):
        ran = subprocess.run(
            [require_node(), *command], cwd=folder, capture_output=True, text=True, timeout=2 * TIMEOUT_S
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.node
async def test_the_lines_of_typescript_are_sound_and_sign_in_with_both_kinds_of_wallet(
    router: Running, tmp_path: Path
) -> None:
    install(PACKAGES)
    evm, solana = EvmWallet.new(), SolanaWallet.new()
    evm.save(tmp_path / "evm-wallet.txt")
    solana.save(tmp_path / "my-wallet.json")
    await router.credit(evm, "1.25")
    await router.credit(solana, "2.50")
    assert await asyncio.to_thread(typescript, tmp_path, router.url) == [
        f"{evm.chain}:{evm.address} has 1.25 USD",
        f"{solana.chain}:{solana.address} has 2.50 USD",
    ]


# --- a browser

ETHEREUM = "window.ethereum = { request: (asked) => ethereum_wallet(asked) };"
PHANTOM = """
window.phantom = { solana: {
  connect: async () => ({ publicKey: { toString: () => ADDRESS } }),
  signMessage: async (message, encoding) => ({
    signature: Uint8Array.from(await phantom_wallet({ message: Array.from(message), encoding })) }) } };
"""


class Wallets:
    """What MetaMask and Phantom do when a page asks, with keys in the test; what they were asked is kept."""

    def __init__(self) -> None:
        self.account = Account.from_key(EVM_KEY)
        self.keypair = Keypair.from_seed(SOLANA_SEED)
        self.signed: list[str] = []

    async def ethereum(self, asked: Any) -> Any:
        """EIP-1193."""
        match asked["method"]:
            case "eth_requestAccounts":
                return [self.account.address.lower()]
            case "eth_chainId":
                return "0x2105"
            case "personal_sign":
                data, address = asked["params"]
                assert address == self.account.address.lower()
                message = bytes.fromhex(data.removeprefix("0x"))
                self.signed.append(message.decode())
                return "0x" + self.account.sign_message(encode_defunct(message)).signature.hex().removeprefix("0x")
        raise ValueError(f"no page of ours asks for {asked['method']}")

    async def phantom(self, asked: Any) -> list[int]:
        assert asked["encoding"] == "utf8"
        message = bytes(asked["message"])
        self.signed.append(message.decode())
        return list(bytes(self.keypair.sign_message(message)))


@contextlib.asynccontextmanager
async def opened(router: Running, site: str, *wallets: str) -> AsyncIterator[tuple[Page, Wallets]]:
    """The page in a browser with these wallets' scripts in it."""
    held = Wallets()
    async with browser() as page:
        await page.bind("ethereum_wallet", held.ethereum)
        await page.bind("phantom_wallet", held.phantom)
        for script in wallets:
            await page.before(script.replace("ADDRESS", json.dumps(str(held.keypair.pubkey()))))
        await page.open(f"{site}/browser.html")
        await page.write("#router", router.url)
        yield page, held


@pytest.fixture
def chromium() -> None:
    require_chromium()


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("kind", ["ethereum", "phantom"])
async def test_the_browser_page_signs_in_asks_and_shows_what_it_cost(
    router: Running, site: str, kind: str, tmp_path: Path
) -> None:
    wallet = EvmWallet(EVM_KEY) if kind == "ethereum" else SolanaWallet(SOLANA_SEED)
    await router.credit(wallet, "1.00")
    async with opened(router, site, ETHEREUM, PHANTOM) as (page, held):
        await page.click(f"#with-{kind}")
        await page.until("document.querySelector('#account').textContent.includes('1.00 USD')")
        await page.write("#model", "sim/model")
        await page.click("#ask button")
        await page.until("document.querySelector('#account').textContent.includes('0.99993 USD')")
        assert await page.text("#answer") == expected_text(5)
        assert await page.text("#cost") == f"{COST} USD, by sim"
        assert await page.text("#problem") == ""
        assert page.complaints == []
        await page.screenshot(tmp_path / f"{kind}.png")
        assert (tmp_path / f"{kind}.png").stat().st_size > 10_000
    (message,) = held.signed
    assert message.startswith(f"{site.removeprefix('http://')} wants you to sign in with your ")
    assert (await router.balance(wallet)).debits_posted == 70_000
    assert account_id(wallet) in router.accounts


@pytest.mark.usefixtures("chromium")
async def test_the_browser_page_says_what_is_wrong(router: Running, site: str) -> None:
    poor = Keypair()
    async with opened(router, site, PHANTOM) as (page, held):
        await page.click("#ask button")
        await page.until("document.querySelector('#problem').textContent === 'Sign in first.'")
        await page.click("#with-ethereum")
        await page.until("document.querySelector('#problem').textContent.includes('no Ethereum wallet')")
        held.keypair = poor  # signs, but not for the address that the page was given
        await page.click("#with-phantom")
        await page.until("document.querySelector('#problem').textContent.includes('signature is not this account')")
        assert await page.text("#account") == "Not signed in."


@pytest.mark.usefixtures("chromium")
async def test_a_page_of_another_origin_can_read_no_answer(router: Running, site: str) -> None:
    elsewhere = site.replace("127.0.0.1", "localhost")  # the same server, but another origin
    async with opened(router, elsewhere, PHANTOM) as (page, _):
        await page.click("#with-phantom")
        await page.until("document.querySelector('#problem').textContent.includes('Failed to fetch')")
        assert re.search("CORS policy|ERR_FAILED", " ".join(page.complaints))
