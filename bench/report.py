"""The table: medians over the rounds with their spread, ratios to nginx of the same run, and the targets.

Samples and facts in, text out; it must not know how they were taken."""

import os
import platform
from collections.abc import Callable
from statistics import median
from typing import Any

from cpu import processor

Samples = list[dict[str, Any]]
Facts = dict[str, dict[str, Any]]

# The targets of a first working version, on two shared x86_64 cores: no promise, but what a change must not cross.
BATCH_RATIO_MAX = 28.0
EVENT_RATIO_MAX = 6.0
FIRST_TOKEN_MS_MAX = (10.0, 100.0)  # p50, p99, beyond the provider's own
STREAM_KB_MAX = 200.0
IDLE_MB_MAX = 120.0
READY_S_MAX = 3.0
LEDGER_US_MAX = 60.0

NOISE_MAX = 0.1  # of the gateway's core, used by others

LATENCY = ("latency_p50_ms", "latency_p99_ms")
FIRST_TOKEN = ("first_token_p50_ms", "first_token_p99_ms")
LABEL_WIDTH = 43
COLUMN_WIDTH = 22


class Report:
    def __init__(self, samples: Samples, facts: Facts) -> None:
        self._samples = samples
        self._facts = facts
        self.columns = [name for name in ("provider", "nginx", "tollway") if any(s["target"] == name for s in samples)]

    def values(self, target: str, kind: str, field: str) -> list[float]:
        """One for each round."""
        return [float(s[field]) for s in self._samples if s["target"] == target and s["kind"] == kind]

    def middle(self, target: str, kind: str, field: str) -> float | None:
        values = self.values(target, kind, field)
        return median(values) if values else None

    def beyond_provider(self, target: str, kind: str, field: str) -> float | None:
        """Median of what a gateway adds to the provider's own figure in the same round."""
        own = self.values("provider", kind, field)
        values = self.values(target, kind, field)
        return median(value - base for value, base in zip(values, own, strict=True)) if values else None

    def fact(self, target: str, field: str) -> float | None:
        value = self._facts.get(target, {}).get(field)
        return None if value is None else float(value)

    def spread(self, kind: str, field: str, form: str) -> list[str]:
        """Median (lowest-highest) of each gateway; nothing for the provider, whose cost is not the question."""
        cells = []
        for target in self.columns:
            values = [] if target == "provider" else self.values(target, kind, field)
            cells.append(spread_text(values, form) if values else "")
        return cells

    def pair(self, value: Callable[[str, str], float | None], fields: tuple[str, str]) -> list[str]:
        cells = []
        for target in self.columns:
            first, second = value(target, fields[0]), value(target, fields[1])
            cells.append("" if first is None or second is None else f"{first:.2f} / {second:.2f}")
        return cells

    def facts(self, field: str, form: str) -> list[str]:
        found = [self.fact(target, field) for target in self.columns]
        return ["" if value is None else format(value, form) for value in found]

    def ratio(self, kind: str) -> float | None:
        ours, theirs = self.middle("tollway", kind, "cpu_us"), self.middle("nginx", kind, "cpu_us")
        return ours / theirs if ours and theirs else None


def spread_text(values: list[float], form: str) -> str:
    shown = [format(value, form) for value in (median(values), min(values), max(values))]
    return shown[0] if len(values) == 1 else f"{shown[0]} ({shown[1]}-{shown[2]})"


def against(value: float | None, most: float, unit: str) -> str:
    return "" if value is None else f"at most {most:g} {unit}: {'met' if value <= most else 'MISSED'}"


def first_token_target(report: Report) -> str:
    late = [report.beyond_provider("tollway", "streams", field) for field in FIRST_TOKEN]
    known = [value for value in late if value is not None]
    if not known:
        return ""
    met = all(value <= most for value, most in zip(known, FIRST_TOKEN_MS_MAX, strict=True))
    return f"at most {FIRST_TOKEN_MS_MAX[0]:g} / {FIRST_TOKEN_MS_MAX[1]:g} ms: {'met' if met else 'MISSED'}"


