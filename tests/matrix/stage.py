"""Plays cells: a real router with books on disk, two simulated providers, and a client. What came of each is for
verdict.py to judge.

Cells are played at the same time: each has its own model, providers and wallet.
"""

import asyncio
import contextlib
import socket
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers.running import Running
from helpers.streaming import caught_up
from helpers.until import until
from matrix.cells import CREDIT, A, B, Cell, Way
from matrix.faults import MIDDLE
from matrix.seen import Asking, Client, Seen
from tollway.cli.serve import free_address, serving
from tollway.client.wallet import account_id
from tollway.config.load import loads
from tollway.config.schema import Config
from tollway.domain.commands import Entry
from tollway.domain.money import format_usd
from tollway.domain.record import CallRecord
from tollway.ledger import operator
from tollway.simulator import Attempt, Simulator

AT_ONCE = 6  # as many as keep a core busy: more would only let each of them wait longer
WAITING_AT_ONCE = 16  # beside them, of those that do little else
CELL_S_MAX = 30.0  # what hangs: ten times what the slowest cell takes by its limits
IDLE_S_MAX = 10.0  # for the router to leave the providers that nobody waits for
PATIENT = "30s"  # of keep-alives: none comes, so that a status is what is told
BEGINS_AT = "100ms"

ENTRIES_MAX = 50  # of a cell's statement: a credit, and two for each call

CONFIG = """
[ledger]
url = "sqlite:///{ledger}"
[server]
keep_alive_comment = "{keep_alive}"
"""


@dataclass
class Played:
    """All that is known of a cell afterwards. `record` is None where the client did nothing that was booked."""

    cell: Cell
    seen: Seen
    entries: tuple[Entry, ...] = ()
    record: CallRecord | None = None
    pending: int = 0
    owed: dict[str, int] = field(default_factory=dict)  # nano-USD that the books owe each provider of the cell's own
    attempts: list[tuple[str, Attempt]] = field(default_factory=list)  # by provider, in the order of its log
    hung: str | None = None  # where


class Stage:
    def __init__(self, router: Running, addresses: "Addresses") -> None:
        self._router = router
        self._addresses = addresses
        self._busy = asyncio.Semaphore(AT_ONCE)
        self._waiting = asyncio.Semaphore(WAITING_AT_ONCE)

    async def play(self, cells: Iterable[Cell], client: Client) -> list[Played]:
        """Every cell, in their order."""
        played = await asyncio.gather(*(self._bounded(cell, client) for cell in cells))
        try:
            await self._idle()
        except TimeoutError:  # a provider is held that should have been left: let it write, and be found out
            for one in played:
                self._let_go(one.cell)
            await self._idle()
        by_tag: dict[str, list[tuple[str, Attempt]]] = defaultdict(list)
        for letter, simulator in self._addresses.all():
            for attempt in simulator.log:
                by_tag[(attempt.model or "").partition("?")[0]].append((letter, attempt))
        for one in played:
            one.attempts = by_tag[one.cell.tag]
        return played

    async def _idle(self) -> None:
        """Until no provider is at work. Raises TimeoutError."""
        async with asyncio.timeout(IDLE_S_MAX):
            for _, simulator in self._addresses.all():
                await simulator.idle()

    def _let_go(self, cell: Cell) -> None:
        if cell.holder is not None:
            holder = self._addresses.of(cell, cell.holder)
            holder.free(cell.tag)
            holder.release(cell.tag)

    async def _bounded(self, cell: Cell, client: Client) -> Played:
        async with self._waiting if cell.fault.waits else self._busy:
            played = Played(cell, Seen())
            try:
                async with asyncio.timeout(CELL_S_MAX):
                    await self._play(played, client)
            except TimeoutError as late:
                played.hung = "".join(traceback.format_exception(late))
            return played

    async def _play(self, played: Played, client: Client) -> None:
        cell, router = played.cell, self._router
        if cell.fault.before is not None:
            await self._before(cell)
        owed_before = await self._owed(cell)
        wallet = await router.wallet(format_usd(CREDIT))
        url, key = f"{router.url}/v1", router.sign_in(wallet)
        asking = client.ask(url, key, cell.tag, cell.body(), stream=cell.way.streams, reads=cell.reads)
        await self._moment(cell, asking)
        played.seen = await asking.seen()
        await self._afterwards(cell)
        account = account_id(wallet)

        async def settled() -> bool:
            page = await router.ledger.statement(account, limit=ENTRIES_MAX)
            played.entries = tuple(page.entries)
            kinds = [entry.kind for entry in page.entries]
            return kinds.count("hold") == sum(kinds.count(end) for end in ("post", "void", "expire")) > 0

        await until(settled, CELL_S_MAX)
        owed = await self._owed(cell)
        played.owed = {letter: owed[letter] - owed_before[letter] for letter in owed}
        balance = await router.ledger.balance(account)
        played.pending = balance.debits_pending + balance.credits_pending
        played.record = await router.ledger.call(account, played.entries[0].id)

    async def _before(self, cell: Cell) -> None:
        """The call before, which is answered whole."""
        body = {**cell.body(), "model": cell.model_before, "stream": cell.way.streams}
        answer = await self._router.post(await self._router.wallet("1.00"), body)
        assert answer.status_code == 200, answer.text
        await caught_up(self._router)  # what its provider did after the answer is known as well

    async def _owed(self, cell: Cell) -> dict[str, int]:
        payable = {
            letter: await self._router.ledger.balance(f"provider:{letter}-{cell.tag}") for letter in cell.letters
        }
        return {letter: 0 if found is None else found.credits_posted for letter, found in payable.items()}

    async def _moment(self, cell: Cell, asking: Asking) -> None:
        """Bring about what the way is about."""
        holder = self._addresses.of(cell, cell.holder or A)
        match cell.way:
            case Way.BEGUN:
                await asking.opened.wait()
                holder.release(cell.tag)
            case Way.LEFT_BATCH | Way.LEFT_EARLY:
                await holder.waiting(cell.tag, 1)
                asking.leave()
            case Way.LEFT_MIDWAY:
                holder.step(cell.tag, cell.steps)
            case Way.LEFT_LATE:
                holder.step(cell.tag, cell.steps)
                await holder.sent(cell.tag, cell.steps)
                await caught_up(self._router)
                asking.leave()
            case _:
                pass
        if cell.parted:
            holder.step(cell.tag, MIDDLE)
            await asking.spoken.wait()
            holder.free(cell.tag)

    async def _afterwards(self, cell: Cell) -> None:
        """Let a provider go on whose answer is read to its end though nobody is there."""
        reasons = cell.fault.thoughts and cell.holder == A
        if cell.way is Way.LEFT_BATCH or cell.way is Way.LEFT_LATE or (cell.way is Way.LEFT_MIDWAY and reasons):
            await caught_up(self._router)
            self._let_go(cell)


