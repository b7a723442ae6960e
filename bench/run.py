"""What a request and a streamed event cost through tollway, nginx and other gateways, side by side in one run.

`make bench`, or `make bench ARGS="--quick --only nginx --only tollway"`. Results go to bench/results/latest.json;
`--publish` writes them into docs/performance.md, with their plots."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from peers import PEERS, installed, set_up
from postgres import postgres
from publish import publish, written
from tollway.bench.figures import MEMORY, NGINX, POSTGRES, SQLITE
from tollway.bench.gateways import Gateway, Router, nginx, provider
from tollway.bench.measure import CONCURRENCY, Bench, Result, Size, share_cores
from tollway.bench.place import made_in, raise_file_limit
from tollway.bench.report import headline, remarks, tables, text
from tollway.bench.server import BenchFailed, free_port, run, stopping
from tollway.wire import json

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CACHE = HERE.parent / ".bench"
ROUNDS_MAX = 20
QUICK = Size(rounds=1, streams=100, streams_s=3.0, batch_s=2.0, latency_s=3.0, waiting_s=2.0, turns=2)
OURS = "tollway"
FORWARD = "bare forward"
NAMES = [NGINX, FORWARD, OURS, *(peer.name for peer in PEERS)]


def progress(words: str) -> None:
    """One line that the next one overwrites, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{words}")
        sys.stderr.flush()


@contextlib.contextmanager
def measured(
    options: argparse.Namespace, folder: Path, behind: Gateway, left_out: dict[str, str]
) -> Iterator[list[Gateway]]:
    """What is asked for and can be had here, ready to be started; why not, of the rest."""
    ours, others = share_cores()
    only, cache = options.only, options.cache
    gateways: list[Gateway] = []
    if NGINX in only:
        proxy = nginx(folder, ours, behind)
        if proxy is None:
            left_out[NGINX] = "not installed (apt-get install nginx-light), so there are no ratios"
        else:
            gateways.append(proxy)
    if FORWARD in only:
        gateways.append(forward(folder, ours, behind))
    with contextlib.ExitStack() as stack:
        if OURS in only:
            gateways.append(Router(MEMORY, "memory:", folder, ours, behind))
            gateways.append(Router(SQLITE, "sqlite:///ledger.db", folder, ours, behind))
            try:
                store = stack.enter_context(postgres(installed("postgres.txt", cache, progress), others))
                router = Router(POSTGRES, store.url, folder, ours, behind)
                router.store, router.environment = store, {"PGPASSWORD": store.password}
                gateways.append(router)
            except BenchFailed as error:
                left_out[POSTGRES] = str(error)
        for peer in PEERS:
            if peer.name in only:
                try:
                    gateways.append(set_up(peer, cache, folder, ours, behind, progress))
                except BenchFailed as error:
                    left_out[peer.name] = str(error)
        yield gateways


def forward(folder: Path, cores: frozenset[int], behind: Gateway) -> Gateway:
    """Tollway's own connections with nothing between them (forward.py)."""
    port = free_port()
    asked = [sys.executable, HERE / "forward.py", f"127.0.0.1:{port}", behind.batch_url]
    server = Gateway(FORWARD, asked, cores, folder / "forward.log")
    server.address = ("127.0.0.1", port)
    server.batch_url = server.stream_url = f"http://{server.host}/v1/chat/completions"
    return server


def ledger_alone(gateways: Sequence[Gateway], folder: Path, cores: frozenset[int], seconds: float) -> list[str]:
    """What hold and post cost where nothing else runs in the process, a sentence for each kind of books."""
    said = []
    for router in gateways:
        if isinstance(router, Router):
            books = {MEMORY: "memory:", SQLITE: str(folder / "alone.db")}.get(router.name, router.ledger)
            asked = [sys.executable, HERE / "ledger.py", books, "--waiting", CONCURRENCY, "--seconds", seconds]
            seen = json.decode(run(*asked, more=router.environment, cores=cores))
            said.append(
                f"{router.name}: the ledger alone takes {seen['cpu_us']:.1f} us CPU a call at {CONCURRENCY} waiting, "
                f"who wait {seen['wait_p50_ms']:.1f} ms (p99 {seen['wait_p99_ms']:.1f})."
            )
    return said


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Result:
    ours, others = share_cores()
    with made_in(RESULTS) as folder:
        behind = provider(folder, others)
        bench = Bench(options.size, folder, others, say)
        with stopping(behind):
            behind.start()
            with measured(options, folder, behind, bench.result.not_run) as gateways:
                result = bench.measure(behind, gateways)
                routers = [one for one in gateways if isinstance(one, Router) and one.ledger != "memory:"]
                result.notes += [router.check() for router in routers if router.name not in result.not_run]
                progress("the ledger alone")
                result.notes += ledger_alone(gateways, folder, ours, options.size.batch_s)
    return result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", choices=NAMES, help="one gateway; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one small round: a check that it runs, not a figure")
    parser.add_argument("--streams", type=int, help="streams at once (default 500, with --quick 100)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3, with --quick 1)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where other gateways are installed (default .bench)")
    parser.add_argument("--publish", action="store_true", help="write what was measured into docs/performance.md")
    parser.add_argument("--again", action="store_true", help="measure nothing: show the last run")
    options = parser.parse_args()
    options.only = options.only or NAMES
    size = QUICK if options.quick else Size()
    options.size = Size(
        rounds=options.rounds or size.rounds,
        streams=options.streams or size.streams,
        streams_s=size.streams_s,
        batch_s=size.batch_s,
        latency_s=size.latency_s,
        waiting_s=size.waiting_s,
        turns=size.turns,
    )
    if not 0 < options.size.rounds <= ROUNDS_MAX or not 0 < options.size.streams <= 4_000:
        parser.error(f"--rounds is from 1 to {ROUNDS_MAX}, --streams up to 4000")
    return options


def main() -> int:
    options = parse()
    if not sys.platform.startswith("linux"):
        print("make bench reads CPU time from /proc and pins processes to cores: Linux only", file=sys.stderr)
        return 1
    raise_file_limit()
    RESULTS.mkdir(exist_ok=True)
    latest = RESULTS / "latest.json"
    try:
        if options.again:
            result = json.decode_as(latest.read_bytes(), Result)
        else:
            result = measure(options, progress)
            latest.write_bytes(json.encode(result))
    except (BenchFailed, FileNotFoundError) as error:
        progress("")
        print(f"bench: {error}", file=sys.stderr)
        return 1
    progress("")
    print("\n\n".join([headline(result), *map(text, tables(result)), *remarks(result)]))
    if options.publish:
        print(f"\n{written(publish(RESULTS))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
