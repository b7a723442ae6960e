"""The benchmark counts what was done, reads what it cost, and says when an answer was not what it should be."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cpu
from load import percentile
from report import Report, against, rows
from tollway.ledger import operator
from tollway.simulator import Simulator

BENCH = Path(__file__).parents[1] / "bench"
BUSY_S = 0.5
WAIT_S = 60.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def request(folder: Path, knobs: str, *, stream: bool) -> Path:
    path = folder / "body.json"
    message = {"role": "user", "content": f"simulate:{knobs}"}
    path.write_text(json.dumps({"model": "any", "stream": stream, "messages": [message]}))
    return path


async def load(simulator: Simulator, body: Path, *arguments: str) -> dict[str, Any]:
    url = f"{simulator.base_url}/chat/completions"
    command = [sys.executable, str(BENCH / "load.py"), url, "--body", str(body), "--seconds", "0.2", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    printed, _ = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert process.returncode == 0
    seen: dict[str, Any] = json.loads(printed)
    return seen


async def test_every_request_that_was_sent_is_counted(tmp_path: Path) -> None:
    async with await Simulator.start() as simulator:
        seen = await load(simulator, request(tmp_path, "tokens=4", stream=False), "--concurrency", "8")
        await simulator.idle()
        assert seen["errors"] == 0
        assert seen["ok"] == len(simulator.log) > 8
        assert 0 < seen["latency_p50_ms"] <= seen["latency_p99_ms"]


async def test_a_rate_is_kept(tmp_path: Path) -> None:
    async with await Simulator.start() as simulator:
        body = request(tmp_path, "tokens=4", stream=False)
        seen = await load(simulator, body, "--mode", "open", "--rate", "100")
    assert (seen["errors"], seen["ok"]) == (0, 20)


@pytest.mark.parametrize("knobs", ["tokens=7", "tokens=7,split=11", "tokens=7,split=1"])
async def test_every_event_is_counted_however_it_is_cut(tmp_path: Path, knobs: str) -> None:
    async with await Simulator.start() as simulator:
        body = request(tmp_path, knobs, stream=True)
        # 7 tokens between an opening, a finish and [DONE].
        seen = await load(simulator, body, "--mode", "streams", "--concurrency", "4", "--events", "10")
    assert seen["errors"] == 0, seen["first_error"]
    assert seen["events"] == 10 * seen["ok"] > 0


@pytest.mark.parametrize(
    ("knobs", "stream", "said"),
    [
        ("status=503", False, "HTTP 503"),
        ("usage=missing", False, "no usage"),
        ("fault=cut", False, "closed in the middle"),
        ("fault=cut@3", True, "closed in the middle"),
        ("done=off,tokens=8", True, "without [DONE]"),
        ("tokens=3", True, "6 events, not 10"),
    ],
)
async def test_an_answer_that_is_not_whole_is_an_error(tmp_path: Path, knobs: str, stream: bool, said: str) -> None:
    async with await Simulator.start() as simulator:
        body = request(tmp_path, knobs, stream=stream)
        seen = await load(simulator, body, "--mode", "streams" if stream else "closed", "--events", "10")
    assert seen["ok"] == 0
    assert seen["errors"] > 0
    assert said in seen["first_error"]


def test_cpu_is_that_of_the_children_too() -> None:
    busy = f"import time\nwhile time.process_time() < {BUSY_S}: pass\n"
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); print('done', flush=True); input()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        assert cpu.cpu_seconds(process.pid) >= BUSY_S - 0.05
        assert 0 < cpu.memory_mb(process.pid) <= cpu.peak_memory_mb(process.pid)
        process.communicate("", timeout=WAIT_S)
    assert cpu.cpu_seconds(process.pid) == 0


def test_a_core_carries_at_least_what_we_used_of_it() -> None:
    (core, *_) = sorted(os.sched_getaffinity(0))
    busy = f"import os, time\nos.sched_setaffinity(0, [{core}])\nwhile time.process_time() < {BUSY_S}: pass\n"
    before = cpu.core_seconds(frozenset([core]))
    subprocess.run([sys.executable, "-c", busy], check=True, timeout=WAIT_S)
    assert cpu.core_seconds(frozenset([core])) - before >= BUSY_S / 2


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert (percentile([7.0], 0.01), percentile([], 0.5)) == (7, 0)


def sample(target: str, kind: str, cpu_us: float, latency_ms: float = 1.0) -> dict[str, Any]:
    names = (
        "latency_p50_ms",
        "latency_p99_ms",
        "first_token_p50_ms",
        "first_token_p99_ms",
        "core_busy",
        "others_busy",
        "per_second",
    )
    return {"target": target, "kind": kind, "cpu_us": cpu_us, **dict.fromkeys(names, latency_ms)}


def test_a_ratio_is_between_the_medians_of_one_run() -> None:
    costs = {"nginx": (10.0, 20.0, 1000.0), "tollway": (100.0, 140.0, 9000.0)}
    samples = [sample(target, "batch", cost) for target, each in costs.items() for cost in each]
    report = Report(samples, {})
    assert report.ratio("batch") == 7
    assert report.ratio("streams") is None
    assert report.spread("batch", "cpu_us", ".0f") == ["20 (10-1000)", "140 (100-9000)"]


def test_what_a_gateway_adds_is_measured_against_the_provider_of_the_same_round() -> None:
    kind, later = "latency", {"provider": (1.0, 5.0, 2.0), "tollway": (3.0, 9.0, 3.0)}
    samples = [sample(target, kind, 1, late) for target, each in later.items() for late in each]
    assert Report(samples, {}).beyond_provider("tollway", kind, "latency_p50_ms") == 2


def test_a_target_is_met_or_missed() -> None:
    assert (against(28.0, 28, "x"), against(28.1, 28, "x")) == ("at most 28 x: met", "at most 28 x: MISSED")
    assert against(None, 28, "x") == ""


def test_without_nginx_the_table_has_no_ratios() -> None:
    samples = [sample(name, kind, 50) for name in ("provider", "tollway") for kind in ("batch", "streams", "latency")]
    assert [ratio for _, _, ratio, _ in rows(Report(samples, {})) if ratio is not None] == []


def test_the_measure_of_growth_fills_a_book_and_measures_at_each_size(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "growth.py"), str(tmp_path / "books.db")]
    options = ["--sizes", "0", "1000", "--seconds", "0.2", "--waiting", "4"]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=WAIT_S)
    assert ran.returncode == 0, ran.stderr
    seen = [json.loads(line) for line in ran.stdout.splitlines()]
    assert seen[0]["calls"] == 0 and seen[1]["calls"] >= 1000
    assert all(one["cpu_us"] > 0 and one["per_second"] > 0 for one in seen)
    assert operator.audit(tmp_path / "books.db").posts >= 1000
