"""Pace without a clock: the script of an answer says when it would wait, the ticker wakes who is due."""

import asyncio
from collections.abc import Callable

import pytest

from helpers.simulated import ask, chat_body
from tollway.simulator import Scenario, Simulator, expected_text
from tollway.simulator.http import HttpMessage
from tollway.simulator.log import Log
from tollway.simulator.script import Halt, Step
from tollway.simulator.service import Service
from tollway.simulator.ticker import Ticker


def steps(spec: str, *, stream: bool = True, **fields: object) -> list[Step]:
    service = Service(Scenario(), Log(), knobs=True, nonce="0")
    message = HttpMessage()
    message.method, message.target = b"POST", b"/v1/chat/completions"
    message.body = chat_body(f"sim?{spec}", stream=stream, **fields)
    return list(service.begin(message)[1])


def shape(spec: str, **fields: object) -> list[object]:
    """Pauses as seconds, H for a head, an event as the first letter of what it is."""
    names = {b"HTTP/1.1": "head", b'"role"': "role", b'"content"': "token", b"[DONE]": "done", b'"usage"': "usage"}
    names |= {b'"finish_reason":"': "finish", b"0\r\n\r\n": "end"}
    found: list[object] = []
    for step in steps(spec, **fields):
        if isinstance(step, bytes):
            order = (b"HTTP/1.1", b"[DONE]", b'"usage"', b'"finish_reason":"', b'"role"', b'"content"', b"0\r\n\r\n")
            found.append(next(names[mark] for mark in order if mark in step))
        else:
            found.append(step)
    return found


def test_an_unpaced_stream_never_waits() -> None:
    assert shape("n=2") == ["head", "role", "token", "token", "finish", "done", "end", Halt.KEEP]


def test_delay_comes_before_the_head() -> None:
    assert shape("n=1&delay=2s")[:3] == [2.0, "head", "role"]
    assert steps("delay=2s", stream=False)[0] == 2.0
    assert shape("status=503&delay=2s") == [2.0, "head", Halt.KEEP]


def test_first_comes_after_the_role_chunk_and_before_the_first_token() -> None:
    assert shape("n=2&first=3s")[:5] == ["head", "role", 3.0, "token", "token"]
    assert shape("n=1&first=3s&role_chunk=off")[:3] == ["head", 3.0, "role"]


def test_gap_lies_between_tokens_and_before_the_finish() -> None:
    expected = ["head", "role", "token", 1.0, "token", 1.0, "finish", "usage", "done", "end", Halt.KEEP]
    assert shape("n=2&gap=1s&usage=final") == expected
    assert shape("n=2&gap=1s&usage=final&bom=on")[:6] == ["head", "role", "token", 1.0, "token", 1.0]


def test_rate_is_a_gap_and_an_explicit_gap_wins() -> None:
    assert shape("n=2&rate=50")[3:5] == [0.02, "token"]
    assert shape("n=2&rate=50&gap=1s")[3:5] == [1.0, "token"]


def test_choices_advance_together() -> None:
    expected = ["head", "role", "role", "token", "token", 1.0, "token", "token", 1.0, "finish", "finish"]
    assert shape("n=2&gap=1s", n=2)[:11] == expected


def test_a_burst_waits_once_and_keeps_the_rate() -> None:
    paced = [step for step in shape("n=12&rate=10&burst=4&first=1s") if isinstance(step, float)]
    assert paced == [1.0, *[pytest.approx(0.4)] * 3]


def test_first_holds_with_bursts_too() -> None:
    assert shape("n=3&first=1s&burst=4")[:4] == ["head", "role", 1.0, "finish"]


def test_a_split_event_yields_to_the_loop_between_its_pieces() -> None:
    found = steps("n=1&split=100")
    assert 0.0 in found
    assert all(len(step) < 115 for step in found[1:] if isinstance(step, bytes))


def test_batch_answers_only_know_delay() -> None:
    assert not any(isinstance(step, float) for step in steps("first=1s&gap=1s", stream=False))


async def test_a_paced_stream_arrives_whole(sim: Simulator) -> None:
    for spec in ("n=20&delay=1ms&first=2ms&gap=500us", "n=50&rate=5000&crlf=on"):
        reply = await ask(sim, spec, stream=True)
        assert reply.complete
        assert reply.text() == expected_text(50 if "rate" in spec else 20)


async def test_a_client_that_leaves_a_paced_stream_ends_it(sim: Simulator) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    body = chat_body("sim?first=1h", stream=True)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await sim.seen(1)
    writer.close()
    await sim.idle()
    assert (sim.log[-1].ended, sim.log[-1].status, sim.log[-1].completion_tokens) == ("client_closed", 200, 0)


class StillLoop:
    """A loop whose time stands until the test moves it; call_at is all a ticker asks of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> "StillTimer":
        self.timers.append((when, call))
        return StillTimer(self, (when, call))

    def run_until(self, now: float) -> None:
        while due := sorted((timer for timer in self.timers if timer[0] <= now), key=lambda timer: timer[0]):
            self.timers.remove(due[0])
            self.now = due[0][0]
            due[0][1]()
        self.now = now


class StillTimer:
    def __init__(self, loop: StillLoop, timer: tuple[float, Callable[[], None]]) -> None:
        self._loop = loop
        self._timer = timer

    def cancel(self) -> None:
        if self._timer in self._loop.timers:
            self._loop.timers.remove(self._timer)


def still_ticker() -> tuple[StillLoop, Ticker]:
    loop = StillLoop()
    return loop, Ticker(loop)  # type: ignore[arg-type]


def test_the_ticker_wakes_in_order_and_never_early() -> None:
    loop, ticker = still_ticker()
    woken: list[tuple[str, float]] = []
    for name, when in (("late", 0.5), ("early", 0.01), ("same", 0.01)):
        ticker.at(when, lambda name=name: woken.append((name, loop.now)))
    loop.run_until(0.0099)
    assert woken == []
    loop.run_until(1.0)
    assert [name for name, _ in woken] == ["early", "same", "late"]
    assert all(0 < at - due <= 0.00101 for (_, at), due in zip(woken, (0.01, 0.01, 0.5), strict=True))


def test_a_thousand_waits_in_one_millisecond_share_one_timer() -> None:
    loop, ticker = still_ticker()
    for _ in range(1000):
        ticker.at(0.0205, lambda: None)
    assert len(loop.timers) == 1


def test_a_wake_may_ask_to_be_woken_again() -> None:
    loop, ticker = still_ticker()
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        ticker.at(loop.now + 0.1, again)

    ticker.at(0.1, again)
    loop.run_until(1.05)
    assert count in (9, 10)


def test_a_stopped_ticker_wakes_nobody() -> None:
    loop, ticker = still_ticker()
    ticker.at(0.1, lambda: pytest.fail("woken"))
    ticker.stop()
    ticker.stop()
    loop.run_until(1.0)
    assert loop.timers == []
