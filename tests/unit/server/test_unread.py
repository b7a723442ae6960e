"""Who takes nothing of what was written for it is dropped; who takes it slowly is not."""

import asyncio
from typing import Any, cast

from tollway.server.unread import BYTES_PER_S_MIN, LOOKS, MARGIN_S, Unread

SLOW_READER_S = 8.0
LOOK_S = SLOW_READER_S / LOOKS
CUT_S = SLOW_READER_S + MARGIN_S
LARGE = 10_000_000


class FakeTransport:
    def __init__(self) -> None:
        self.size = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.size

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        self.aborted = True


class FakeReader:
    def __init__(self, size: int, *, settled: bool = True) -> None:
        self.fake = FakeTransport()
        self.transport = cast(asyncio.Transport, self.fake)
        self.fake.size = size
        self.settled = settled
        self.resumes = 0


def watched(reader: FakeReader, seconds: float, each: Any = lambda _: None) -> bool:
    """Look for so long, with `each` done to the reader between looks; whether it was dropped."""
    unread = Unread()
    for number in range(round(seconds / LOOK_S) + 1):
        unread.look([reader], number * LOOK_S, SLOW_READER_S)
        each(reader)
    return reader.fake.aborted


def test_who_takes_nothing_is_dropped_once_its_time_is_over() -> None:
    assert not watched(FakeReader(1), CUT_S - LOOK_S)
    assert watched(FakeReader(1), CUT_S)
    assert watched(FakeReader(LARGE), CUT_S)


def test_who_has_nothing_to_take_is_left_alone() -> None:
    assert not watched(FakeReader(0), 5 * CUT_S)


def test_an_answer_under_way_has_a_limit_of_its_own() -> None:
    assert not watched(FakeReader(LARGE, settled=False), 5 * CUT_S)


def test_a_slow_line_may_take_as_long_as_its_answer_needs() -> None:
    def takes(reader: FakeReader) -> None:
        reader.fake.size -= round(BYTES_PER_S_MIN * LOOK_S)

    assert not watched(FakeReader(LARGE), 3 * CUT_S, takes)


def test_a_drip_is_not_enough() -> None:
    def takes(reader: FakeReader) -> None:
        reader.fake.size -= 1

    assert watched(FakeReader(LARGE), CUT_S, takes)


def test_a_buffer_that_was_emptied_in_between_is_progress() -> None:
    def empties(reader: FakeReader) -> None:
        reader.resumes += 1

    assert not watched(FakeReader(LARGE), 5 * CUT_S, empties)


def test_another_answer_has_its_own_time() -> None:
    sizes = iter([10] * 9 + [20] * 100)

    def writes(reader: FakeReader) -> None:
        reader.fake.size = next(sizes)

    assert not watched(FakeReader(10), 9 * LOOK_S + CUT_S - LOOK_S, writes)


def test_looks_are_no_more_frequent_than_they_need_be() -> None:
    reader, unread = FakeReader(1), Unread()
    unread.look([reader], 0.0, SLOW_READER_S)
    reader.fake.size = 10
    unread.look([reader], LOOK_S / 2, SLOW_READER_S)  # sees nothing: the answer keeps the time it has
    reader.fake.size = 1
    unread.look([reader], CUT_S, SLOW_READER_S)
    assert reader.fake.aborted
