"""One router's lives on the same books: start, load, kill, start again, and what every call came to is compared.

A kill is at a named step (the process ends itself) or at random (after so many calls). Everything that is drawn comes
from the seed: the calls, the steps, the moments. The system's scheduling doesn't.
"""

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.books import SqliteBooks, audit, balances, credit_at_rest, lines
from chaos.calls import Seen
from chaos.lives import KILLED, TORN, Killing, Life, Lives, beginning
from chaos.load import Load, Wallets
from chaos.steps import STEPS
from chaos.tally import PRICES, Found, compare
from helpers.until import until
from tollway.domain.money import format_usd, parse_usd
from tollway.simulator import Simulator

WORKERS = 12
CALLS_MAX = 150  # in a life whose step doesn't come
NTH_MAX = {"mid_stream": 250, "before_commit": 25, "inside_commit": 25, "torn_commit": 25, "after_commit": 25}
NTH_MAX_ELSE = 40
RANDOM = "at random"
ROUND_S_MAX = 60.0
RICH_USD, POOR_USD, TOP_UP_USD = "50", "0.005", "0.004"

CONFIG = """\
[server]
listen = "127.0.0.1:0"

[auth]
domains = ["chaos.example"]

[ledger]
url = "{ledger}"

[billing]
markup = "3%"
"""
PROVIDER = """
[[providers]]
id = "{id}"
base_url = "{base_url}"
[[providers.models]]
id = "sim/model"
upstream = "sim-{id}"
context_length = 100000
max_output_tokens = 1000
price = {{ input = "{input}", output = "{output}" }}
"""


def write_config(folder: Path, ledger: str, base_url: str, more: str = "") -> None:
    text = CONFIG.format(ledger=ledger)
    for own, (of_prompt, of_answer) in PRICES.items():
        text += PROVIDER.format(id=own, base_url=base_url, input=of_prompt, output=of_answer)
    (folder / "tollway.toml").write_text(text + more)


@dataclass
class Credits:
    """What the operator gives the poor wallet under load: each with a reference of its own, said until it is booked."""

    wallet: str
    unsure: list[str] = field(default_factory=list)
    booked: int = 0

    async def give(self, books: SqliteBooks, ref: str) -> None:
        self.unsure.append(ref)
        for open_ref in tuple(self.unsure):
            if await books.credit(self.wallet, parse_usd(TOP_UP_USD), open_ref):
                self.unsure.remove(open_ref)
                self.booked += 1


@dataclass
class Tally:
    """What was done to all routers so far, and found."""

    found: Found = field(default_factory=Found)
    kills: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """The same for a person."""
        steps = ", ".join(f"{count} {step}" for step, count in sorted(self.kills.items()))
        calls = ", ".join(f"{count} {how}" for how, count in sorted(self.found.calls.items()))
        return [
            f"kills survived: {self.kills.total()} ({steps})",
            f"calls checked: {self.found.calls.total()} ({calls})",
            f"charged: {format_usd(self.found.charged)} USD",
            f"differences found: {len(self.found.differences)}",
            *(f"  {difference}" for difference in self.found.differences),
        ]


