"""Plots as SVG: horizontal bars and lines, on logarithmic scales, in panels beside each other. Legible on light and on
dark pages, since each picture has its own background. Numbers and words in, text out."""

import math
from collections.abc import Mapping, Sequence
from html import escape

import msgspec

WIDTH, COLUMNS, GAP = 940, 2, 28
LABELS, ROW = 132, 22  # room for the names of bars, and for each of them
LINES_HEIGHT = 190
HEAD = 46  # a panel's title and what it is measured in

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 13px }
.muted { fill: #59636e } .page { fill: #ffffff } .grid { stroke: #d1d9e0; fill: none }
.other { fill: #9aa4af } .ours { fill: #0969da } .line { fill: none; stroke-width: 2 }
.s0 { stroke: #0969da } .s1 { stroke: #bc4c00 } .d0 { fill: #0969da } .d1 { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .muted { fill: #9198a1 } .page { fill: #0d1117 } .grid { stroke: #3d444d }
.other { fill: #656c76 } .ours { fill: #4493f8 }
.s0 { stroke: #4493f8 } .s1 { stroke: #f0883e } .d0 { fill: #4493f8 } .d1 { fill: #f0883e } }
"""


class Panel(msgspec.Struct, frozen=True):
    """A piece of a picture, drawn at its own origin."""

    height: float
    marks: list[str]


class Bar(msgspec.Struct, frozen=True):
    name: str
    value: float
    shown: str
    ours: bool


Line = Sequence[tuple[float, float]]


def page(panels: Sequence[Panel], what: str) -> str:
    """Panels in two columns; `what` is read to those who don't see them."""
    width = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
    marks, top = [], float(GAP)
    for begun in range(0, len(panels), COLUMNS):
        row = panels[begun : begun + COLUMNS]
        for column, panel in enumerate(row):
            left = GAP + column * (width + GAP)
            marks += [f'<g transform="translate({left:.0f} {top:.0f})">', *panel.marks, "</g>"]
        top += max(panel.height for panel in row) + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" role="img"'
    return "\n".join(
        [
            f'{head} aria-label="{escape(what)}">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{top:.0f}" rx="6"/>',
            *marks,
            "</svg>\n",
        ]
    )


def bars(title: str, unit: str, rows: Sequence[Bar]) -> Panel:
    """Longer is more, each tenfold by the same length; the value stands beside its bar."""
    room = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS - LABELS - 70
    positive = [row.value for row in rows if row.value > 0]
    low = math.floor(math.log10(min(positive))) if positive else 0
    high = math.log10(max(positive)) if positive else 1
    marks = _head(title, unit)
    for number, row in enumerate(rows):
        y = HEAD + number * ROW
        share = (math.log10(row.value) - low) / max(high - low, 1) if row.value > 0 else 0
        length = max(2.0, share * room)
        marks.append(_text(LABELS - 8, y + 13, row.name, anchor="end"))
        kind = "ours" if row.ours else "other"
        marks.append(f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{ROW - 7}" rx="2"/>')
        marks.append(_text(LABELS + length + 6, y + 13, row.shown, kind="muted"))
    return Panel(HEAD + len(rows) * ROW, marks)


def lines(title: str, unit: str, below: str, series: Mapping[str, Line]) -> Panel:
    """Up to two lines over a logarithmic axis; a zero stands one step left of the smallest other. Upwards from 0, or
    logarithmic where values differ a hundredfold."""
    width = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS
    left, right, top, bottom = 56.0, width - 12, float(HEAD), HEAD + LINES_HEIGHT - 44.0
    points = [point for line in series.values() for point in line]
    xs = [x for x, _ in points]
    least = min((x for x in xs if x > 0), default=1.0)
    first = math.log10(least) - (1 if min(xs) <= 0 else 0)
    last = max(math.log10(max(xs)) if max(xs) > 0 else first, first + 1)
    values = [y for _, y in points if y > 0] or [1.0]
    steep = max(values) / min(values) > 100
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if steep else (0, 0)
    ceiling = _ceiling(max(values))

    def across(x: float) -> float:
        at = math.log10(x) if x > 0 else first
        return left + (at - first) / (last - first) * (right - left)

    def up(y: float) -> float:
        share = (math.log10(max(y, 10**low)) - low) / max(high - low, 1) if steep else y / ceiling
        return bottom - share * (bottom - top)

    marks = _head(title, unit)
    ticks = [10.0**power for power in range(low, high + 1)] if steep else [0, ceiling / 2, ceiling]
    for tick in ticks:
        marks.append(f'<path class="grid" d="M{left} {up(tick):.1f}H{right:.1f}"/>')
        marks.append(_text(left - 6, up(tick) + 4, short(tick), kind="muted", anchor="end"))
    for x in dict.fromkeys(xs):
        marks.append(_text(across(x), bottom + 18, short(x), kind="muted", anchor="middle"))
    marks.append(_text((left + right) / 2, bottom + 36, below, kind="muted", anchor="middle"))
    for number, (name, line) in enumerate(series.items()):
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line)
        marks.append(f'<path class="line s{number}" d="M{path}"/>')
        marks += [f'<circle class="d{number}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"/>' for x, y in line]
        if len(series) > 1:
            y = 14 + 17 * number
            marks.append(f'<circle class="d{number}" cx="{right - 4:.1f}" cy="{y - 4}" r="4"/>')
            marks.append(_text(right - 14, y, name, anchor="end"))
    return Panel(HEAD + LINES_HEIGHT, marks)


def short(value: float) -> str:
    """1,500 as 1.5k; at most four characters of what the eye needs."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _ceiling(value: float) -> float:
    """The next round number."""
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * factor for factor in (1, 2, 3, 4, 5, 6, 8, 10) if step * factor >= value)


def _head(title: str, unit: str) -> list[str]:
    return [_text(0, 14, title, kind="title"), _text(0, 31, unit, kind="muted")]


def _text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named} text-anchor="{anchor}">{escape(words)}</text>'
