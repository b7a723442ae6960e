"""`make chaos`: kills routers until it has had enough, and says what it found. Exits 1 when anything differs."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from chaos.history import Tally, history

KILLS = 220
KILLS_ON_ONE_BOOKS = 44  # then new ones: each kill is compared with all that is in the books


async def run(kills: int, seconds: float, seed: int) -> int:
    """How many differences were found."""
    print(f"seed {seed}: {kills} kills" + (f", {seconds:g} s at the most" if seconds else ""), flush=True)
    tally, draw = Tally(), random.Random(seed)
    end_s = time.monotonic() + (seconds or float("inf"))
    while tally.kills.total() < kills and time.monotonic() < end_s:
        with tempfile.TemporaryDirectory(prefix="tollway-chaos-") as folder:
            async with history(Path(folder), draw.randrange(1 << 30), tally) as lives:
                for _ in range(min(KILLS_ON_ONE_BOOKS, kills - tally.kills.total())):
                    await lives.round()
                    if time.monotonic() > end_s:
                        break
        print(f"  {tally.kills.total()} kills, {tally.found.calls.total()} calls", flush=True)
    for line in tally.lines():
        print(line)
    return len(tally.found.differences)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so many, whatever is left; 0: never")
    parser.add_argument("--seed", type=int, default=None, help="draws the same calls, steps and moments again")
    given = parser.parse_args()
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    sys.exit(1 if asyncio.run(run(given.kills, given.seconds, seed)) else 0)


if __name__ == "__main__":
    main()
