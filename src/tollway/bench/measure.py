"""One run: gateways in interleaved rounds in front of one provider, each alone on its core, CPU from the operating
system over the work done. It gives samples; what they come to is `report.py`'s to say."""

import datetime as dt
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tollway.bench.gateways import MODEL, Gateway, Router
from tollway.bench.load import Seen
from tollway.bench.processes import core_seconds, cpu_seconds, memory_mb, peak_memory_mb, processor, reset_peak
from tollway.bench.server import BenchFailed, run, stopping
from tollway.wire import json

SETTLE_S = 0.3  # at most; before CPU is read, so that what a run began is in it
IDLE_S = 1.0  # at most; from ready to idle: what a start left to do is done, and memory stands still
LOAD_S_MAX = 300.0
STREAM_EVENTS = 100  # a role-only opening, tokens, a finish, [DONE]
STREAM_TOKENS = STREAM_EVENTS - 3
GAP_MS = 20
BATCH_TOKENS = 14  # an answer of about 600 bytes
CONCURRENCY = 64
RATE = 50.0
ANSWER_MS = 100  # of a provider that takes its time, so that 64 calls wait for commits and not for the processor
WARM_S = 1.0
TURN_S = 1.0
NOISE_MAX = 0.1  # of the measured core, used by others

Kind = Literal["streams", "batch", "latency", "waiting", "turns"]
OF_THE_PROVIDER: tuple[Kind, ...] = ("streams", "latency")  # what gateways add to is its time


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much is asked in one run; seconds of each measurement."""

    rounds: int = 3
    streams: int = 500
    streams_s: float = 8.0
    batch_s: float = 5.0
    latency_s: float = 10.0
    waiting_s: float = 5.0
    turns: int = 8  # of each router, where they take turns

    @classmethod
    def of(cls, rounds: int, streams: int, seconds: float) -> "Size":
        """All measurements of one length; of streams at least one is whole."""
        return cls(
            rounds=rounds,
            streams=streams,
            streams_s=seconds,
            batch_s=seconds,
            latency_s=seconds,
            waiting_s=seconds,
        )


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one gateway. `cpu_us`: of one request, or of one event that the provider sent."""

    target: str
    kind: Kind
    round: int
    cpu_us: float
    store_cpu_us: float | None  # of its database, where that is a process of its own
    core_busy: float  # 1 is the whole core
    others_busy: float
    per_second: float
    grown_kb: float  # its peak over what it had before, divided among the streams
    peak_mb: float
    seen: Seen

    @property
    def noisy(self) -> bool:
        return self.others_busy > NOISE_MAX


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one gateway."""

    target: str
    round: int
    ready_s: float
    idle_mb: float


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    cores: int
    processor: str
    system: str
    python: str
    date: str


class Result(msgspec.Struct, kw_only=True):
    """Everything that one run saw."""

    size: Size
    machine: Machine
    versions: dict[str, str] = {}
    samples: list[Sample] = []
    starts: list[Start] = []
    not_run: dict[str, str] = {}  # a gateway, or "gateway: kind", and why
    notes: list[str] = []


def this_machine() -> Machine:
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=processor(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )


def share_cores() -> tuple[frozenset[int], frozenset[int]]:
    """The gateway's core, and those of everybody else. BenchFailed where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchFailed("only one core: what is measured would share it with those who ask and those who answer")
    return frozenset(cores[:1]), frozenset(cores[1:])


def body(folder: Path, name: str, knobs: str, *, stream: bool, prompt: str = "Write something about rivers.") -> Path:
    """A request as a file: a short conversation, whose last line tells the simulator what to do."""
    messages = [
        {"role": "system", "content": "You answer in one short paragraph and you never mention the weather."},
        {"role": "user", "content": f"{prompt} simulate:{knobs}"},
    ]
    request = {"model": MODEL, "messages": messages, "max_tokens": 200, "temperature": 0.7}
    path = folder / f"{name}.json"
    path.write_bytes(json.encode({**request, "stream": True} if stream else request))
    return path


