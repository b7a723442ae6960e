"""The cells of the matrix: a fault, how the call is made, whether another provider stands behind, and who calls.

Each has a model, providers and a wallet of its own, so that nothing that one cell does to a provider's standing is seen
by another. What a cell has to come to follows from its fault (`Cell.due`); knows nothing of sockets.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matrix.faults import FAULTS, TOKENS, Fault, Play, Then

A, B = "a", "b"
PRICES = {A: (1_000, 10_000), B: (3_000, 30_000)}  # nano-USD for a token of prompt and of answer
PROMPT = "hello"
CREDIT = 1_000_000_000

SILENT_S = "1.5s"  # for a provider that would never answer: nothing that answers is ever under it
HASTY_S = "3s"  # for a whole call, of which three tokens come at once


PROVIDER = """
[[providers]]
id = "{id}"
base_url = "{url}"
"""
MODEL = """
[[providers.models]]
id = "{id}"
upstream = "{upstream}"
context_length = 100000
max_output_tokens = 1000
price = {{ input = "{prompt}", output = "{answer}" }}
timeouts = {{ {limits} }}
"""


class Way(enum.Enum):
    """How a call is made, and when its client leaves it."""

    BATCH = "batch"
    STREAM = "stream"
    BEGUN = "a stream that has begun"  # with a keep-alive, before the provider has said anything
    LEFT_BATCH = "left, batch"  # while the provider holds the request
    LEFT_EARLY = "left, before the first token"  # while the provider holds the request
    LEFT_MIDWAY = "left, after the first token"
    LEFT_LATE = "left, after the last token"  # when the router knows the finish reason, and not the usage

    @property
    def streams(self) -> bool:
        return self not in (Way.BATCH, Way.LEFT_BATCH)

    @property
    def leaves(self) -> bool:
        return self in (Way.LEFT_BATCH, Way.LEFT_EARLY, Way.LEFT_MIDWAY, Way.LEFT_LATE)


class Behind(enum.Enum):
    """Who stands behind A."""

    NOBODY = "alone"
    WELL = "B behind"
    ALIKE = "B behind, and fails alike"


@dataclass(frozen=True)
class Due:
    """What a cell has to come to."""

    asked: str  # the providers, in order
    answers: str | None  # who gives the whole answer; None: nobody
    error: tuple[int, str] | None = None  # of a call that is answered by none


_TWICE = (Then.HEALED, Then.AGAIN)
_TWICE_ALONE = (Then.WAITED, Then.ALONE)
_ENDS = (Then.FINAL, Then.BROKEN, Then.LATE)
_FAILS_EARLY = (Then.NEXT, Then.AGAIN, Then.ALONE, Then.FINAL)
_GOES_ON = (Then.NEXT, Then.AGAIN, Then.WAITED, Then.ALONE)


@dataclass(frozen=True)
class Cell:
    tag: str
    fault: Fault
    way: Way
    behind: Behind

    @property
    def name(self) -> str:
        return f"{self.fault.name} / {self.way.value} / {self.behind.value}"

    @property
    def backed(self) -> bool:
        return self.behind is not Behind.NOBODY

    @property
    def faulty(self) -> str:
        """The providers that have the fault."""
        return A + B if self.behind is Behind.ALIKE else A

    @property
    def play(self) -> Play:
        play = self.fault.stream if self.way.streams else self.fault.batch
        assert play is not None, "a cell has something to play"
        return play

    @property
    def model(self) -> str:
        return f"m/{self.tag}"

    @property
    def model_before(self) -> str:
        """The model of A's that the call before is for."""
        return f"{self.model}/before"

    @property
    def due(self) -> Due:
        then = self.play.then
        if self.way is Way.LEFT_EARLY and self.holder == A:
            return Due(A, None)
        first = A * 2 if then in _TWICE or (then in _TWICE_ALONE and not self.backed) else A
        if then in (Then.ANSWERS, Then.HEALED):
            return Due(first, A)
        if then in _ENDS:
            return Due(first, None, self.play.error)
        if self.behind is Behind.WELL:
            return Due(first + B, B)
        if self.behind is Behind.ALIKE:
            second = B * len(first)
            return Due(first + second + A, A) if then is Then.WAITED else Due(first + second, None, self.play.error)
        return Due(first, A) if then is Then.WAITED else Due(first, None, self.play.error)

    @property
    def holder(self) -> str | None:
        """The provider that is stopped for the moment that the way is about."""
        if self.way in (Way.BATCH, Way.STREAM):
            return None
        if self.way in (Way.BEGUN, Way.LEFT_BATCH) or not self.backed:
            return A
        return B if self.play.then in _GOES_ON else A

    @property
    def steps(self) -> int:
        """How many events the holder lets out before the client leaves."""
        choices = self.fault.choices
        tokens = {Way.LEFT_MIDWAY: 1, Way.LEFT_LATE: TOKENS * choices}.get(self.way, 0)
        if not tokens:
            return 0
        fault, ending = self.fault, choices * (self.way is Way.LEFT_LATE)
        if self.holder == B:
            return 1 + tokens + ending
        return fault.opening + (fault.thoughts + fault.extra if ending else 0) + tokens + ending

    @property
    def reads(self) -> int:
        """How many tokens, of text or of reasoning, the client reads before it leaves by itself; 0: it is told when."""
        return 1 if self.way is Way.LEFT_MIDWAY else 0

    @property
    def parted(self) -> bool:
        """Tokens go out before the fault. A reads on when its client has one: in one piece nobody would have seen any
        of it, and the next provider could be asked."""
        then, way = self.play.then, self.way
        return way in (Way.STREAM, Way.BEGUN) and (then is Then.BROKEN or (then is Then.LATE and self.fault.stepwise))

    def body(self) -> dict[str, Any]:
        order = [f"{letter}-{self.tag}" for letter in self.letters]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": PROMPT}],
            "n": self.fault.choices,
            "provider": {"order": order},
        }

    @property
    def letters(self) -> str:
        return A + B if self.backed else A

    def scenario(self, letter: str) -> str:
        """How the provider `letter` behaves."""
        parts = [f"tokens={TOKENS}"]
        if letter == self.holder:
            gate = "lockstep" if self.steps else "barrier"
            parts.append(f"{gate}={self.tag}")
        if letter == A and self.parted:
            parts.append(f"lockstep={self.tag}")
        if letter in self.faulty and self.play.scenario:
            parts.append(self.play.scenario)
        return "&".join(parts)

    def providers(self, urls: Mapping[str, str]) -> str:
        """The cell's part of the configuration. `urls`: where A and B are."""
        return "\n".join(self._provider(letter, urls[letter]) for letter in self.letters)

    def _provider(self, letter: str, url: str) -> str:
        limits = ""
        if letter in self.faulty and self.fault.silent:
            limits = f'first_byte = "{SILENT_S}", idle = "{SILENT_S}", batch = "{SILENT_S}"'
            if self.play.then is Then.BROKEN:
                limits = f'idle = "{SILENT_S}"'
        elif self.fault.hasty:
            limits = f'total = "{HASTY_S}"'
        text = PROVIDER.format(id=f"{letter}-{self.tag}", url=url)
        if letter == A and self.fault.before is not None:
            text += _model(self.model_before, f"{self.tag}.before?tokens=1&{self.fault.before}", A, limits)
        return text + _model(self.model, f"{self.tag}?{self.scenario(letter)}", letter, limits)


