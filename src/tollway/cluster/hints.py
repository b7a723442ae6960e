"""Which providers had trouble lately, told to the other replicas and heard from them: beside the path, once a beat.

What is told and heard is domain.hint.Hint; who makes it and who learns from it is routing's health, which is passed in.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tollway.cluster.link import Link
from tollway.domain.errors import LimitsUnavailable
from tollway.domain.hint import Hint
from tollway.wire import json

HINTS_MAX = 1_000  # a report; about 60 KB, and more models than fail at once

_decoded = json.decoder(list[Hint])


class HealthHints:
    """`tell` gives what this replica knows by itself, `learn` takes what all others do."""

    def __init__(self, link: Link, tell: Callable[[], Sequence[Hint]], learn: Callable[[Iterable[Hint]], None]) -> None:
        self._link = link
        self._tell = tell
        self._learn = learn
        self._replica = secrets.token_hex(8)

    async def exchange(self) -> None:
        """Tell and hear, in one round trip. While Valkey is lost, what was heard before fades by itself."""
        told = self._tell()[:HINTS_MAX]
        report = json.encode(told).decode() if told else ""
        try:
            reports = await self._link.ask(("report", self._replica, report))
        except LimitsUnavailable:
            return
        self._learn([hint for age_us, text in reports for hint in _read(text, age_us / 1e6)])


def _read(text: Any, age_s: float) -> list[Hint]:
    """Nothing, where another version of the router writes otherwise."""
    try:
        hints: list[Hint] = _decoded(text)
    except (msgspec.DecodeError, ValueError, TypeError):
        return []
    return [hint.aged(age_s) for hint in hints[:HINTS_MAX]]
