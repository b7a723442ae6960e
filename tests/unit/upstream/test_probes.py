"""What is told of an attempt at a provider in trouble: that it was answered, and that it is over, however it ended."""

import asyncio
from typing import Any

import pytest

from helpers.attempting import TIMEOUTS, Bench, answer, at, failure, fault, tokens
from helpers.scripted import SILENCE, ScriptedResponse, anew, chunk
from helpers.virtual_time import virtual_time
from tollway.domain.errors import TollwayError


class Trouble:
    """Gives out probes, and keeps what they are told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, provider: str, model: str) -> "Trouble | None":
        if provider == "well":
            return None
        self.said.append(f"began {provider}:{model}")
        return self

    def answered(self) -> None:
        self.said.append("answered")

    def over(self) -> None:
        self.said.append("over")


@virtual_time
async def test_a_batch_answer_is_told_and_over() -> None:
    trouble = Trouble()
    await Bench(probe=trouble, a=[answer()]).answer()
    assert trouble.said == ["began a:m", "over", "answered"]


@virtual_time
async def test_a_stream_is_answered_with_its_first_token_and_over_with_its_end() -> None:
    trouble = Trouble()
    stream = await Bench(probe=trouble, a=[ScriptedResponse(chunk("hi"), chunk("!"))]).open()
    assert trouble.said == ["began a:m", "answered"]
    await stream.next()
    stream.close()
    assert trouble.said[-1] == "over"


@pytest.mark.parametrize("how", ["answer", "open"])
@pytest.mark.parametrize("first", [fault(), failure(503), SILENCE, ScriptedResponse(SILENCE)])
@virtual_time
async def test_an_attempt_that_fails_is_over_and_was_not_answered(how: str, first: Any) -> None:
    trouble = Trouble()
    bench = Bench(probe=trouble, a=[anew(first)], well=[answer() if how == "answer" else tokens()])
    await getattr(bench, how)()
    assert trouble.said == ["began a:m", "over"]


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_so_is_one_whose_call_was_stopped_or_cancelled(how: str) -> None:
    trouble = Trouble()
    bench = Bench(probe=trouble, a=[SILENCE])
    at(1, bench.watch.stop, "client_left")
    await bench.interrupted(how)
    assert trouble.said == ["began a:m", "over"]
    cut = Bench(probe=trouble, a=[SILENCE])

    async def cancelled() -> None:
        cut.watch = type(cut.watch)(TIMEOUTS.total)
        await getattr(cut, how)()

    task = asyncio.ensure_future(cancelled())
    at(1, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert trouble.said[2:] == ["began a:m", "over"]


@virtual_time
async def test_who_was_not_asked_was_not_tried() -> None:
    trouble = Trouble()

    async def full(call: object, candidate: object) -> Any:
        raise fault("at_limit")

    gate = type("Full", (), {"enter": staticmethod(full)})()
    bench = Bench(probe=trouble, gate=lambda provider: gate, a=[])
    with pytest.raises(TollwayError):
        await bench.answer()
    assert trouble.said == []
