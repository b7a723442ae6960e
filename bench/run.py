"""What a request and a streamed event cost through tollway, beside nginx in front of the same simulated provider.

One run: rounds interleaved, the gateway alone on one core, load and provider on the others, CPU from the operating
system over the work done, medians and spread. `make bench`, or `make bench ARGS="--quick --only tollway"`."""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from cpu import core_seconds, cpu_seconds, memory_mb, peak_memory_mb, reset_peak
from gateways import FILES_MAX, MODEL, BenchFailed, Server, Tollway, environment, nginx, provider, stopping
from report import print_report

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ROUNDS_MAX = 20
SETTLE_S = 0.3  # before CPU is read, so that what a run began is in it
WORKER_S_MAX = 300.0
STREAM_EVENTS = 100  # a role-only opening, tokens, a finish, [DONE]
STREAM_TOKENS = STREAM_EVENTS - 3
GAP_MS = 20
BATCH_TOKENS = 14  # an answer of about 600 bytes
CONCURRENCY = 64
RATE = 50.0


class Size:
    """How much is asked in one measurement. Seconds, but for `streams`."""

    def __init__(self, *, quick: bool, streams: int | None) -> None:
        self.streams = streams or (100 if quick else 500)
        self.streams_s = 3.0 if quick else 8.0
        self.batch_s = 2.0 if quick else 5.0
        self.latency_s = 3.0 if quick else 10.0
        self.ledger_s = 1.0 if quick else 3.0
        self.starts = 1 if quick else 3


def body(folder: Path, name: str, knobs: str, *, stream: bool) -> Path:
    """A request as a file: a short conversation, whose last line tells the simulator what to do."""
    messages = [
        {"role": "system", "content": "You answer in one short paragraph and you never mention the weather."},
        {"role": "user", "content": f"Write something about rivers. simulate:{knobs}"},
    ]
    request = {"model": MODEL, "messages": messages, "max_tokens": 200, "temperature": 0.7}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**request, "stream": True} if stream else request))
    return path


class Bench:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.size = Size(quick=options.quick, streams=options.streams)
        self.rounds: int = options.rounds
        self.samples: list[dict[str, Any]] = []
        self.facts: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []
        self.batch_body = body(folder, "batch", f"tokens={BATCH_TOKENS}", stream=False)
        self.stream_body = body(folder, "stream", f"tokens={STREAM_TOKENS},gap={GAP_MS}ms", stream=True)
        cores = sorted(os.sched_getaffinity(0))
        self.gateway_cores, self.other_cores = frozenset(cores[:1]), frozenset(cores[1:])
        if not self.other_cores:
            self.notes.append("only one core: gateway, load and provider share it, so nothing here is comparable")
            self.gateway_cores = frozenset()
        self.provider = provider(folder, self.other_cores)
        self.gateways: list[Server] = []
        self.servers = [self.provider]
        self.folder = folder
        self.only: list[str] = options.only

    def start(self) -> None:
        self.provider.start()
        if "nginx" in self.only:
            proxy = nginx(self.folder, self.gateway_cores, self.provider)
            if proxy is None:
                self.notes.append("nginx is not installed (apt-get install nginx-light): no ratios")
            else:
                self.gateways.append(proxy)
        if "tollway" in self.only:
            self.gateways.append(Tollway(self.folder, self.gateway_cores, self.provider))
        self.servers.extend(self.gateways)
        for gateway in self.gateways:
            ready = []
            for _ in range(self.size.starts):
                gateway.stop()
                ready.append(gateway.start())
            time.sleep(1)
            self.facts[gateway.name] = {"ready_s": median(ready), "idle_mb": memory_mb(gateway.pid)}

    def measure(self) -> None:
        targets = [self.provider, *self.gateways]
        for number in range(self.rounds):
            for kind in ("streams", "batch", "latency"):
                for target in targets:
                    progress(f"round {number + 1} of {self.rounds}: {kind}, {target.name}")
                    self.samples.append({"round": number, "kind": kind, **self.sample(kind, target)})
            if "tollway" in self.only:
                progress(f"round {number + 1} of {self.rounds}: the ledger alone")
                self.samples.append({"round": number, **self.ledger_share()})
        for gateway in self.gateways:
            peaks = [sample.get("peak_mb", 0.0) for sample in self.samples if sample["target"] == gateway.name]
            self.facts[gateway.name]["peak_mb"] = max(peaks)
            if isinstance(gateway, Tollway):
                loads = [sample for sample in self.samples if sample["target"] == gateway.name and "errors" in sample]
                self.notes.append(gateway.audit(sum(sample["ok"] for sample in loads)))

    def sample(self, kind: str, target: Server) -> dict[str, Any]:
        """One load against one target: its CPU over the work done, and what the load generator saw."""
        first_streams = kind == "streams" and target.name in self.facts and "stream_kb" not in self.facts[target.name]
        before_mb = memory_mb(target.pid)
        peak_before = peak_memory_mb(target.pid)
        if first_streams:
            reset_peak(target.pid)
        time.sleep(SETTLE_S)
        before, started, shared = cpu_seconds(target.pid), time.perf_counter(), core_seconds(target.cores)
        seen = self.load(kind, target)
        elapsed = time.perf_counter() - started
        time.sleep(SETTLE_S)
        used = cpu_seconds(target.pid) - before
        shared = core_seconds(target.cores) - shared
        if seen["errors"] or not seen["ok"]:
            raise BenchFailed(f"{seen['errors']} bad answers from {target.name} ({kind}): {seen['first_error']}")
        if first_streams:
            grown = max(0.0, peak_memory_mb(target.pid) - before_mb)
            self.facts[target.name]["stream_kb"] = grown * 1024 / self.size.streams
        work = seen["events"] if kind == "streams" else seen["ok"]
        return {
            "target": target.name,
            "cpu_us": used / work * 1e6,
            "core_busy": used / elapsed,
            "others_busy": max(0.0, shared - used) / elapsed,
            "per_second": work / seen["seconds"],
            "peak_mb": max(peak_before, peak_memory_mb(target.pid)),
            **seen,
        }

    def load(self, kind: str, target: Server) -> dict[str, Any]:
        size, stream = self.size, kind == "streams"
        arguments: dict[str, list[str | float]] = {
            "batch": ["--mode", "closed", "--concurrency", CONCURRENCY, "--seconds", size.batch_s],
            "latency": ["--mode", "open", "--rate", RATE, "--seconds", size.latency_s],
            "streams": ["--mode", "streams", "--concurrency", size.streams, "--seconds", size.streams_s],
        }
        command = [target.batch_url, "--body", self.batch_body, *arguments[kind]]
        if stream:
            # Spread over the length of one stream, so that their pauses do not all end together.
            ramp = GAP_MS * STREAM_EVENTS / 1000
            command = [target.stream_url, "--body", self.stream_body, *arguments[kind]]
            command += ["--ramp", ramp, "--events", STREAM_EVENTS]
        for header in target.headers:
            command += ["--header", header]
        return worker("load.py", command, self.other_cores)

    def ledger_share(self) -> dict[str, Any]:
        """Hold and post alone, on a new database beside the others'."""
        database = Path(tempfile.mkdtemp(dir=self.folder)) / "ledger.db"
        seen = worker(
            "ledger.py", [database, "--waiting", CONCURRENCY, "--seconds", self.size.ledger_s], self.gateway_cores
        )
        return {"kind": "ledger", "target": "tollway", **seen}


