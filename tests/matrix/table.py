"""What was played as the tables of docs/reliability.md: measured, not due. Where two clients saw different things, a
field says what each saw."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from matrix.cells import Behind, Cell, Way
from matrix.faults import FAULTS, GROUPS, Fault
from matrix.stage import Played

OPENS, CLOSES = "<!-- fault matrix -->", "<!-- /fault matrix -->"
NOTHING = "–"  # there is no such moment

Field = tuple[Fault, Way, Behind]
Fields = Mapping[Field, str]
USUAL = (Behind.NOBODY, Behind.WELL)

STAYS = """\
### The client stays

| Fault | The provider | Batch | Batch, B behind | Stream | Stream, B behind |
|---|---|---|---|---|---|
"""

ALIKE = """\
### The client stays, and both fail alike

| Faults | Batch | Stream |
|---|---|---|
"""

BEGUN = """\
### The client stays, and the stream has begun

A keep-alive has gone out before the provider says anything: the status is 200, whatever comes.

| Faults | Stream | Stream, B behind |
|---|---|---|
"""

LEAVES = """\
### The client leaves

Who was asked, and what the wallet pays. In batch and before the first token the client leaves while the provider that
would have answered holds the request; after the first token when it has read it; after the last when the router has
seen the finish reason, and not yet the usage. {nothing}: the call had ended before.

| Faults | Batch | B behind | Before the first token | B behind | After it | B behind | After the last | B behind |
|---|---|---|---|---|---|---|---|---|
"""


def rendered(played: Mapping[str, Sequence[Played]]) -> str:
    """The tables. `played`: by client."""
    fields = _fields(played)
    return "\n".join(
        (
            STAYS + "".join(_stays(fields)),
            ALIKE + "".join(_grouped(fields, (Way.BATCH, Way.STREAM), (Behind.ALIKE,))),
            BEGUN + "".join(_grouped(fields, (Way.BEGUN,))),
            LEAVES.format(nothing=NOTHING)
            + "".join(_grouped(fields, (Way.LEFT_BATCH, Way.LEFT_EARLY, Way.LEFT_MIDWAY, Way.LEFT_LATE))),
        )
    )


def written(page: str, tables: str) -> str:
    """The page with the tables between its marks."""
    before, opens, rest = page.partition(OPENS)
    _, closes, after = rest.partition(CLOSES)
    assert opens and closes, f"the page has no {OPENS} and {CLOSES}"
    return f"{before}{OPENS}\n\n{tables}\n{CLOSES}{after}"


def stands_in(page: Path) -> str:
    """The tables as they stand in the page."""
    text = page.read_text(encoding="utf-8")
    return text.partition(OPENS)[2].partition(CLOSES)[0].strip("\n") + "\n"


def _stays(fields: Fields) -> Iterable[str]:
    for title, faults in GROUPS.items():
        yield f"| **{title}** | | | | | |\n"
        for fault in faults:
            yield _row(fault.name, fault.means, *_texts(fields, fault, (Way.BATCH, Way.STREAM)))


def _grouped(fields: Fields, ways: Sequence[Way], behind: Sequence[Behind] = USUAL) -> Iterable[str]:
    """A row for all faults that come to the same."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for fault in FAULTS:
        texts = _texts(fields, fault, ways, behind)
        if set(texts) != {NOTHING}:
            rows.setdefault(texts, []).append(fault.name)
    for texts, names in rows.items():
        yield _row("; ".join(names), *texts)


def _texts(fields: Fields, fault: Fault, ways: Sequence[Way], behind: Sequence[Behind] = USUAL) -> tuple[str, ...]:
    return tuple(fields.get((fault, way, who), NOTHING) for way in ways for who in behind)


def _row(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n"


def _fields(played: Mapping[str, Sequence[Played]]) -> Fields:
    by_field: dict[Field, dict[str, str]] = {}
    for client, cells in played.items():
        for one in cells:
            by_field.setdefault((one.cell.fault, one.cell.way, one.cell.behind), {})[client] = came_to(one)
    return {field: _agreed(texts) for field, texts in by_field.items()}


def _agreed(texts: Mapping[str, str]) -> str:
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{client}: {text}" for client, text in texts.items())


def came_to(played: Played) -> str:
    """One field: who was asked, what the client saw, and what was charged where that isn't plain."""
    if played.hung is not None or played.record is None:
        return "hangs"
    cell, seen, record = played.cell, played.seen, played.record
    asked = " ".join(attempt.provider[0].upper() for attempt in record.attempts)
    if cell.way.leaves:
        return f"{asked}: {_paid(played)}"
    if seen.error is not None:
        where = "frame" if seen.status is None else str(seen.status)
        charged = f", {_paid(played)}" if record.price else ""
        return f"{asked}: {where} `{seen.error}`{charged}"
    charged = "" if _paid(played) == "usage" else f", {_paid(played)}"
    return f"{asked}: whole{charged}"


def _paid(played: Played) -> str:
    record = played.record
    assert record is not None, "a call that was booked has a record"
    if not record.price:
        return "free"
    if record.usage_origin == "provider":
        return "usage"
    if "client_left_before_token" in record.flags:
        return "prompt"
    return "delivered" if record.ended in ("client_left", "cut_by_router") else "own count"


Renders = Callable[[Cell], str]
