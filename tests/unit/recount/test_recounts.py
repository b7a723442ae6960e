"""What becomes of a call that is to be recounted when there is no room, no time, or no luck: it loses its count."""

import gc
import threading
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from helpers.ledgers import HandClock
from helpers.metered import call, candidate
from helpers.until import until
from tollway.domain.answer import Answer, Served
from tollway.domain.observer import NullObserver
from tollway.domain.recount import Recount, RecountOutcome
from tollway.domain.usage import Charge, Generated, Usage
from tollway.ledger.memory import MemoryLedger
from tollway.metering.recount import JUDGED_FROM
from tollway.recount import recounts
from tollway.recount.recounts import JOBS_MAX, STREAMS_MAX, Recounter, Recounts
from tollway.recount.tokenizer import Tokenizers
from tollway.wire import json

LIMIT_S = 10.0
GPT = candidate(provider="p", upstream="gpt-4o")
CHARGE = Charge(usage=Usage(prompt=9, completion=9), price=1, cost=1)


class Heard(NullObserver):
    def __init__(self) -> None:
        self.outcomes: list[RecountOutcome] = []
        self.alarms: list[str] = []

    def recounted(self, provider: str, outcome: RecountOutcome, recount: Recount | None) -> None:
        assert provider == "p"
        assert (recount is not None) == (outcome == "counted")
        self.outcomes.append(outcome)

    def alarm(self, what: str, detail: str) -> None:
        self.alarms.append(f"{what}: {detail}")


class Bench:
    """Recounts of all calls, by a tokenizer that a test holds up or breaks. A character is a token."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.heard = Heard()
        self.ledger = MemoryLedger(HandClock())
        self.recounter = Recounter(self.ledger, self.heard, Tokenizers(lambda name: self.count))
        self.recounts = Recounts(self.recounter, 10_000, 1_000, [GPT])

    def count(self, text: str) -> int:
        self.begun.set()
        assert self.go.wait(LIMIT_S)
        if self.error is not None:
            raise self.error
        return len(text)

    def take(self, answer: str = "four") -> None:
        self.recounts.take(whole(answer), CHARGE, None)

    def hold_up(self) -> None:
        """Let the worker begin with a call and not end it."""
        self.go.clear()
        self.begun.clear()
        self.take()
        assert self.begun.wait(LIMIT_S)


def whole(answer: str = "four") -> Served:
    fields = json.decode_fields(json.encode({"messages": [{"role": "user", "content": "Hi"}]}))
    choices = msgspec.Raw(json.encode([{"index": 0, "message": {"content": answer}}]))
    read = Answer(
        fields={"choices": choices}, response_id=None, usage=None, generated=Generated(), finish_reasons=("stop",)
    )
    return Served(call(fields=fields), GPT, read)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.go.set()
    await made.recounts.aclose()


def heard(bench: Bench, *outcomes: RecountOutcome) -> Callable[[], bool]:
    return lambda: bench.heard.outcomes == list(outcomes)


async def test_a_call_too_many_is_dropped_and_counted_as_that(bench: Bench) -> None:
    bench.hold_up()
    for _ in range(JOBS_MAX + 2):
        bench.take()
    assert bench.heard.outcomes == ["queue_full"] * 2
    bench.go.set()
    await until(heard(bench, "queue_full", "queue_full", *["counted"] * (JOBS_MAX + 1)))


async def test_a_count_that_fails_is_said_and_the_next_one_is_made(bench: Bench) -> None:
    bench.error = RuntimeError("no")
    bench.take()
    await until(heard(bench, "failed"))
    bench.error = None
    bench.take()
    await until(heard(bench, "failed", "counted"))


async def test_our_count_is_what_is_charged_by_only_when_it_comes_in_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = await bench.recounts.in_time(whole())
    assert counted is not None
    assert (counted.prompt, counted.completion) == (len("userHi"), 4)
    monkeypatch.setattr(recounts, "IN_TIME_S", 0.01)
    bench.hold_up()
    assert await bench.recounts.in_time(whole()) is None


async def test_so_many_streams_are_kept_at_once_and_no_more(bench: Bench) -> None:
    kept = [bench.recounts.keep(call(id=str(number)), GPT) for number in range(STREAMS_MAX)]
    assert None not in kept
    assert bench.recounts.keep(call(), GPT) is None
    kept.pop()
    gc.collect()
    assert bench.recounts.keep(call(), GPT) is not None


async def test_a_stream_is_not_kept_that_nobody_could_count(bench: Bench) -> None:
    unknown = candidate(provider="p", model="other", upstream="who-knows")
    assert bench.recounts.keep(call(), unknown) is None
    assert Recounts(bench.recounter, 10_000, 1_000, [GPT, unknown]).keep(call(), unknown) is None
    assert Recounts(bench.recounter, 0, 1_000, [GPT]).keep(call(), GPT) is None


async def test_a_deviation_is_said_with_its_size_and_side(bench: Bench) -> None:
    over = msgspec.structs.replace(CHARGE, usage=Usage(prompt=6, completion=34))
    for _ in range(JUDGED_FROM):
        bench.recounts.take(whole("x" * 10), over, None)
    await until(lambda: bench.heard.alarms)
    assert bench.heard.alarms == [
        "usage_deviates: p: its newest calls have +200.0 % completion tokens against our own count"
    ]


async def test_what_is_not_counted_when_the_router_stops_is_given_up(bench: Bench) -> None:
    bench.hold_up()
    bench.take()
    bench.go.set()
    await bench.recounts.aclose()
    bench.take()
    assert bench.heard.outcomes[-1] == "queue_full"


async def test_books_that_can_not_be_written_lose_a_recount_and_nothing_else(bench: Bench) -> None:
    await bench.ledger.aclose()
    bench.take()
    bench.take()
    await until(heard(bench, "counted", "counted"))