def worker(script: str, arguments: Sequence[object], cores: frozenset[int]) -> dict[str, Any]:
    """What one of our scripts printed, run to its end on `cores`."""
    done = subprocess.run(
        [sys.executable, HERE / script, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WORKER_S_MAX,
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
    )
    if done.returncode:
        raise BenchFailed(f"{script} failed: {done.stderr[-1000:]}")
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def progress(text: str) -> None:
    """One line that the next one overwrites, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if most == resource.RLIM_INFINITY else min(FILES_MAX, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", choices=["nginx", "tollway"], help="one gateway; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one small round: a check that it runs, not a figure")
    parser.add_argument("--streams", type=int, help="streams at once (default 500, with --quick 100)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3, with --quick 1)")
    options = parser.parse_args()
    options.only = options.only or ["nginx", "tollway"]
    options.rounds = options.rounds or (1 if options.quick else 3)
    if not 0 < options.rounds <= ROUNDS_MAX:
        parser.error(f"--rounds is from 1 to {ROUNDS_MAX}")
    return options


def main() -> int:
    options = parse()
    if not sys.platform.startswith("linux"):
        print(
            "make bench reads CPU time from /proc and pins processes to cores, so it runs on Linux only",
            file=sys.stderr,
        )
        return 1
    raise_file_limit()
    RESULTS.mkdir(exist_ok=True)
    # Not in the system's temporary folder, which may be memory: the ledger has to wait for a real disk.
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=RESULTS))
    try:
        bench = Bench(options, folder)
        with stopping(bench.servers):
            bench.start()
            bench.measure()
    except BenchFailed as error:
        progress("")
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    progress("")
    versions = {gateway.name: gateway.version for gateway in bench.gateways}
    result = {"quick": options.quick, "rounds": options.rounds, "facts": bench.facts, "notes": bench.notes}
    (RESULTS / "latest.json").write_text(
        json.dumps({**result, "samples": bench.samples, "versions": versions}, indent=1)
    )
    print_report(bench.samples, bench.facts, bench.notes, versions, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
