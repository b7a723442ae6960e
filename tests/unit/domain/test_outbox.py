"""When small writes are made, in which order, and what becomes of those to somebody who is gone."""

import asyncio
import logging

import pytest

from tollway.domain.outbox import HELD_MAX, SMALL_BYTES_MAX, Outbox

Written = list[tuple[str, bytes]]


class Wire(asyncio.WriteTransport):
    """Writes to one log that all share."""

    def __init__(self, name: str, written: Written, error: Exception | None = None) -> None:
        super().__init__()
        self.name = name
        self.written = written
        self.error = error
        self.aborted = False

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.aborted, "nothing is written to a transport that closes"
        if self.error is not None:
            raise self.error
        self.written.append((self.name, bytes(data)))


async def test_small_writes_are_made_at_the_end_of_the_round_in_their_order() -> None:
    outbox, written = Outbox(asyncio.get_running_loop()), Written()
    one, two = Wire("one", written), Wire("two", written)
    for turn in (b"1", b"2"):  # the second round's, as the first's
        outbox.write(one, b"a" + turn)
        outbox.write(two, b"b" + turn)
        outbox.write(one, b"c" + turn)
        assert not written
        await asyncio.sleep(0)
        assert written == [("one", b"a" + turn), ("two", b"b" + turn), ("one", b"c" + turn)]
        written.clear()


async def test_no_more_wait_than_are_to_be_held() -> None:
    outbox, written = Outbox(asyncio.get_running_loop()), Written()
    wire = Wire("one", written)
    for _ in range(HELD_MAX - 1):
        outbox.write(wire, b"x")
    assert not written
    outbox.write(wire, b"y")
    assert written == [("one", b"x")] * (HELD_MAX - 1) + [("one", b"y")]
    outbox.write(wire, b"z")
    await asyncio.sleep(0)
    assert written[HELD_MAX:] == [("one", b"z")]


async def test_a_large_write_is_made_at_once_and_overtakes_nothing() -> None:
    outbox, written = Outbox(asyncio.get_running_loop()), Written()
    wire, large = Wire("one", written), bytes(SMALL_BYTES_MAX + 1)
    outbox.write(wire, b"x")
    outbox.write(wire, large)
    assert written == [("one", b"x"), ("one", large)]


async def test_a_round_is_over_when_what_it_held_is_written() -> None:
    outbox, written = Outbox(asyncio.get_running_loop()), Written()
    before = outbox.round
    outbox.write(Wire("one", written), b"x")
    assert outbox.round == before
    outbox.release()
    assert outbox.round != before and written == [("one", b"x")]
    await asyncio.sleep(0)
    assert written == [("one", b"x")]


async def test_what_was_meant_for_somebody_who_is_gone_is_dropped() -> None:
    outbox, written = Outbox(asyncio.get_running_loop()), Written()
    gone, there = Wire("gone", written), Wire("there", written)
    outbox.write(gone, b"x")
    outbox.write(there, b"y")
    gone.abort()
    await asyncio.sleep(0)
    assert written == [("there", b"y")]


async def test_a_write_that_fails_ends_its_connection_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    outbox, written = Outbox(asyncio.get_running_loop()), Written()
    broken, there = Wire("broken", written, RuntimeError("the handle is closed")), Wire("there", written)
    outbox.write(broken, b"x")
    outbox.write(there, b"y")
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(0)
    assert written == [("there", b"y")] and broken.aborted
    assert "the handle is closed" in caplog.text