def rows(report: Report) -> list[tuple[str, list[str], float | None, str]]:
    """Label, a cell for each column, the ratio to nginx, the target."""
    batch, event = report.ratio("batch"), report.ratio("streams")

    def target(field: str, most: float, unit: str) -> str:
        return against(report.fact("tollway", field), most, unit)

    def added(kind: str, fields: tuple[str, str]) -> list[str]:
        """The provider's own times, and what each gateway adds to them."""
        return report.pair(
            lambda name, field: (report.middle if name == "provider" else report.beyond_provider)(name, kind, field),
            fields,
        )

    return [
        (
            "CPU us a batch request",
            report.spread("batch", "cpu_us", ".1f"),
            batch,
            against(batch, BATCH_RATIO_MAX, "x"),
        ),
        ("  requests a second", report.spread("batch", "per_second", ".0f"), None, ""),
        ("  share of its core", report.spread("batch", "core_busy", ".0%"), None, ""),
        ("  others on its core", report.spread("batch", "others_busy", ".0%"), None, ""),
        (
            "  of which the ledger, alone at 64 waiting",
            report.spread("ledger", "cpu_us", ".1f"),
            None,
            against(report.middle("tollway", "ledger", "cpu_us"), LEDGER_US_MAX, "us"),
        ),
        (
            "CPU us a streamed event",
            report.spread("streams", "cpu_us", ".1f"),
            event,
            against(event, EVENT_RATIO_MAX, "x"),
        ),
        ("  events a second", report.spread("streams", "per_second", ".0f"), None, ""),
        ("  share of its core", report.spread("streams", "core_busy", ".0%"), None, ""),
        ("  others on its core", report.spread("streams", "others_busy", ".0%"), None, ""),
        ("added latency at 50/s, ms p50 / p99", added("latency", LATENCY), None, ""),
        ("added to the first token, ms p50 / p99", added("streams", FIRST_TOKEN), None, first_token_target(report)),
        ("ready, s", report.facts("ready_s", ".2f"), None, target("ready_s", READY_S_MAX, "s")),
        ("idle memory, MB", report.facts("idle_mb", ".0f"), None, target("idle_mb", IDLE_MB_MAX, "MB")),
        ("peak memory, MB", report.facts("peak_mb", ".0f"), None, ""),
        ("memory a stream, KB", report.facts("stream_kb", ".0f"), None, target("stream_kb", STREAM_KB_MAX, "KB")),
    ]


def print_report(samples: Samples, facts: Facts, notes: list[str], versions: dict[str, str], rounds: int) -> None:
    report = Report(samples, facts)
    named = [f"{name} {version}" for name, version in versions.items()]
    machine = f"{os.cpu_count()} x {processor()}, {platform.system()} {platform.release()}"
    print("; ".join([*named, f"Python {platform.python_version()}", machine]))
    print(f"{rounds} interleaved round{'s' if rounds > 1 else ''}: median (lowest-highest).", end=" ")
    print("Latencies: the provider's own, and what a gateway adds.")
    print()
    print(line("", report.columns, "to nginx", "first target"))
    for label, cells, ratio, target in rows(report):
        if any(cells):
            print(line(label, cells, "" if ratio is None else f"{ratio:.1f} x", target))
    noise = max(
        (share for name in report.columns for share in report.values(name, "streams", "others_busy")), default=0
    )
    if noise > NOISE_MAX:
        notes = [*notes, f"noisy: others used up to {noise:.0%} of the measured core; CPU figures hold, times do not"]
    print("".join(f"\n{note}" for note in notes))


def line(label: str, cells: list[str], ratio: str, target: str) -> str:
    shown = "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells)
    return f"{label:<{LABEL_WIDTH}}{shown}{ratio:>10}  {target}".rstrip()
