"""`tollway bench`: what a request and a streamed event cost on this machine, through this installation and through
nginx in front of the same simulated provider."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tollway.bench.figures import MEMORY, NGINX, POSTGRES, SQLITE
from tollway.bench.gateways import Gateway, Router, nginx, provider
from tollway.bench.measure import Bench, Result, Size, share_cores
from tollway.bench.place import made_in, raise_file_limit
from tollway.bench.report import headline, remarks, tables
from tollway.bench.server import BenchFailed, stopping
from tollway.cli.common import CommandFailed, JsonFlag, command, out, print_json, print_table
from tollway.cli.progress import telling

STREAMS_MAX = 2_000
SECONDS_MAX = 60.0


@command
def bench(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds; medians over them are shown.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, max=SECONDS_MAX, help="Length of each measurement.")] = 5.0,
    streams: Annotated[int, typer.Option(min=1, max=STREAMS_MAX, help="Streams at once.")] = 500,
    ledger: Annotated[
        list[str] | None,
        typer.Option("--ledger", help="Where books are: memory:, sqlite:, an empty postgresql://...; may be repeated."),
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
      tollway bench --ledger memory: --ledger postgresql://tollway@127.0.0.1/bench --json
    """
    if not sys.platform.startswith("linux"):
        raise CommandFailed("bench reads CPU time from /proc and pins processes to cores, so it runs on Linux only")
    raise_file_limit()
    try:
        with made_in(folder) as place:
            result = _measure(Size.of(rounds, streams, seconds), place, ledger or ["memory:", "sqlite:"])
    except BenchFailed as error:
        raise CommandFailed(f"bench: {error}") from None
    if as_json:
        print_json(result)
        return
    out.print(headline(result))
    for table in tables(result):
        out.print(f"\n{table.title}\n", style="bold")
        print_table(table.columns, table.rows, right=table.columns[1:], whole=table.columns[:1])
    for remark in remarks(result):
        out.print(f"\n{remark}")


def _measure(size: Size, folder: Path, ledgers: Sequence[str]) -> Result:
    ours, others = share_cores()
    behind = provider(folder, others)
    with stopping(behind), telling("starting") as say:
        behind.start()
        routers = [_router(ledger, folder, ours, behind) for ledger in dict.fromkeys(ledgers)]
        proxy = nginx(folder, ours, behind)
        gateways: list[Gateway] = [*([] if proxy is None else [proxy]), *routers]
        bench = Bench(size, folder, others, say)
        if proxy is None:
            bench.result.not_run[NGINX] = "not installed (apt-get install nginx-light), so there are no ratios to it"
        result = bench.measure(behind, gateways)
        result.notes += [router.check() for router in routers if router.name != MEMORY]
        return result


def _router(ledger: str, folder: Path, cores: frozenset[int], behind: Gateway) -> Router:
    match ledger.partition(":")[0]:
        case "memory":
            return Router(MEMORY, "memory:", folder, cores, behind)
        case "sqlite":
            return Router(SQLITE, "sqlite:///ledger.db", folder, cores, behind)
        case "postgresql" | "postgres":
            router = Router(POSTGRES, ledger, folder, cores, behind)
            router.check_empty()
            return router
    raise CommandFailed(f"--ledger {ledger}: expected memory:, sqlite: or postgresql://user@host/database")