def _model(name: str, upstream: str, letter: str, limits: str) -> str:
    prompt, answer = (f"{rate / 1000:g}" for rate in PRICES[letter])
    return MODEL.format(id=name, upstream=upstream, prompt=prompt, answer=answer, limits=limits)


def _makes_sense(cell: Cell) -> bool:
    """Whether there is such a moment: a stream that has failed can't be left after its first token."""
    fault, way = cell.fault, cell.way
    if (fault.stream if way.streams else fault.batch) is None:
        return False
    if cell.behind is Behind.ALIKE:  # where B is asked, and on no connection that is kept
        return way in (Way.BATCH, Way.STREAM) and cell.play.then in _GOES_ON and fault.before is None
    if not way.leaves and way is not Way.BEGUN:
        return True
    if cell.holder == A and ((cell.play.then in _TWICE_ALONE and fault.before is not None) or not fault.listens):
        return False  # nobody can hold, or not for as long as a connection counts as stale
    if way not in (Way.LEFT_MIDWAY, Way.LEFT_LATE):
        return True
    if cell.holder == B:
        return True
    if cell.play.then in _FAILS_EARLY or not fault.stepwise or fault.text == "":
        return False
    return way is Way.LEFT_MIDWAY or (cell.play.then not in _ENDS and not fault.said_with_finish)


def cells(prefix: str, ways: tuple[Way, ...] = tuple(Way)) -> Iterator[Cell]:
    """Every cell there is. `prefix` keeps those of one client apart from another's."""
    for number, fault in enumerate(FAULTS):
        for place, way in enumerate(ways):
            for behind in Behind:
                cell = Cell(f"{prefix}{number}.{place}{behind.name[0].lower()}", fault, way, behind)
                if _makes_sense(cell):
                    yield cell
