"""What a process and its children cost, read from /proc: CPU seconds, memory now and at its peak. Linux only.

It must not know what the processes do."""

import os
import re
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
RESET_PEAK = "5"  # proc(5), clear_refs: the peak starts again from what is resident now


def tree(pid: int) -> list[int]:
    """`pid` and everything it started that still runs, parents first."""
    found = [pid]
    for listing in PROC.glob(f"{pid}/task/*/children"):
        try:
            children = listing.read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # the thread ended while we looked
            continue
        for child in children:
            found.extend(tree(int(child)))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, of children that were waited for too. Its grain is a clock tick, mostly 10 ms:
    divide a run of seconds by the work done in it, never a single request."""
    return sum(_ticks(each) for each in tree(pid)) / TICKS_PER_SECOND


def _ticks(pid: int) -> int:
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The second field is the program's name in parentheses and may hold anything; utime, stime, cutime and cstime are
    # the 14th to 17th.
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def core_seconds(cores: frozenset[int]) -> float:
    """What everybody together used of these cores since the machine started, and what its host took away; interrupts,
    which belong to nobody, left out."""
    stat = (PROC / "stat").read_text()
    ticks = 0
    for core in cores:
        match = re.search(rf"^cpu{core} (.+)$", stat, re.MULTILINE)
        fields = match[1].split() if match else []
        # user, nice, system, idle, iowait, irq, softirq, steal
        ticks += sum(int(field) for field in [*fields[:3], *fields[7:8]])
    return ticks / TICKS_PER_SECOND


def memory_mb(pid: int) -> float:
    """What the tree has in memory now."""
    return sum(_status_kb(each, "VmRSS") for each in tree(pid)) / 1024


def peak_memory_mb(pid: int) -> float:
    """The most it ever had, or had since the last reset_peak."""
    return sum(_status_kb(each, "VmHWM") for each in tree(pid)) / 1024


def reset_peak(pid: int) -> None:
    for each in tree(pid):
        (PROC / str(each) / "clear_refs").write_text(RESET_PEAK)


def _status_kb(pid: int, field: str) -> int:
    try:
        status = (PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    match = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(match[1]) if match else 0


def processor() -> str:
    """The machine's processor, as it names itself."""
    match = re.search(r"^model name\s*:\s*(.+)$", (PROC / "cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else "unknown processor"
