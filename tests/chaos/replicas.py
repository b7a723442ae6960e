"""Two routers on one PostgreSQL: either is killed, or both, or the database is; who is left goes on serving.

What a kill left open is over once the leases of the dead have run out (`steps.LEASE_S`): then everything is compared.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.calls import ready
from chaos.history import CALLS_MAX, RANDOM, WORKERS, died, killing_at
from chaos.lives import Killing, Life
from chaos.load import Load
from chaos.steps import STEPS
from chaos.trial import Trial
from helpers.postgres import OwnServer
from helpers.until import until

SQLITE_ONLY = {"torn_commit"}
KILL_DATABASE, STOP_DATABASE, BOTH = "database killed", "database stopped", "both at random"
FATES = (*(step for step in STEPS if step not in SQLITE_ONLY), RANDOM, BOTH, KILL_DATABASE, STOP_DATABASE)
MORE_CALLS = 25  # by who is left
BROKEN_S_MAX = 60.0  # a call whose booking is unknown is asked about for 30 s
LEASE_S_MAX = 20.0


@dataclass
class Replicas:
    """The routers that live, and the database that they share."""

    trial: Trial
    server: OwnServer
    lives: list[Life] = field(default_factory=list)
    _rounds: int = 0

    async def round(self, fate: str | None = None) -> None:
        """Make up the number, load, let `fate` have its way (else the next in turn), compare."""
        trial = self.trial
        trial.name = f"p{trial.tally.kills.total() + 1}"
        fate = FATES[self._rounds % len(FATES)] if fate is None else fate
        self._rounds += 1
        killing = killing_at(trial, fate) if fate in STEPS else Killing()
        while len(self.lives) < 2:
            self.lives.append(await trial.begin(killing if self.lives else None))  # the last one is the one to die
            await self.lives[-1].serves()
        load = trial.load(*self.lives)
        running = asyncio.ensure_future(load.run(WORKERS))
        await trial.credits.give(trial.books, trial.name)
        if fate in (KILL_DATABASE, STOP_DATABASE):
            await self._lose_database(fate, load)
        else:
            await self._lose_routers(fate, load, killing)
        if any(life.lives for life in self.lives):
            await load.until(len(load.seen) + MORE_CALLS)
        load.stopped = True
        await asyncio.wait_for(running, BROKEN_S_MAX)
        self.lives = [life for life in self.lives if life.lives] or [await trial.serving()]
        await until(lambda: trial.held() == 0, LEASE_S_MAX)
        await trial.compare(load.seen)

    async def _lose_routers(self, fate: str, load: Load, killing: Killing) -> None:
        victims = self.lives if fate == BOTH else self.lives[-1:]
        enough = CALLS_MAX if killing.step else self.trial.draw.randint(1, CALLS_MAX)
        await until(lambda: not victims[0].lives or len(load.seen) >= enough, BROKEN_S_MAX)
        for victim in victims:
            victim.kill()
            await victim.ended
            died(self.trial, victim, killing)

    async def _lose_database(self, fate: str, load: Load) -> None:
        await load.until(self.trial.draw.randint(1, CALLS_MAX))
        end: Callable[[], None] = self.server.kill if fate == KILL_DATABASE else lambda: self.server.stop("immediate")
        await asyncio.to_thread(end)
        self.trial.tally.kills[fate] += 1
        for life in self.lives:
            await until(lambda life=life: _not_ready(life))
        await asyncio.to_thread(self.server.start)
        for life in self.lives:
            await until(lambda life=life: ready(life.place))


async def _not_ready(life: Life) -> bool:
    return not await ready(life.place)
