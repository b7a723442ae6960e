"""The tables of a run: every gateway side by side, what the books cost, and the targets. Figures in, cells out; whoever
prints them decides whether that is for a terminal or for a page."""

import msgspec

from tollway.bench.figures import (
    COMMITS_WAITED,
    MEMORY,
    OURS,
    PROVIDER,
    Figures,
    Spread,
    first_p50,
    first_p99,
    p50,
    p99,
)
from tollway.bench.measure import NOISE_MAX, Kind, Result

FLAG = "*"  # beside a figure that was taken while others used the core


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of text under their columns; all but the first column are figures."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(result: Result) -> list[Table]:
    """Those that this run has something for."""
    figures = Figures(result)
    found = [cost(figures), times(figures, result), books(figures), verdicts(figures)]
    return [table for table in found if table.rows]


def cost(figures: Figures) -> Table:
    """CPU and throughput, batch and stream."""
    rows: list[tuple[str, ...]] = []
    for name in figures.targets:
        if name == PROVIDER:
            continue
        per_second = [figures.of(name, kind, lambda sample: sample.per_second) for kind in ("batch", "streams")]
        rows.append(
            (
                name,
                _cpu(figures, name, "batch"),
                _ratio(figures.ratio(name, "nginx", "batch")),
                _middle(per_second[0], ",.0f"),
                _cpu(figures, name, "streams"),
                _ratio(figures.ratio(name, "nginx", "streams")),
                _middle(per_second[1], ",.0f"),
                _middle(figures.of(name, "streams", lambda sample: sample.core_busy), ".0%"),
            )
        )
    columns = (
        "a request",
        "to nginx's",
        "requests/s",
        "an event",
        "to nginx's",
        "events/s",
        "of its core",
    )
    return Table(title="CPU, microseconds", columns=("", *columns), rows=rows)


def times(figures: Figures, result: Result) -> Table:
    """What a gateway adds to the provider's times, its memory and its start."""
    rows: list[tuple[str, ...]] = []
    for name in figures.targets:
        peak = figures.of(name, "streams", lambda sample: sample.peak_mb)
        grown = [each.grown_kb for each in figures.samples(name, "streams") if each.round == 0]
        ours = name != PROVIDER
        rows.append(
            (
                "provider (its own times)" if name == PROVIDER else name,
                _late(figures, name, "latency"),
                _late(figures, name, "streams"),
                f"{figures.idle_mb(name) or '':.0f}" if ours and figures.idle_mb(name) else "",
                _middle(peak, ".0f") if ours else "",
                f"{grown[0]:.0f}" if ours and grown else "",
                _middle(figures.ready_s(name), ".2f") if ours else "",
            )
        )
    streams = result.size.streams
    columns = (
        "added ms, 50/s",
        f"first token, added ms, {streams} streams",
        "idle MB",
        f"peak MB, {streams} streams",
        "KB a stream",
        "ready s",
    )
    return Table(title="Times (p50 / p99) and memory", columns=("", *columns), rows=rows)


def books(figures: Figures) -> Table:
    """What each store of the books adds to those in memory."""
    rows: list[tuple[str, ...]] = []
    for name in OURS:
        if not figures.samples(name, "batch"):
            continue
        added = figures.books_us(name)
        store = figures.store_cpu_us(name, "batch")
        waits = [figures.beyond(name, MEMORY, kind, p99) for kind in COMMITS_WAITED]
        based = name == MEMORY
        rows.append(
            (
                name,
                _cpu(figures, name, "batch"),
                "" if based or added is None else f"{added:+.1f}",
                "" if store is None else f"{store:.1f}",
                *("" if based or wait is None else f"{wait:+.2f}" for wait in waits),
            )
        )
    columns = ("a request", "added", "the database's own", "added p99, 64 wait", "added p99, 50/s")
    return Table(
        title="Books: CPU in microseconds, and what they add to those in memory; p99 in milliseconds",
        columns=("", *columns),
        rows=rows if len(rows) > 1 else [],
    )


def verdicts(figures: Figures) -> Table:
    rows: list[tuple[str, ...]] = [
        (each.what, each.most, each.measured, "met" if each.met else "MISSED") for each in figures.verdicts()
    ]
    return Table(title="Targets, books on SQLite", columns=("", "at most", "measured", "verdict"), rows=rows)


def remarks(result: Result) -> list[str]:
    """What has to be known beside the tables: what was not measured, and what was disturbed."""
    found = [f"{name}: not run: {' '.join(why.split())[:300]}" for name, why in result.not_run.items()]
    noise = [sample for sample in result.samples if sample.noisy]
    if noise:
        most = max(sample.others_busy for sample in noise)
        found.append(
            f"{FLAG} others used more than {NOISE_MAX:.0%} of the measured core during a sample (up to {most:.0%}, "
            f"{len(noise)} of {len(result.samples)} samples): CPU figures hold roughly, times do not."
        )
    return [*found, *result.notes]


def headline(result: Result) -> str:
    """Machine, versions and amount, in a sentence or two."""
    machine, size = result.machine, result.size
    named = ", ".join(f"{name} {version}" for name, version in result.versions.items() if name not in OURS and version)
    ours = next((version for name, version in result.versions.items() if name in OURS), "")
    return (
        f"{machine.date}: {machine.cores} x {machine.processor}, {machine.system}, Python {machine.python}; "
        f"tollway {ours}{', ' if named else ''}{named}. {size.rounds} interleaved "
        f"round{'s' if size.rounds > 1 else ''}, {size.streams} streams: median (least-most)."
    )


def _cpu(figures: Figures, name: str, kind: Kind) -> str:
    used = figures.cpu_us(name, kind)
    if used is None:
        return ""
    form = ",.0f" if used.middle >= 1000 else ".1f"
    return f"{used:{form}}" + (FLAG if figures.noisy(name, kind) else "")


def _late(figures: Figures, name: str, kind: Kind) -> str:
    values = (first_p50, first_p99) if kind == "streams" else (p50, p99)
    if name == PROVIDER:
        pair = [figures.of(name, kind, value) for value in values]
    else:
        pair = [figures.beyond(name, PROVIDER, kind, value) for value in values]
    if pair[0] is None or pair[1] is None:
        return ""
    flag = FLAG if name != PROVIDER and figures.noisy(name, kind) else ""
    return " / ".join(f"{each.middle:,.{2 if each.middle < 100 else 0}f}" for each in pair if each) + flag


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} x"


def _middle(value: Spread | None, form: str) -> str:
    return "" if value is None else format(value.middle, form)


def text(table: Table) -> str:
    """For a terminal or a file: columns two spaces apart, figures to the right."""
    widths = [max(len(row[n]) for row in [table.columns, *table.rows]) for n in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [table.columns, *table.rows]
    ]
    return "\n".join([table.title, "", *(line.rstrip() for line in lines)])
