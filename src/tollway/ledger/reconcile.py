"""What a provider bills against what was recorded of its calls. Pure; knows neither files nor stores.

Where the invoice has response ids, row by row: a row and a call with the same id belong together, of several the ones
of equal amount first. Else by sums: of a day and a model, as far as the invoice has them.

Two amounts are the same when they differ by less than one of the last decimal that the invoice writes. What such rows
come to in sum is told, and counts: an invoice that rounds each row up is not the same as one that doesn't.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

import msgspec

from tollway.ledger.billed import Billed
from tollway.ledger.invoice import Invoice, InvoiceError, Row

LINES_MAX = 100_000  # differences that are kept to be shown; the others are in the sums

What = Literal["matched", "differs", "billed twice", "only theirs", "only ours", "taken off", "given back"]
WHATS: tuple[What, ...] = get_args(What)
EXPECTED: tuple[What, ...] = ("matched", "given back")  # all others are disputed

_DATED = re.compile(r"[-@](20[0-9]{2}-?[0-9]{2}-?[0-9]{2})\Z")  # gpt-4o-2024-08-06, claude-...-20250929


class Line(msgspec.Struct, kw_only=True):
    """Something that isn't the same on both sides; of rows that belong together or of one."""

    what: What
    line: int | None  # of the invoice, the first of them
    id: str  # the provider's response id
    call: str  # our own id
    day: int | None
    model: str
    theirs: int
    ours: int
    note: str = ""


class Sums(msgspec.Struct, kw_only=True):
    count: int = 0
    theirs: int = 0
    ours: int = 0


class Reconciliation(msgspec.Struct, kw_only=True):
    """Nano-USD; days since 1970-01-01."""

    by: str  # "response id", "day and model", "day" or "model"
    first: int
    last: int
    rows: int = 0
    outside: int = 0  # rows that are not of the period
    calls: int = 0  # of ours in the period that cost something
    sums: dict[What, Sums] = msgspec.field(default_factory=lambda: {what: Sums() for what in WHATS})
    lines: list[Line] = []  # what isn't the same, the first of them
    off: int = 0  # the differences that are not expected, each without its sign
    lost: Sums = msgspec.field(default_factory=Sums)  # of the calls, those that no wallet paid the cost of, or not all
    voided: int = 0  # calls that were given back, where sums can't tell whether they are billed
    unrecorded: int = 0  # calls whose record was let go of: nothing tells their response id

    @property
    def theirs(self) -> int:
        return sum(one.theirs for one in self.sums.values())

    @property
    def ours(self) -> int:
        return sum(one.ours for one in self.sums.values())

    @property
    def rounding(self) -> int:
        """What rows that are the same but for their rounding come to, over what we recorded."""
        return self.sums["matched"].theirs - self.sums["matched"].ours

    @property
    def disputed(self) -> int:
        """Every difference that is not expected, whichever way it goes."""
        return abs(self.rounding) + self.off

    @property
    def left_out(self) -> int:
        """Differences that `lines` had no room for."""
        return sum(one.count for what, one in self.sums.items() if what != "matched") - len(self.lines)


def period_of(invoice: Invoice, first: int | None, last: int | None) -> tuple[int, int]:
    """The days that are compared, both included: those given, else those of the rows. Raises InvoiceError."""
    days = [row.day for row in invoice.rows if row.day is not None]
    if (first is None or last is None) and not invoice.rows:
        raise InvoiceError("it has no rows: say --from and --to, to see what it should have had")
    if (first is None or last is None) and not days:
        raise InvoiceError("it has no days: say --from and --to, or which column they are in with --column day=HEADER")
    first, last = min(days) if first is None else first, max(days) if last is None else last
    if last < first:
        raise InvoiceError("the period ends before it begins: look at --from and --to")
    return first, last


def reconcile(
    invoice: Invoice, calls: Iterable[Billed], first: int, last: int, *, names: Mapping[str, str] | None = None
) -> Reconciliation:
    """Compare the rows of the days from `first` to `last` with `calls`, which may be of a day more on either side: a
    call that begins before midnight may be billed after it. `names`: model on the invoice -> ours."""
    if "id" in invoice.columns:
        return _ById(invoice, first, last).run(calls)
    return _BySums(invoice, first, last, names or {}).run(calls)


