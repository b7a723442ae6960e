"""The benchmark counts what was done, reads what it cost, and says when an answer was not what it should be."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

import plot
import publish
from peers import LOCKS, PEERS, installed
from peers import version as peer_version
from tollway.bench import figures, processes
from tollway.bench.figures import Figures
from tollway.bench.load import percentile
from tollway.bench.measure import Kind, Machine, Result, Sample, Seen, Size, Start
from tollway.bench.report import remarks, tables
from tollway.bench.server import BenchFailed
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
    command = [sys.executable, "-m", "tollway.bench.load", url, "--body", str(body), "--seconds", "0.2", *arguments]
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
        assert processes.cpu_seconds(process.pid) >= BUSY_S - 0.05
        assert 0 < processes.memory_mb(process.pid) <= processes.peak_memory_mb(process.pid)
        process.communicate("", timeout=WAIT_S)
    assert processes.cpu_seconds(process.pid) == 0


def test_the_way_to_providers_is_measured_alone() -> None:
    command = [sys.executable, str(BENCH / "transport.py"), "--quick", "--json"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT_S)
    figures = json.loads(ran.stdout)
    assert figures.keys() == {"request", "event", "request, bare"}
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in figures.values())


def test_a_core_carries_at_least_what_we_used_of_it() -> None:
    (core, *_) = sorted(os.sched_getaffinity(0))
    busy = f"import os, time\nos.sched_setaffinity(0, [{core}])\nwhile time.process_time() < {BUSY_S}: pass\n"
    before = processes.core_seconds(frozenset([core]))
    subprocess.run([sys.executable, "-c", busy], check=True, timeout=WAIT_S)
    assert processes.core_seconds(frozenset([core])) - before >= BUSY_S / 2


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert (percentile([7.0], 0.01), percentile([], 0.5)) == (7, 0)


SEEN = Seen(
    ok=10,
    errors=0,
    first_error="",
    events=0,
    seconds=1,
    latency_p50_ms=1,
    latency_p99_ms=1,
    first_token_p50_ms=1,
    first_token_p99_ms=1,
    load_cpu_seconds=0.1,
)
MACHINE = Machine(cores=2, processor="any", system="Linux", python="3.11", date="2026-11-22")


def sample(target: str, kind: Kind, cpu_us: float = 1, *, number: int = 0, ms: float = 1, others: float = 0) -> Sample:
    times = dict.fromkeys(("latency_p50_ms", "latency_p99_ms", "first_token_p50_ms", "first_token_p99_ms"), ms)
    return Sample(
        target=target,
        kind=kind,
        round=number,
        cpu_us=cpu_us,
        store_cpu_us=None,
        core_busy=1,
        others_busy=others,
        per_second=1,
        grown_kb=1,
        peak_mb=1,
        seen=msgspec.structs.replace(SEEN, **times),
    )


def result(*samples: Sample) -> Result:
    versions = {each.target: "1" for each in samples if each.target != figures.PROVIDER}
    starts = [Start(target=name, round=0, ready_s=0.5, idle_mb=60) for name in versions]
    return Result(size=Size(), machine=MACHINE, versions=versions, samples=list(samples), starts=starts)


def verdict(found: Result, what: str) -> tuple[str, bool] | None:
    met = {each.what: (each.measured, each.met) for each in Figures(found).verdicts()}
    return met.get(what)


def test_a_ratio_is_between_the_medians_of_one_run() -> None:
    costs = {figures.NGINX: (10.0, 20.0, 1000.0), figures.SQLITE: (100.0, 140.0, 9000.0)}
    samples = [sample(name, "batch", cost, number=n) for name, each in costs.items() for n, cost in enumerate(each)]
    seen = Figures(result(*samples))
    assert seen.ratio(figures.SQLITE, figures.NGINX, "batch") == 7
    assert seen.ratio(figures.SQLITE, figures.NGINX, "streams") is None
    assert f"{seen.cpu_us(figures.SQLITE, 'batch'):.0f}" == "140 (100-9000)"


def test_what_a_gateway_adds_is_measured_against_the_provider_of_the_same_round() -> None:
    later = {figures.PROVIDER: (1.0, 5.0, 2.0), figures.SQLITE: (3.0, 9.0, 3.0)}
    samples = [sample(name, "latency", ms=ms, number=n) for name, each in later.items() for n, ms in enumerate(each)]
    added = Figures(result(*samples)).beyond(figures.SQLITE, figures.PROVIDER, "latency", figures.p50)
    assert added is not None
    assert added.middle == 2


@pytest.mark.parametrize(("ours", "met"), [(70.0, True), (72.0, False)])
def test_a_target_is_met_or_missed(ours: float, met: bool) -> None:
    costs = {figures.NGINX: 10.0, figures.LITELLM: 5680.0, figures.SQLITE: ours}
    seen = result(*(sample(name, "batch", cost) for name, cost in costs.items()))
    assert verdict(seen, "CPU a batch request, to nginx's") == (f"{ours / 10:.1f} x", met)
    assert verdict(seen, "CPU a batch request, to LiteLLM's") == (f"1/{5680 / ours:.0f}", met)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    seen = result(sample(figures.SQLITE, "batch"))
    assert verdict(seen, "CPU a batch request, to nginx's") is None
    assert verdict(seen, "ready") == ("0.50 s", True)


def test_what_books_on_disk_cost_is_what_they_add_to_those_in_memory() -> None:
    waits = {figures.MEMORY: 3.0, figures.SQLITE: 14.0}
    samples = [sample(name, "batch", 100 * ms) for name, ms in waits.items()]
    turns = {figures.MEMORY: (300, 500, 300), figures.SQLITE: (320, 900, 330)}
    samples += [sample(name, "turns", us, number=n) for name, each in turns.items() for n, us in enumerate(each)]
    samples += [sample(name, kind, ms=ms) for name, ms in waits.items() for kind in figures.COMMITS_WAITED]
    seen = result(*samples)
    assert verdict(seen, "CPU that books on SQLite add to it") == ("30.0 us", False)
    assert verdict(seen, "commits waited for, p99, 64 in flight") == ("11.0 ms", False)
    (books,) = [table for table in tables(seen) if table.title.startswith("Books")]
    assert books.rows[1] == (figures.SQLITE, "1,400", "+30.0 (+25.0-+215.0)", "", "+11.00", "+11.00")


def test_a_figure_taken_while_others_used_the_core_is_flagged() -> None:
    quiet, noisy = sample(figures.NGINX, "batch", 10), sample(figures.SQLITE, "batch", 90, others=0.5)
    (cpu, *_) = tables(result(quiet, noisy))
    assert [row[1] for row in cpu.rows] == ["10.0", "90.0*"]
    assert any("up to 50%" in remark for remark in remarks(result(quiet, noisy)))


def test_a_gateway_that_could_not_be_run_is_named_with_its_reason() -> None:
    seen = result(sample(figures.NGINX, "batch"))
    seen.not_run["Ferro"] = "no such package"
    assert "Ferro: not run: no such package" in remarks(seen)


def test_each_other_gateway_is_locked_at_one_version_with_hashes_and_no_address() -> None:
    for peer in PEERS:
        lock = (LOCKS / peer.lock).read_text()
        assert re.fullmatch(r"[0-9.]+", peer_version(peer))
        assert "sha256:" in lock or '"integrity": "sha512-' in lock
        assert '"resolved"' not in lock and "--index-url" not in lock and " @ " not in lock


def test_a_gateway_that_cannot_be_installed_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchFailed, match="npm is not installed"):
        installed("portkey/package-lock.json", tmp_path, str)


def test_what_was_measured_is_written_between_the_marks_of_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(publish.PAGE.read_text())
    monkeypatch.setattr(publish, "PAGE", page)
    monkeypatch.setattr(publish, "PLOTS", tmp_path)
    seen = result(sample(figures.NGINX, "batch", 10), sample(figures.SQLITE, "batch", 68.4))
    curve = publish.Curve(MACHINE, [publish.Point(at, {"CPU us a call": 20.0}) for at in (0, 1_000_000)])
    (tmp_path / "latest.json").write_bytes(json.dumps(msgspec.to_builtins(seen)).encode())
    (tmp_path / "growth.json").write_bytes(json.dumps({"books": msgspec.to_builtins(curve)}).encode())
    publish.publish(tmp_path)
    text = page.read_text()
    assert "| tollway, SQLite | 68.4 | 6.8 x |" in text
    assert "| Calls in the books | 0 | 1,000,000 |" in text
    publish.publish(tmp_path)
    assert page.read_text() == text
    for name in ("cost.svg", "growth.svg"):
        assert ET.fromstring((tmp_path / name).read_text()).tag.endswith("svg")


def test_a_plot_says_in_words_what_it_draws() -> None:
    drawn = plot.page(
        [plot.bars("CPU", "us", [plot.Bar("a <b>", 10, "10", True), plot.Bar("c", 1000, "1,000", False)])], "x & y"
    )
    words = [each.text for each in ET.fromstring(drawn).iter() if each.tag.endswith("text")]
    assert words == ["CPU", "us", "a <b>", "10", "c", "1,000"]


@pytest.mark.parametrize(
    ("line", "ticks"), [([(0, 20), (10, 22)], ["0", "15", "30"]), ([(1, 5), (10, 900)], ["1", "10"])]
)
def test_a_line_is_drawn_from_zero_unless_it_grows_a_hundredfold(
    line: list[tuple[float, float]], ticks: list[str]
) -> None:
    drawn = plot.page([plot.lines("CPU", "us", "calls", {"one": line})], "a line")
    words = [each.text for each in ET.fromstring(drawn).iter() if each.tag.endswith("text")]
    assert words[2 : 2 + len(ticks)] == ticks


def test_the_measure_of_growth_fills_a_book_and_measures_at_each_size(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "books.py"), str(tmp_path / "books.db")]
    options = ["--sizes", "0", "1000", "--seconds", "0.2", "--waiting", "4"]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, timeout=WAIT_S)
    assert ran.returncode == 0, ran.stderr
    seen = [json.loads(line) for line in ran.stdout.splitlines()]
    assert seen[0]["calls"] == 0 and seen[1]["calls"] >= 1000
    assert all(one["cpu_us"] > 0 and one["per_second"] > 0 for one in seen)
    assert operator.audit(tmp_path / "books.db").posts >= 1000