class Addresses:
    """The simulators: one is A and one is B for all cells that can share its connections."""

    def __init__(self, shared: Mapping[str, Simulator], own: Mapping[str, Simulator], dead: str) -> None:
        self._shared = shared
        self._own = own  # by the provider's letter and the cell's tag
        self._dead = dead

    @classmethod
    async def start(cls, cells: Iterable[Cell], stack: contextlib.AsyncExitStack) -> "Addresses":
        async def simulator() -> Simulator:
            return await stack.enter_async_context(await Simulator.start())

        apart = [cell for cell in cells if cell.fault.own_address or cell.fault.before is not None]
        shared = {letter: await simulator() for letter in (A, B)}
        own = {letter + cell.tag: await simulator() for cell in apart for letter in cell.faulty}
        return cls(shared, own, stack.enter_context(_nobody()))

    def of(self, cell: Cell, letter: str) -> Simulator:
        return self._own.get(letter + cell.tag, self._shared[letter])

    def urls(self, cell: Cell) -> dict[str, str]:
        return {
            letter: self.of(cell, letter).base_url if cell.fault.listens or letter not in cell.faulty else self._dead
            for letter in (A, B)
        }

    def all(self) -> Iterator[tuple[str, Simulator]]:
        yield from self._shared.items()
        for place, simulator in self._own.items():
            yield place[0], simulator


@contextlib.contextmanager
def _nobody() -> Iterator[str]:
    """The URL of a port that is taken and where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/v1"


@contextlib.asynccontextmanager
async def stage(ledger: Path, cells: Sequence[Cell], *, keep_alive: str = PATIENT) -> AsyncIterator[Stage]:
    """A router for these cells. Raises AssertionError on the way out when its books don't prove."""
    async with contextlib.AsyncExitStack() as stack:
        addresses = await Addresses.start(cells, stack)
        text = CONFIG.format(ledger=ledger, keep_alive=keep_alive)
        text += "".join(cell.providers(addresses.urls(cell)) for cell in cells)
        place = str(free_address("127.0.0.1:0"))

        def read(text: str) -> Config:
            return loads(text, {"TOLLWAY_SERVER__LISTEN": place}, Path())

        router, url = await stack.enter_async_context(serving(read(text)))
        running = Running(router, url, {}, read, text)
        stack.push_async_callback(running.http.aclose)
        yield Stage(running, addresses)
    report = operator.audit(ledger)
    assert report.clean, report.differences
    assert report.pending == 0, f"{report.pending} holds are left"