class _Comparing:
    def __init__(self, invoice: Invoice, first: int, last: int, by: str) -> None:
        self.unit = invoice.unit
        self.found = Reconciliation(by=by, first=first, last=last)
        self.rows = [row for row in invoice.rows if row.day is None or first <= row.day <= last]
        self.found.rows, self.found.outside = len(self.rows), len(invoice.rows) - len(self.rows)

    def within(self, call: Billed) -> bool:
        return self.found.first <= call.day <= self.found.last

    def count(self, call: Billed) -> None:
        """A call of ours that is compared."""
        found = self.found
        found.calls += call.cost > 0
        found.unrecorded += not call.recorded
        if call.loss:
            found.lost.count += 1
            found.lost.ours += call.loss

    def add(self, line: Line) -> None:
        sums = self.found.sums[line.what]
        sums.count += 1
        sums.theirs += line.theirs
        sums.ours += line.ours
        if line.what == "matched":
            return
        if line.what not in EXPECTED:
            self.found.off += abs(line.theirs - line.ours)
        if len(self.found.lines) < LINES_MAX:
            self.found.lines.append(line)


class _ById(_Comparing):
    def __init__(self, invoice: Invoice, first: int, last: int) -> None:
        super().__init__(invoice, first, last, "response id")
        self._open: dict[str, list[Row]] = {}  # rows by id that no call has been found for
        self._met: set[str] = set()  # ids of which a row has found its call
        for row in self.rows:
            self._open.setdefault(row.id or "", []).append(row)

    def run(self, calls: Iterable[Billed]) -> Reconciliation:
        later: list[Billed] = []  # calls whose rows have another amount: those of equal amount choose first
        for call in calls:
            rows = self._open.get(_id(call))
            same = next((row for row in rows or () if self._same(row, call)), None)
            if rows is not None and same is not None:
                rows.remove(same)
                self._meet(call, same, "matched")
            elif rows:
                later.append(call)
            else:
                self._alone(call)
        for call in sorted(later, key=lambda call: call.given_back):
            rows = self._open[_id(call)]
            if rows:
                self._meet(call, rows.pop(0), _unlike(call))
            else:
                self._alone(call)
        for own, rows in self._open.items():
            for number, row in enumerate(rows):
                twice = bool(own) and (number > 0 or own in self._met)
                self.add(_only_theirs(row, "billed twice" if twice else "only theirs"))
        return self.found

    def _same(self, row: Row, call: Billed) -> bool:
        return (
            not call.given_back
            and abs(row.amount - call.cost) < self.unit
            and not _differ(row.prompt, call.prompt)
            and not _differ(row.completion, call.completion)
        )

    def _meet(self, call: Billed, row: Row, what: What) -> None:
        self._met.add(_id(call))
        self.count(call)
        self.add(
            Line(
                what=what,
                line=row.line,
                id=row.id or "",
                call=call.id,
                day=row.day if row.day is not None else call.day,
                model=row.model or call.models[0],
                theirs=row.amount,
                ours=call.cost,
                note=_note(call, row),
            )
        )

    def _alone(self, call: Billed) -> None:
        if not self.within(call) or call.given_back:
            return
        self.count(call)
        if call.cost:
            self.add(
                Line(
                    what="only ours",
                    line=None,
                    id=call.response_id or "",
                    call=call.id,
                    day=call.day,
                    model=call.models[0],
                    theirs=0,
                    ours=call.cost,
                    note=_note(call, None),
                )
            )


def _id(call: Billed) -> str:
    """What its row is found by. Our own id is no provider's, but it is in what we export."""
    return call.response_id or call.id


def _unlike(call: Billed) -> What:
    """What a row is that has a call's id and not its amount."""
    if call.given_back:
        return "given back"
    return "taken off" if call.taken_off else "differs"


