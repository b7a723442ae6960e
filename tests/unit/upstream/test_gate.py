"""An attempt gives its place at a provider back exactly when its connection ends, whatever ends it."""

import asyncio
from typing import Any

import pytest

from helpers.attempting import TIMEOUTS, Bench, answer, at, failure, fault, tokens
from helpers.scripted import SILENCE, UNCONNECTED
from helpers.virtual_time import virtual_time
from tollway.domain.answer import Outcome
from tollway.domain.call import Call
from tollway.domain.errors import NoProviderAvailable, ProviderFault, RateLimited
from tollway.domain.plan import Candidate
from tollway.domain.usage import Usage

OPEN = "free"  # a provider without a gate


class CountingGate:
    """Lets in whom a test says, and keeps what it is told."""

    def __init__(self, *, room: int = 100) -> None:
        self.room = room
        self.inside = 0
        self.said: list[Any] = []

    async def enter(self, call: Call, candidate: Candidate) -> "CountingPass":
        if not self.room:
            raise ProviderFault("at_limit", "full", retry_after_ms=7_000)
        self.room -= 1
        self.inside += 1
        return CountingPass(self)


class CountingPass:
    def __init__(self, gate: CountingGate) -> None:
        self._gate = gate
        self._left = False

    def leave(self) -> None:
        if not self._left:
            self._left = True
            self._gate.inside -= 1

    def failed(self, outcome: Outcome) -> None:
        self._gate.said.append(outcome)

    def used(self, usage: Usage) -> None:
        self._gate.said.append(usage)


def gated(gate: CountingGate, *candidates: Candidate, **steps: Any) -> Bench:
    return Bench(*candidates, gate=lambda provider: None if provider == OPEN else gate, **steps)


@virtual_time
async def test_a_batch_leaves_with_its_answer() -> None:
    gate = CountingGate()
    bench = gated(gate, a=[answer()])
    await bench.answer()
    assert gate.inside == 0
    bench.trail.used(None)
    bench.trail.used(Usage(prompt=3, completion=1))
    assert gate.said == [Usage(prompt=3, completion=1)]


@virtual_time
async def test_a_stream_stays_until_it_is_closed() -> None:
    gate = CountingGate()
    stream = await gated(gate, a=[tokens()]).open()
    assert gate.inside == 1
    stream.close()
    stream.close()
    assert gate.inside == 0


@pytest.mark.parametrize("how", ["answer", "open"])
@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (lambda: fault(), "connect_failed"),
        (lambda: failure(429), "rate_limited"),
        (lambda: failure(400), "rejected"),
        (lambda: SILENCE, None),
    ],
    ids=["no connection", "429", "400", "silence"],
)
@virtual_time
async def test_a_failed_attempt_leaves_and_says_how_it_failed(how: str, step: Any, outcome: str | None) -> None:
    gate = CountingGate()
    await gated(gate, a=[step()]).refused(how)
    assert gate.inside == 0
    assert gate.said == [outcome or {"answer": "batch_timeout", "open": "first_byte_timeout"}[how]]


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_an_attempt_leaves_when_its_call_is_stopped_or_cancelled(how: str) -> None:
    gate = CountingGate()
    bench = gated(gate, a=[SILENCE])
    at(1, bench.watch.stop, "client_left")
    assert await bench.interrupted(how) == "client_left"
    assert gate.inside == 0
    cut = gated(gate, a=[SILENCE])

    async def cancelled() -> None:
        cut.watch = type(cut.watch)(TIMEOUTS.total)
        await getattr(cut, how)()

    task = asyncio.ensure_future(cancelled())
    at(1, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.inside == 0


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_what_never_went_out_counts_for_nothing(how: str) -> None:
    gate = CountingGate()
    bench = gated(gate, a=[UNCONNECTED])
    at(1, bench.watch.stop, "client_left")
    assert await bench.interrupted(how) == "client_left"
    assert (gate.inside, gate.said) == (0, ["connect_failed"])


@virtual_time
async def test_who_finds_no_room_was_not_asked_and_the_next_is() -> None:
    gate = CountingGate(room=0)
    bench = gated(gate, a=[answer()], free=[answer()])
    await bench.answer()
    assert bench.transport.asked == [OPEN]
    assert bench.outcomes == [("a", "at_limit"), (OPEN, "ok")]
    assert bench.trail.passed is None


@virtual_time
async def test_when_nobody_had_room_the_caller_may_try_again_when_the_first_has() -> None:
    error = await gated(CountingGate(room=0), a=[], b=[]).refused()
    assert isinstance(error, RateLimited)
    assert error.retry_after_ms == 7_000


@virtual_time
async def test_when_somebody_was_asked_the_router_has_tried_what_it_could() -> None:
    bench = gated(CountingGate(room=0), a=[], free=[failure(429, retry_after="600")])
    error = await bench.refused()
    assert isinstance(error, NoProviderAvailable)
    assert error.retry_after_ms == 7_000