class Bench:
    """Loads gateways and reads what that cost them."""

    def __init__(self, size: Size, folder: Path, cores: frozenset[int], say: Callable[[str], None]) -> None:
        self.result = Result(size=size, machine=this_machine())
        self._size = size
        self._cores = cores  # of the load
        self._say = say
        # A stream is never longer than the measurement. They begin spread over the length of one, so that their pauses
        # don't all end together.
        length_s = min(GAP_MS * STREAM_EVENTS / 1000, size.streams_s)
        streamed = f"tokens={STREAM_TOKENS},gap={length_s * 1e6 / STREAM_EVENTS:.0f}us"
        batch = body(folder, "batch", f"tokens={BATCH_TOKENS}", stream=False)
        slow = body(folder, "slow", f"tokens={BATCH_TOKENS},delay={ANSWER_MS}ms", stream=False)
        stream = body(folder, "stream", streamed, stream=True)
        closed = ["--mode", "closed", "--concurrency", CONCURRENCY]
        self._arguments: dict[Kind, list[object]] = {
            "batch": [*closed, "--body", batch, "--seconds", size.batch_s],
            "waiting": [*closed, "--body", slow, "--seconds", size.waiting_s],
            "turns": [*closed, "--body", batch, "--seconds", min(TURN_S, size.batch_s)],
            "latency": ["--mode", "open", "--rate", RATE, "--body", batch, "--seconds", size.latency_s],
            "streams": [
                *("--mode", "streams", "--concurrency", size.streams, "--body", stream, "--events", STREAM_EVENTS),
                *("--seconds", size.streams_s, "--ramp", length_s),
            ],
        }
        self._warm: list[object] = ["--concurrency", 8, "--body", batch, "--seconds", min(WARM_S, size.batch_s)]

    def measure(self, provider: Gateway, gateways: Sequence[Gateway]) -> Result:
        """All rounds; the provider runs already. BenchFailed when one that is required can't be measured."""
        result = self.result
        result.versions.update({gateway.name: gateway.version for gateway in gateways})
        for number in range(self._size.rounds):
            for kind in OF_THE_PROVIDER:
                self._sample(number, kind, provider)
            for gateway in gateways:
                if gateway.name in result.not_run:
                    continue
                try:
                    self._measure_one(number, gateway)
                except BenchFailed as error:
                    if gateway.required:
                        raise
                    result.not_run[gateway.name] = str(error)
            routers = [one for one in gateways if isinstance(one, Router) and one.name not in result.not_run]
            if len(routers) > 1:
                self._in_turns(number, routers)
        return result

    def _in_turns(self, number: int, routers: Sequence[Router]) -> None:
        """Routers that differ in their books alone, all running, and asked a second at a time: what books add is little
        beside what a shared machine gives now and a minute later."""
        with stopping(*routers):
            for router in routers:
                router.start()
                router.answered += load(router, router.batch_url, self._warm, self._cores).ok
            for turn in range(self._size.turns):
                self._say(f"round {number + 1} of {self._size.rounds}: books, turn {turn + 1} of {self._size.turns}")
                for router in routers if turn % 2 else reversed(routers):
                    sample = self._sample(number * self._size.turns + turn, "turns", router)
                    router.answered += sample.seen.ok

    def _measure_one(self, number: int, gateway: Gateway) -> None:
        where = f"round {number + 1} of {self._size.rounds}: {gateway.name}"
        self._say(f"{where} starts")
        with stopping(gateway):
            ready_s = gateway.start()
            time.sleep(min(IDLE_S, self._size.batch_s))
            idle_mb = memory_mb(gateway.pid)
            self.result.starts.append(Start(target=gateway.name, round=number, ready_s=ready_s, idle_mb=idle_mb))
            kinds: list[Kind] = ["streams", "batch", "latency"]
            if isinstance(gateway, Router):
                kinds.append("waiting")
            warm = load(gateway, gateway.batch_url, self._warm, self._cores)
            answered = warm.ok
            for kind in kinds:
                if f"{gateway.name}: {kind}" in self.result.not_run:
                    continue
                self._say(f"{where}, {kind}")
                try:
                    answered += self._sample(number, kind, gateway).seen.ok
                except BenchFailed as error:
                    if gateway.required:
                        raise
                    self.result.not_run[f"{gateway.name}: {kind}"] = str(error)
                    gateway.stop()  # what it still does of that would be counted as the next load's
                    gateway.start()
        gateway.answered += answered

    def _sample(self, number: int, kind: Kind, target: Gateway) -> Sample:
        """One load against one target, and what it cost for each unit of work."""
        url = target.stream_url if kind == "streams" else target.batch_url
        settle_s = min(SETTLE_S, self._size.batch_s)
        cost = measured(target, lambda: load(target, url, self._arguments[kind], self._cores), settle_s)
        seen = cost.seen
        work = seen.ok * (STREAM_EVENTS if kind == "streams" else 1)
        sample = Sample(
            target=target.name,
            kind=kind,
            round=number,
            cpu_us=cost.cpu_s / work * 1e6,
            store_cpu_us=None if cost.store_cpu_s is None else cost.store_cpu_s / work * 1e6,
            core_busy=cost.core_busy,
            others_busy=cost.others_busy,
            per_second=work / seen.seconds,
            grown_kb=cost.grown_mb * 1024 / self._size.streams,
            peak_mb=cost.peak_mb,
            seen=seen,
        )
        self.result.samples.append(sample)
        return sample


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a load took out of one target, whatever it asked for."""

    cpu_s: float
    store_cpu_s: float | None
    core_busy: float
    others_busy: float
    grown_mb: float  # its peak during the load over what it had before
    peak_mb: float  # the most it had since its start or the last load
    seen: Seen


def measured(target: Gateway, ask: Callable[[], Seen], settle_s: float = SETTLE_S) -> Cost:
    """The CPU and memory of a target, and of its database, while it is asked."""
    store = target.store
    before_mb, peak_before = memory_mb(target.pid), peak_memory_mb(target.pid)
    reset_peak(target.pid)
    time.sleep(settle_s)
    before, started, shared = cpu_seconds(target.pid), time.perf_counter(), core_seconds(target.cores)
    store_before = cpu_seconds(store.pid) if store else 0.0
    seen = ask()
    elapsed = time.perf_counter() - started
    time.sleep(settle_s)
    used, shared = cpu_seconds(target.pid) - before, core_seconds(target.cores) - shared
    peak_mb = peak_memory_mb(target.pid)
    return Cost(
        cpu_s=used,
        store_cpu_s=cpu_seconds(store.pid) - store_before if store else None,
        core_busy=used / elapsed,
        others_busy=max(0.0, shared - used) / elapsed,
        grown_mb=max(0.0, peak_mb - before_mb),
        peak_mb=max(peak_before, peak_mb),
        seen=seen,
    )


def load(target: Gateway, url: str, arguments: Sequence[object], cores: frozenset[int]) -> Seen:
    """What the load generator saw, run on `cores`. BenchFailed when an answer was not as it should be."""
    asked = [sys.executable, "-m", "tollway.bench.load", url, *arguments, "--spare", target.spare_events]
    for header in target.headers:
        asked += ["--header", header]
    seen = json.decode_as(run(*asked, cores=cores, timeout_s=LOAD_S_MAX).encode(), Seen)
    if seen.errors or not seen.ok:
        raise BenchFailed(f"{seen.errors} bad answers and {seen.ok} good ones: {seen.first_error}")
    return seen
