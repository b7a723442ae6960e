"""What a check answers: what was looked at, how it stands, what was found and how to mend it. Values only."""

from collections.abc import Iterable
from typing import Literal

import msgspec

State = Literal["ok", "warning", "problem", "skipped"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`area` is the check, `subject` what it looked at (a provider, a file, a URL); `mend` what to do, for whatever is
    not ok. Neither ever holds a secret."""

    area: str
    subject: str
    state: State
    found: str
    mend: str | None = None


class Area:
    """Gathers what one check finds, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []

    def ok(self, subject: str, found: str) -> None:
        self._add(subject, "ok", found, None)

    def warning(self, subject: str, found: str, mend: str) -> None:
        self._add(subject, "warning", found, mend)

    def problem(self, subject: str, found: str, mend: str) -> None:
        self._add(subject, "problem", found, mend)

    def skipped(self, subject: str, found: str, mend: str | None = None) -> None:
        self._add(subject, "skipped", found, mend)

    def _add(self, subject: str, state: State, found: str, mend: str | None) -> None:
        self.findings.append(Finding(area=self.name, subject=subject, state=state, found=found, mend=mend))


def counts(findings: Iterable[Finding]) -> dict[State, int]:
    """How many findings are of each state."""
    found: dict[State, int] = {"ok": 0, "warning": 0, "problem": 0, "skipped": 0}
    for finding in findings:
        found[finding.state] += 1
    return found


def counted(number: int, what: str) -> str:
    """`3 models`, `1 model`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