class History:
    """Made with `history()`. What is found goes to `tally`."""

    def __init__(self, lives: Lives, simulator: Simulator, books: SqliteBooks, seed: int, tally: Tally) -> None:
        self.found = tally.found
        self.kills = tally.kills
        self._lives = lives
        self._simulator = simulator
        self._books = books
        self._draw = random.Random(seed)
        self._wallets = Wallets()
        self._credits = Credits(self._wallets.accounts[-1])
        self._charged = -tally.found.charged  # by other books
        self._after = 0  # the last transfer that was compared
        self._round = 0

    async def open(self) -> None:
        """Books, and what the wallets begin with."""
        write_config(self._books.folder, self._books.url, self._simulator.base_url)
        for account in self._wallets.accounts:
            usd = RICH_USD if account != self._credits.wallet else POOR_USD
            await asyncio.to_thread(credit_at_rest, self._books, account, usd, "start")

    async def round(self, step: str | None = None, *, spoil: str = "") -> None:
        """One life, from a start to a kill (at `step`, else at the next in turn), and a start after it on which
        everything is compared. `spoil` is SQL to be run in between, to see that it is found."""
        self._round += 1
        if step is None:
            step = ("", *STEPS)[self.kills.total() % (len(STEPS) + 1)]
        nth = self._draw.randint(1, NTH_MAX.get(step, NTH_MAX_ELSE))
        killing = Killing(step, nth, self._draw.randrange(1 << 30)) if step else Killing()
        life = await self._lives.begin("serve", "--log-level", "warning", killing=killing)
        seen: list[Seen] = []
        if await life.serves():
            seen = (await self._loaded(life, CALLS_MAX if step else self._draw.randint(1, CALLS_MAX))).seen
        await life.ended
        self._died(life, step)
        if spoil:
            self._books.spoil(spoil)
        await self._compared(seen)

    async def _loaded(self, life: Life, calls_max: int) -> Load:
        load = Load(f"r{self._round}", self._wallets, lambda: [life.place] if life.lives else [], self._draw)
        async with asyncio.timeout(ROUND_S_MAX):
            running = asyncio.ensure_future(load.run(WORKERS))
            await self._credits.give(self._books, f"top-up {self._round}")
            await until(lambda: not life.lives or len(load.seen) >= calls_max, ROUND_S_MAX)
            life.kill()
            await running
        return load

    def _died(self, life: Life, step: str) -> None:
        code = life.ended.result()
        if code not in (KILLED, TORN):
            self.found.differ(f"round {self._round}: the router ended by itself ({code}): {life.said()[-2000:]}")
        # A step that didn't come in so many calls: it was killed at random instead.
        self.kills[RANDOM if life.killed else step] += 1

    async def _compared(self, seen: list[Seen]) -> None:
        """Compare what is in the books as the kill left them, and again after the next start has recovered them."""
        await self._simulator.idle()
        attempts = self._simulator.log
        self._simulator.clear()
        self._check_audit("torn", audit(self._books), pending=True)
        life = await self._lives.begin("serve", "--log-level", "warning")
        if not await life.serves():
            self.found.differ(f"round {self._round}: the router doesn't start again: {life.said()[-2000:]}")
            return
        await self._credits.give(self._books, f"rest {self._round}")
        new = lines(self._books, self._after)
        self._after = max((line.seq for line in new), default=self._after)
        compare(seen, attempts, new, self.found)
        self._check_totals()
        life.kill(signal.SIGTERM)
        if await life.ended != 0:
            self.found.differ(f"round {self._round}: asked to stop, it ended with {life.ended.result()}")

    def _check_audit(self, when: str, report: dict[str, Any], *, pending: bool) -> None:
        for difference in report["differences"]:
            self.found.differ(f"round {self._round}, {when}: {difference}")
        if report["pending"] and not pending:
            self.found.differ(f"round {self._round}, {when}: {report['pending']} holds are pending")

    def _check_totals(self) -> None:
        """The sums: of everything posted, of everything credited, and that nothing is held."""
        report = audit(self._books)
        self._check_audit("recovered", report, pending=False)
        charged = self._charged + self.found.charged
        if report["charged_total"] != charged:
            self.found.differ(f"round {self._round}: {report['charged_total']} charged, posts {charged}")
        owned = balances(self._books)
        spent = sum(owned[account][0] for account in self._wallets.accounts)
        got = sum(owned[account][1] for account in self._wallets.accounts)
        if any(held for _, _, held in owned.values()):
            self.found.differ(f"round {self._round}: money is held and nothing runs")
        if spent != charged:
            self.found.differ(f"round {self._round}: wallets have spent {spent}, posts {charged}")
        given = (len(self._wallets.accounts) - 1) * parse_usd(RICH_USD) + parse_usd(POOR_USD)
        expected = given + self._credits.booked * parse_usd(TOP_UP_USD)
        most = expected + len(self._credits.unsure) * parse_usd(TOP_UP_USD)
        if not expected <= got <= most:
            self.found.differ(f"round {self._round}: {got} credited, the operator gave {expected} to {most}")


@contextlib.asynccontextmanager
async def history(folder: Path, seed: int, tally: Tally) -> AsyncIterator[History]:
    """Books in `folder`, wallets with credit and providers that misbehave; no router yet."""
    async with beginning(folder) as lives, await Simulator.start(log_attempts_max=None) as simulator:
        made = History(lives, simulator, SqliteBooks(folder), seed, tally)
        await made.open()
        yield made