def _differ(theirs: int | None, ours: int | None) -> bool:
    """Two counts of tokens that are both known."""
    return theirs is not None and ours is not None and theirs != ours


def _only_theirs(row: Row, what: What) -> Line:
    model = row.model or ""
    return Line(what=what, line=row.line, id=row.id or "", call="", day=row.day, model=model, theirs=row.amount, ours=0)


def _note(call: Billed, row: Row | None) -> str:
    notes = []
    if row is not None and _differ(row.prompt, call.prompt):
        notes.append(f"{row.prompt} prompt tokens, ours {call.prompt}")
    if row is not None and _differ(row.completion, call.completion):
        notes.append(f"{row.completion} completion tokens, ours {call.completion}")
    if call.estimated:
        notes.append("our own count")
    if call.loss:
        notes.append("no wallet paid it")
    if not call.recorded:
        notes.append("its record is not kept any more")
    return ", ".join(notes)


class _Group(msgspec.Struct):
    """Rows, and calls, of one day and model."""

    line: int | None = None
    rows: int = 0
    calls: int = 0
    theirs: int = 0
    ours: int = 0
    prompt: int | None = None  # theirs less ours; None: the invoice has none
    completion: int | None = None
    unknown: bool = False  # of a call: its tokens


class _BySums(_Comparing):
    def __init__(self, invoice: Invoice, first: int, last: int, names: Mapping[str, str]) -> None:
        columns = [column for column in ("day", "model") if column in invoice.columns]
        super().__init__(invoice, first, last, " and ".join(columns))
        self._by_day, self._by_model = "day" in columns, "model" in columns
        self._names = {theirs.lower(): ours.lower() for theirs, ours in names.items()}
        self._groups: dict[tuple[int | None, str], _Group] = {}
        for row in self.rows:
            group = self._group(row.day, self._called(row.model or ""))
            group.line = group.line or row.line
            group.rows += 1
            group.theirs += row.amount
            if row.prompt is not None:
                group.prompt = (group.prompt or 0) + row.prompt
            if row.completion is not None:
                group.completion = (group.completion or 0) + row.completion
        self._models = {model for _, model in self._groups}

    def run(self, calls: Iterable[Billed]) -> Reconciliation:
        for call in calls:
            if not self.within(call):
                continue
            if call.given_back:
                self.found.voided += 1
                continue
            self.count(call)
            names = [self._called(name) for name in call.models]
            group = self._group(call.day, next((name for name in names if name in self._models), names[0]))
            group.calls += 1
            group.ours += call.cost
            group.unknown = group.unknown or call.prompt is None
            if group.prompt is not None:
                group.prompt -= call.prompt or 0
            if group.completion is not None:
                group.completion -= call.completion or 0
        for (day, model), group in sorted(self._groups.items(), key=lambda one: (one[0][0] or 0, one[0][1])):
            if group.rows or group.ours:
                self._compare(day, model, group)
        return self.found

    def _called(self, model: str) -> str:
        """A model's name as both sides may have it."""
        name = model.lower()
        return self._names.get(name, _DATED.sub("", name))

    def _group(self, day: int | None, model: str) -> _Group:
        key = (day if self._by_day else None, model if self._by_model else "")
        return self._groups.setdefault(key, _Group())

    def _compare(self, day: int | None, model: str, group: _Group) -> None:
        what: What = "matched"
        tokens = not group.unknown and bool(group.prompt or group.completion)
        if not group.calls:
            what = "only theirs"
        elif not group.rows:
            what = "only ours"
        elif tokens or abs(group.theirs - group.ours) > (self.unit - 1) * group.rows:
            what = "differs"
        notes = [f"{group.rows} rows, {group.calls} calls"]
        if tokens and what == "differs":
            notes.append(f"{group.prompt or 0:+} prompt, {group.completion or 0:+} completion tokens")
        self.add(
            Line(
                what=what,
                line=group.line,
                id="",
                call="",
                day=day,
                model=model,
                theirs=group.theirs,
                ours=group.ours,
                note=", ".join(notes),
            )
        )
