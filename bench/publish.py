"""Writes what was measured into docs/performance.md, between its marks, and draws it beside that page."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from peers import PEERS
from plot import Bar, Panel, bars, lines, page
from tollway.bench.figures import OURS, PROVIDER, Figures, Spread, first_p99
from tollway.bench.measure import NOISE_MAX, Machine, Result
from tollway.bench.report import FLAG, Table, headline, remarks, tables
from tollway.wire import json

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
PLOTS = DOCS / "plots"
WRAP = 118


class Point(msgspec.Struct, frozen=True):
    """A size, and what was measured at it."""

    at: int
    values: dict[str, float]


class Curve(msgspec.Struct, frozen=True):
    machine: Machine
    points: list[Point]
    others_busy: float = 0.0  # the most of the measured core that others used

    def line(self, name: str) -> list[tuple[float, float]]:
        return [(point.at, point.values[name]) for point in self.points if name in point.values]


def publish(results: Path) -> list[Path]:
    """Everything that results are there for; the files that were written."""
    PLOTS.mkdir(exist_ok=True)
    text = PAGE.read_text()
    written = [PAGE]
    latest, grown = results / "latest.json", results / "growth.json"
    if latest.exists():
        result = json.decode_as(latest.read_bytes(), Result)
        text = _between(text, "figures", figures_text(result))
        text = _between(text, "peers", markdown(peers_table(), ":--"))
        (PLOTS / "cost.svg").write_text(cost_plot(Figures(result), result))
        written.append(PLOTS / "cost.svg")
    if grown.exists():
        curves = json.decode_as(grown.read_bytes(), dict[str, Curve])
        text = _between(text, "growth", growth_text(curves))
        (PLOTS / "growth.svg").write_text(growth_plot(curves))
        written.append(PLOTS / "growth.svg")
    PAGE.write_text(text)
    return written


def _between(text: str, name: str, what: str) -> str:
    """The page with the section between its two marks replaced."""
    marks = re.compile(rf"(<!-- {name}: written by bench/run.py -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"{PAGE.name} has no section {name}")
    return marks.sub(lambda found: f"{found[1]}\n{what}\n\n{found[2]}", text)


def markdown(table: Table, rule: str = "--:") -> str:
    """`rule`: how all columns but the first are aligned, figures to the right."""
    rules = [":--", *(rule for _ in table.columns[1:])]
    rows = [table.columns, rules, *table.rows]
    return "\n".join("| " + " | ".join(cell.strip() for cell in row) + " |" for row in rows)


def figures_text(result: Result) -> str:
    parts = [_wrapped(headline(result)), "![CPU, first token and memory of each gateway](plots/cost.svg)"]
    for table in tables(result):
        parts += [f"### {table.title}", markdown(table)]
    return "\n\n".join([*parts, *(_wrapped(remark.replace(FLAG, f"`{FLAG}`", 1)) for remark in remarks(result))])


def peers_table() -> Table:
    rows = [(peer.name, peer.language, f"`{peer.package}`, {_index(peer.source)}", peer.settings) for peer in PEERS]
    return Table(title="", columns=("", "written in", "from", "set up"), rows=list(rows))


def _index(source: str) -> str:
    return {"pypi": "PyPI", "npm": "npm"}[source]


def cost_plot(figures: Figures, result: Result) -> str:
    def rows(value: Callable[[str], float | None], form: str) -> list[Bar]:
        known = [(name, value(name)) for name in figures.targets if name != PROVIDER]
        found = [Bar(name, each, format(each, form), name in OURS) for name, each in known if each is not None]
        return sorted(found, key=lambda bar: bar.value)

    def middle(value: Spread | None) -> float | None:
        return None if value is None else max(value.middle, 0.01)

    def request(name: str) -> float | None:
        return middle(figures.cpu_us(name, "batch"))

    def event(name: str) -> float | None:
        return middle(figures.cpu_us(name, "streams"))

    def first(name: str) -> float | None:
        return middle(figures.beyond(name, PROVIDER, "streams", first_p99))

    def peak(name: str) -> float | None:
        return middle(figures.of(name, "streams", lambda sample: sample.peak_mb))

    streams = f"{result.size.streams} streams"
    panels = [
        bars("CPU of a batch request", "microseconds, logarithmic; 64 in flight", rows(request, ",.0f")),
        bars(
            "CPU of a streamed event", f"microseconds, logarithmic; {streams}, an event each 20 ms", rows(event, ",.1f")
        ),
        bars(
            "First token after the provider's",
            f"milliseconds, logarithmic; 99th percentile, {streams}",
            rows(first, ",.1f"),
        ),
        bars("Memory at its peak", f"MB, logarithmic; {streams}", rows(peak, ",.0f")),
    ]
    return page(panels, "What each gateway costs: CPU, first token, memory. The tables below have the figures.")


PANELS = (
    ("streams", "CPU us an event", "CPU of a streamed event", "microseconds", "streams at once"),
    ("streams", "KB a stream", "Memory of a stream", "KB over idle", "streams at once"),
    ("bodies", "", "CPU of a request, by its body", "microseconds", "bytes"),
    ("providers", "CPU us a request", "CPU of a request, by providers", "microseconds", "providers of the model"),
    ("accounts", "CPU us a call", "CPU of hold and post, by accounts", "microseconds, the ledger alone", "accounts"),
    (
        "books",
        "CPU us a call",
        "CPU of hold and post, by calls",
        "microseconds, the ledger alone",
        "calls in the books",
    ),
)


def growth_plot(curves: dict[str, Curve]) -> str:
    panels: list[Panel] = []
    for curve, value, title, unit, below in PANELS:
        if curve not in curves:
            continue
        names = [value] if value else list(curves[curve].points[0].values)
        series = {name: curves[curve].line(name) for name in names}
        panels.append(lines(title, unit, below, series))
    return page(panels, "How cost grows. The tables below have the figures.")


def growth_text(curves: dict[str, Curve]) -> str:
    parts = ["![How cost grows with streams, bodies, providers, accounts and calls](plots/growth.svg)"]
    titles = {
        "streams": "Streams at once",
        "bodies": "Bytes of a request, CPU us",
        "providers": "Providers of the model",
        "accounts": "Accounts in the books",
        "books": "Calls in the books",
    }
    for name, title in titles.items():
        if name not in curves:
            continue
        points = curves[name].points
        keys = list(points[0].values)
        rows = [(key, *(_figure(point.values.get(key)) for point in points)) for key in keys]
        parts.append(markdown(Table(title=title, columns=(title, *(f"{p.at:,}" for p in points)), rows=list(rows))))
    dates = {curve.machine.date for curve in curves.values()}
    machine = next(iter(curves.values())).machine
    parts.append(f"Measured {', '.join(sorted(dates))} on {machine.cores} x {machine.processor}.")
    disturbed = {name: curve.others_busy for name, curve in curves.items() if curve.others_busy > NOISE_MAX}
    if disturbed:
        said = ", ".join(f"{busy:.0%} ({name})" for name, busy in disturbed.items())
        parts.append(_wrapped(f"Others used the measured core meanwhile, at most {said}: only the shapes hold."))
    return "\n\n".join(parts)


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def _wrapped(words: str) -> str:
    lines_made: list[str] = []
    for word in words.split():
        if lines_made and len(lines_made[-1]) + len(word) < WRAP:
            lines_made[-1] += f" {word}"
        else:
            lines_made.append(word)
    return "\n".join(lines_made)


def written(paths: Sequence[Path]) -> str:
    return "wrote " + ", ".join(str(path.relative_to(DOCS.parent)) for path in paths)
