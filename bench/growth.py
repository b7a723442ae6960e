"""How cost grows: with streams, with the size of bodies, with providers, with accounts, with what is in the books.

One curve at a time, on the router with its books on SQLite (or on the ledger alone, for what only the ledger holds).
`python bench/growth.py`, `--quick` for a check that it runs, `--only books` for one curve. Results go to
bench/results/growth.json, each curve replacing its last; `run.py --publish` draws them."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from publish import Curve, Point
from run import RESULTS, progress
from tollway.bench.figures import SQLITE
from tollway.bench.gateways import MODEL, PROVIDER_CONFIG, Gateway, Router, nginx, provider
from tollway.bench.load import Seen
from tollway.bench.measure import IDLE_S, Cost, body, load, measured, share_cores, this_machine
from tollway.bench.place import made_in, raise_file_limit
from tollway.bench.processes import memory_mb
from tollway.bench.server import BenchFailed, run, stopping
from tollway.wire import json

HERE = Path(__file__).parent
BOOKS_S_MAX = 3600.0
EVENTS_PER_S_MAX = 10_000  # of all streams: beyond it the gap grows, so that what is measured is the number of streams
GAP_S = 0.02
EVENTS = 100
WARM_S = 1.0
IN_FLIGHT_BYTES_MAX = 40_000_000  # of request bodies at once

STREAMS = (1, 10, 100, 500, 1_000, 2_000)
BODIES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
PROVIDERS = (1, 10, 100, 1_000)
ACCOUNTS = (1, 1_000, 100_000, 1_000_000)
CALLS = (0, 10_000, 100_000, 1_000_000, 3_333_333)  # a call is three rows: a hold, a post, its record


class Growth:
    def __init__(self, folder: Path, seconds: float, share: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._share = share  # of the largest size that is tried
        self._ours, self._others = share_cores()
        self.others_busy = 0.0

    def upto(self, sizes: Sequence[int]) -> list[int]:
        return [size for size in sizes if size <= max(sizes[1], sizes[-1] * self._share)]

    def streams(self) -> list[Point]:
        """CPU of an event, and memory of a stream, with so many at once."""
        points = []
        behind = provider(self._folder, self._others)
        with stopping(behind):
            behind.start()
            router = self._router(behind)
            for count in self.upto(STREAMS):
                gap_s = max(GAP_S, count / EVENTS_PER_S_MAX)
                tokens = f"tokens={EVENTS - 3},gap={gap_s * 1e6:.0f}us"
                asked: list[object] = ["--mode", "streams", "--concurrency", count, "--events", EVENTS]
                asked += ["--body", body(self._folder, "stream", tokens, stream=True)]
                asked += ["--ramp", gap_s * EVENTS, "--seconds", max(self._seconds, gap_s * EVENTS)]
                with stopping(router):  # anew for each, since memory that fewer streams took is not given back
                    router.start()
                    self._warm(router)
                    cost = self._measured(router, asked)
                values = {
                    "CPU us an event": cost.cpu_s / (cost.seen.ok * EVENTS) * 1e6,
                    "KB a stream": cost.grown_mb * 1024 / count,
                }
                points.append(Point(count, values))
        return points

    def bodies(self) -> list[Point]:
        """CPU of a request whose body has so many bytes, beside nginx."""
        points = []
        behind = provider(self._folder, self._others)
        with stopping(behind):
            behind.start()
            router, proxy = self._router(behind), nginx(self._folder, self._ours, behind)
            targets: list[Gateway] = [router, *([] if proxy is None else [proxy])]
            with stopping(*targets):
                for target in targets:
                    target.start()
                self._warm(router)
                for size in self.upto(BODIES):
                    at_once = max(1, min(16, IN_FLIGHT_BYTES_MAX // size))
                    prompt = "ten bytes " * (size // 10)
                    asked: list[object] = ["--concurrency", at_once, "--seconds", self._seconds]
                    asked += ["--body", body(self._folder, "large", "tokens=14", stream=False, prompt=prompt)]
                    values = {}
                    for target in targets:
                        cost = self._measured(target, asked)
                        values[target.name] = cost.cpu_s / cost.seen.ok * 1e6
                    points.append(Point(size, values))
        return points

    def providers(self) -> list[Point]:
        """CPU of a request for a model that so many providers serve; start and idle memory."""
        points = []
        behind = provider(self._folder, self._others)
        with stopping(behind):
            behind.start()
            router = self._router(behind)
            for count in self.upto(PROVIDERS):
                rows = [PROVIDER_CONFIG.format(id=f"p{n}", address=behind.host, model=MODEL) for n in range(count)]
                router.configure("".join(rows))
                with stopping(router):
                    ready_s = router.start()
                    time.sleep(IDLE_S)
                    idle_mb = memory_mb(router.pid)
                    self._warm(router)
                    asked = ["--concurrency", 16, "--seconds", self._seconds, "--body", self._small()]
                    cost = self._measured(router, asked)
                values = {"CPU us a request": cost.cpu_s / cost.seen.ok * 1e6, "ready s": ready_s, "idle MB": idle_mb}
                points.append(Point(count, values))
        return points

    def accounts(self) -> list[Point]:
        """CPU of the ledger alone, with so many accounts in its books."""
        sizes = self.upto(ACCOUNTS)
        return [Point(int(seen["accounts"]), _books(seen)) for seen in self._run_books("--accounts", sizes)]

    def books(self) -> list[Point]:
        """CPU of the ledger alone, with so many calls in its books."""
        sizes = self.upto(CALLS)
        seen = self._run_books("--sizes", sizes)
        return [Point(size, _books(each)) for size, each in zip(sizes, seen, strict=True)]

    def _run_books(self, option: str, sizes: Sequence[int]) -> list[dict[str, float]]:
        asked = [sys.executable, HERE / "books.py", self._folder / f"books{option}.db", "--seconds", self._seconds]
        printed = run(*asked, option, *sizes, cores=self._ours, timeout_s=BOOKS_S_MAX)
        return [json.decode(line) for line in printed.splitlines()]

    def _router(self, behind: Gateway) -> Router:
        return Router(SQLITE, "sqlite:///ledger.db", self._folder, self._ours, behind)

    def _small(self) -> Path:
        return body(self._folder, "small", "tokens=14", stream=False)

    def _asking(self, target: Gateway, arguments: Sequence[object]) -> Callable[[], Seen]:
        return lambda: load(target, target.batch_url, arguments, self._others)

    def _measured(self, target: Gateway, asked: Sequence[object]) -> Cost:
        cost = measured(target, self._asking(target, asked))
        self.others_busy = max(self.others_busy, cost.others_busy)
        return cost

    def _warm(self, target: Gateway) -> None:
        self._asking(target, ["--concurrency", 8, "--seconds", min(WARM_S, self._seconds), "--body", self._small()])()


def _books(seen: dict[str, float]) -> dict[str, float]:
    return {"CPU us a call": seen["cpu_us"], "file MB": seen["bytes"] / 1e6}


CURVES: dict[str, Callable[[Growth], list[Point]]] = {
    "streams": Growth.streams,
    "bodies": Growth.bodies,
    "providers": Growth.providers,
    "accounts": Growth.accounts,
    "books": Growth.books,
}


def known(path: Path) -> dict[str, Curve]:
    """The curves that were measured before."""
    return json.decode_as(path.read_bytes(), dict[str, Curve]) if path.exists() else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", choices=list(CURVES), help="one curve; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes: a check that it runs, not a figure")
    options = parser.parse_args()
    raise_file_limit()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "growth.json"
    seconds, share = (0.5, 0.01) if options.quick else (4.0, 1.0)
    try:
        for name in options.only or CURVES:
            progress(f"growth with {name}")
            with made_in(RESULTS) as folder:
                growth = Growth(folder, seconds, share)
                curve = Curve(this_machine(), CURVES[name](growth), growth.others_busy)
            progress("")
            for point in curve.points:
                print(
                    f"{name:<10}{point.at:>12,}  "
                    + "  ".join(f"{key} {value:,.2f}" for key, value in point.values.items())
                )
            path.write_bytes(json.encode({**known(path), name: curve}))
    except BenchFailed as error:
        print(f"growth: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
