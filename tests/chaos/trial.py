"""What every trial of routers has: books, wallets with credit, providers that misbehave, and the comparison at its end.

Everything that is drawn comes from the seed: the calls, the steps, the moments. The system's scheduling doesn't.
"""

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.books import Books, audit, balances, credit_at_rest, lines
from chaos.calls import KINDS, Seen, call, draw_call
from chaos.lives import Killing, Life, Lives, beginning
from chaos.load import Load, Wallets
from chaos.tally import PRICES, Found, compare
from tollway.domain.money import format_usd, parse_usd
from tollway.simulator import Simulator

RICH_USD, POOR_USD, TOP_UP_USD = "50", "0.005", "0.004"

CONFIG = """\
[server]
listen = "127.0.0.1:0"

[ops]
listen = ""

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


def configure(books: Books, simulator: Simulator) -> None:
    """Write the configuration of a router on these books, with the simulator as each of its providers."""
    text = CONFIG.format(ledger=books.url)
    for own, (of_prompt, of_answer) in PRICES.items():
        text += PROVIDER.format(id=own, base_url=simulator.base_url, input=of_prompt, output=of_answer)
    (books.folder / "tollway.toml").write_text(text)


@dataclass
class Tally:
    """What was done to all routers so far, and found."""

    found: Found = field(default_factory=Found)
    kills: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """The same for a person."""
        kills = ", ".join(f"{count} {step}" for step, count in sorted(self.kills.items()))
        calls = ", ".join(f"{count} {how}" for how, count in sorted(self.found.calls.items()))
        return [
            f"kills survived: {self.kills.total()} ({kills})",
            f"calls checked: {self.found.calls.total()} ({calls})",
            f"charged: {format_usd(self.found.charged)} USD",
            f"differences found: {len(self.found.differences)}",
            *(f"  {difference}" for difference in self.found.differences),
        ]


@dataclass
class Credits:
    """What the operator gives the poor wallet under load: each with a reference of its own, said until it is booked."""

    wallet: str
    unsure: list[str] = field(default_factory=list)
    booked: int = 0

    async def give(self, books: Books, ref: str) -> None:
        self.unsure.append(ref)
        for open_ref in tuple(self.unsure):
            if await books.credit(self.wallet, parse_usd(TOP_UP_USD), open_ref):
                self.unsure.remove(open_ref)
                self.booked += 1


class Trial:
    """Made with `trial()`. What is found goes to `tally`."""

    def __init__(
        self, lives: Lives, simulator: Simulator, books: Books, seed: int, tally: Tally, wallets: Wallets
    ) -> None:
        self.tally = tally
        self.found = tally.found
        self.simulator = simulator
        self.books = books
        self.draw = random.Random(seed)
        self.wallets = wallets
        self.credits = Credits(self.wallets.accounts[-1])
        self.name = ""  # of what is going on, in tags and differences
        self._lives = lives
        self._charged_elsewhere = tally.found.charged
        self._after = 0  # the last transfer that was compared

    async def open(self) -> None:
        """A configuration, and what the wallets begin with."""
        configure(self.books, self.simulator)
        for account in self.wallets.accounts:
            usd = RICH_USD if account != self.credits.wallet else POOR_USD
            await asyncio.to_thread(credit_at_rest, self.books, account, usd, "start")

    async def begin(self, killing: Killing | None = None) -> Life:
        """A router; it may not be listening yet, or not live long enough to."""
        arguments = ("serve", "--log-level", "warning")
        return await self._lives.begin(*arguments, killing=killing, environment=self.books.environment)

    async def serving(self, killing: Killing | None = None) -> Life:
        """A router that listens."""
        life = await self.begin(killing)
        if not await life.serves():
            self.differ(f"the router doesn't start: {life.said()[-2000:]}")
        return life

    def load(self, *lives: Life, kinds: Sequence[str] = tuple(KINDS)) -> Load:
        """Clients of these routers. None has been started yet."""

        def places() -> list[tuple[str, int]]:
            return [life.place for life in lives if life.lives and life.place[1]]

        return Load(self.name.replace(" ", "-"), self.wallets, places, self.draw, {kind: KINDS[kind] for kind in kinds})

    async def turned_away(self, life: Life, count: int) -> list[Seen]:
        """What calls come to that are made while the books can't be: none may be sent to a provider, or be charged."""
        await self.simulator.idle()
        sent = len(self.simulator.log)
        kinds = {name: KINDS[name] for name in ("batch", "stream")}
        seen = []
        for number in range(count):
            asked = draw_call(self.draw, f"turned-away-{number}", len(self.wallets.all), kinds)
            seen.append(await call(life.place, self.wallets.sign_ins()[asked.wallet], asked))
        for one in seen:
            if (one.status, one.error, one.retry_after) != (503, "ledger_unavailable", True):
                self.differ(f"{one.asked.tag}: {one}")
        if len(self.simulator.log) != sent:
            self.differ("a call was sent to a provider that can't be booked")
        return seen

    async def stop(self, life: Life) -> None:
        """As an operator does."""
        life.kill(signal.SIGTERM)
        if await life.ended != 0:
            self.differ(f"asked to stop, a router ended with {life.ended.result()}: {life.said()[-2000:]}")

    def audit_torn(self) -> None:
        """The books as a kill left them: whole, though holds of the dead are still in them."""
        self._take_audit(audit(self.books))

    async def compare(self, seen: Sequence[Seen]) -> None:
        """Compare every call with the books, once nothing moves any more: no call runs, no hold is left to expire."""
        await self.simulator.idle()
        attempts = self.simulator.log
        self.simulator.clear()
        new = lines(self.books, self._after)
        self._after = max((line.seq for line in new), default=self._after)
        compare(seen, attempts, new, self.found)
        self._check_totals()

    def differ(self, what: str) -> None:
        self.found.differ(f"{self.name}: {what}")

    def held(self) -> int:
        """Nano-USD of all holds in the books."""
        return sum(held for _, _, held in balances(self.books).values())

    def _take_audit(self, report: dict[str, Any]) -> None:
        for difference in report["differences"]:
            self.differ(difference)

    def _check_totals(self) -> None:
        """The sums: of everything posted, of everything credited, and that nothing is held."""
        report = audit(self.books)
        self._take_audit(report)
        if report["pending"]:
            self.differ(f"{report['pending']} holds are pending")
        owned = balances(self.books)
        if any(held for _, _, held in owned.values()):
            self.differ("money is held and nothing runs")
        charged = self.found.charged - self._charged_elsewhere
        spent = sum(owned[account][0] for account in self.wallets.accounts)
        if not spent == report["charged_total"] == charged:
            self.differ(f"wallets have spent {spent}, the audit {report['charged_total']}, posts {charged}")
        got = sum(owned[account][1] for account in self.wallets.accounts)
        start = (len(self.wallets.accounts) - 1) * parse_usd(RICH_USD) + parse_usd(POOR_USD)
        least = start + self.credits.booked * parse_usd(TOP_UP_USD)
        most = least + len(self.credits.unsure) * parse_usd(TOP_UP_USD)
        if not least <= got <= most:
            self.differ(f"{got} credited, the operator gave {least} to {most}")


@contextlib.asynccontextmanager
async def trial(books: Books, seed: int, tally: Tally | None = None, *, wallets: int = 4) -> AsyncIterator[Trial]:
    """Everything but a router. The last of the wallets is the poor one."""
    async with beginning(books.folder) as lives, await Simulator.start(log_attempts_max=None) as simulator:
        made = Trial(lives, simulator, books, seed, tally or Tally(), Wallets(wallets))
        await made.open()
        yield made
