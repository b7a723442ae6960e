"""`tollway bench`: what a request and a streamed event cost on this machine, through this installation and through
nginx in front of the same simulated provider."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tollway.bench.figures import MEMORY, POSTGRES, SQLITE
from tollway.bench.gateways import Gateway, Router, nginx, provider
from tollway.bench.measure import Bench, Result, Size, share_cores
from tollway.bench.place import made_in, raise_file_limit
from tollway.bench.report import headline, remarks, tables, text
from tollway.bench.server import BenchFailed, stopping
from tollway.cli.common import CommandFailed, JsonFlag, command, print_json, put
from tollway.cli.progress import telling

STREAMS_MAX = 2_000
SECONDS_MAX = 60.0


@command
def bench(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds; medians over them are shown.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, max=SECONDS_MAX, help="Length of each measurement.")] = 5.0,
    streams: Annotated[int, typer.Option(min=1, max=STREAMS_MAX, help="Streams at once.")] = 500,
    ledger: Annotated[
        str | None, typer.Option("--ledger", help="An empty PostgreSQL database to measure too: postgresql://...")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where books are made, and removed again; on the disk to measure.")
    ] = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Measure what a call costs on this machine, beside nginx if it is installed.

    \b
    Example:
      tollway bench
      tollway bench --rounds 1 --seconds 2 --streams 100
      tollway bench --ledger postgresql://tollway@127.0.0.1/bench --json
    """
    if not sys.platform.startswith("linux"):
        raise CommandFailed("bench reads CPU time from /proc and pins processes to cores, so it runs on Linux only")
    raise_file_limit()
    try:
        with made_in(folder) as place:
            result = _measure(Size.of(rounds, streams, seconds), place, ledger)
    except BenchFailed as error:
        raise CommandFailed(f"bench: {error}") from None
    if as_json:
        print_json(result)
        return
    put("\n\n".join([headline(result), *map(text, tables(result)), *remarks(result)]) + "\n")


def _measure(size: Size, folder: Path, ledger: str | None) -> Result:
    ours, others = share_cores()
    behind = provider(folder, others)
    with stopping(behind), telling("starting") as say:
        behind.start()
        routers = [
            Router(MEMORY, "memory:", folder, ours, behind),
            Router(SQLITE, "sqlite:///ledger.db", folder, ours, behind),
        ]
        if ledger is not None:
            routers.append(Router(POSTGRES, ledger, folder, ours, behind))
            routers[-1].check_empty()
        proxy = nginx(folder, ours, behind)
        gateways: list[Gateway] = [*([] if proxy is None else [proxy]), *routers]
        bench = Bench(size, folder, others, say)
        if proxy is None:
            bench.result.notes.append(
                "nginx is not installed (apt-get install nginx-light), so there are no ratios to it."
            )
        result = bench.measure(behind, gateways)
        result.notes += [router.check() for router in routers if router.ledger != "memory:"]
        return result
