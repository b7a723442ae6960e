"""One router's lives on the same books: start, load, kill, start again, and what every call came to is compared.

A kill is at a named step (the process ends itself) or at random (after so many calls).
"""

import asyncio
from collections.abc import Sequence

from chaos.calls import KINDS, Seen
from chaos.lives import KILLED, TORN, Killing, Life
from chaos.load import Load
from chaos.steps import STEPS
from chaos.trial import Trial
from helpers.until import until

WORKERS = 12
CALLS_MAX = 150  # in a life whose step doesn't come
NTH_MAX = {"mid_stream": 120, "before_commit": 25, "inside_commit": 25, "torn_commit": 25, "after_commit": 25}
NTH_MAX_ELSE = 40
RANDOM = "at random"
ROUND_S_MAX = 60.0


def draw_killing(trial: Trial, steps: tuple[str, ...]) -> Killing:
    """Each step in turn, and then none."""
    step = ("", *steps)[trial.tally.kills.total() % (len(steps) + 1)]
    return killing_at(trial, step)


def killing_at(trial: Trial, step: str) -> Killing:
    nth = trial.draw.randint(1, NTH_MAX.get(step, NTH_MAX_ELSE))
    return Killing(step, nth, trial.draw.randrange(1 << 30)) if step else Killing()


def died(trial: Trial, life: Life, killing: Killing) -> None:
    """Take note of a life's end."""
    code = life.ended.result()
    if code not in (KILLED, TORN):
        trial.differ(f"the router ended by itself ({code}): {life.said()[-2000:]}")
    # A step that didn't come in so many calls: it was killed at random instead.
    trial.tally.kills[RANDOM if life.killed else killing.step] += 1


async def one_round(
    trial: Trial, step: str | None = None, *, kinds: Sequence[str] = tuple(KINDS), spoil: str = ""
) -> None:
    """One life, from a start to a kill (at `step`, else at the next in turn), and a start after it on which everything
    is compared. `spoil` is SQL to be run in between, to see that it is found."""
    trial.name = f"r{trial.tally.kills.total() + 1}"
    killing = draw_killing(trial, STEPS) if step is None else killing_at(trial, step)
    life = await trial.begin(killing)
    seen: list[Seen] = []
    if await life.serves():
        calls_max = CALLS_MAX if killing.step else trial.draw.randint(1, CALLS_MAX)
        seen = await _loaded(trial, life, trial.load(life, kinds=kinds), calls_max)
    await life.ended
    died(trial, life, killing)
    trial.audit_torn()
    if spoil:
        trial.books.spoil(spoil)
    life = await trial.serving()
    if life.lives:
        await trial.credits.give(trial.books, f"{trial.name}, at rest")
        await trial.compare(seen)
        await trial.stop(life)


async def _loaded(trial: Trial, life: Life, load: Load, calls_max: int) -> list[Seen]:
    async with asyncio.timeout(ROUND_S_MAX):
        running = asyncio.ensure_future(load.run(WORKERS))
        await trial.credits.give(trial.books, trial.name)
        await until(lambda: not life.lives or len(load.seen) >= calls_max, ROUND_S_MAX)
        life.kill()
        await running
    return load.seen
