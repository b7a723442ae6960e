"""A reading knows when a stream is whole, and what it came to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.answer import RESPONSE_ID_CHARS_MAX, Reading, StreamEvent
from tollway.domain.usage import Generated

FIRST = b'data: {"id":"1"}\n\n'
TOKEN = StreamEvent(data=b"data: {}\n\n", tokens=True, text_bytes=3)
USAGE = StreamEvent(data=b"", usage=b'{"completion_tokens":1}', choices=False)


def finish(*indexes: int, usage: bytes | None = None) -> StreamEvent:
    return StreamEvent(data=b"data: {}\n\n", finished=tuple((index, "stop") for index in indexes), usage=usage)


def read(n: int, *events: StreamEvent) -> Reading:
    reading = Reading(n)
    for event in events:
        reading.note(event)
    return reading


def test_a_reading_of_nothing_is_not_whole() -> None:
    reading = read(1)
    assert (reading.whole, reading.settled, reading.first, reading.response_id) == (False, False, b"", None)
    assert reading.generated == Generated()


def test_it_is_whole_when_every_choice_has_finished() -> None:
    assert not read(2, TOKEN, finish(0)).whole
    assert read(2, TOKEN, finish(0), finish(1)).whole
    assert read(2, finish(1, 0)).whole


def test_a_choice_that_finishes_twice_stands_for_no_other() -> None:
    assert not read(2, finish(0), finish(0)).whole


@pytest.mark.parametrize("index", [-1, 2, 10**9])
def test_a_choice_that_nobody_asked_for_stands_for_no_other(index: int) -> None:
    reading = read(2, finish(0), finish(index))
    assert not reading.whole
    assert len(reading.finished) == 1


def test_finish_reasons_are_in_the_order_of_the_choices() -> None:
    reading = Reading(3)
    reading.note(StreamEvent(data=b"", finished=((2, "length"), (0, "stop"))))
    assert reading.finish_reasons == ("stop", None, "length")


def test_usage_settles_it_with_or_after_the_last_finish() -> None:
    assert read(1, finish(0), USAGE).settled
    assert read(1, finish(0, usage=b"{}")).settled
    assert read(1, USAGE, finish(0), USAGE).settled


def test_usage_before_the_last_finish_settles_nothing() -> None:
    assert not read(1, USAGE, finish(0)).settled
    assert not read(2, finish(0), USAGE).settled


def test_the_last_usage_counts() -> None:
    last = StreamEvent(data=b"", usage=b'{"completion_tokens":9}')
    assert read(1, USAGE, last, TOKEN).usage == last.usage


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 3), st.booleans())))
def test_what_was_generated_is_summed(events: list[tuple[int, int, bool]]) -> None:
    reading = read(
        1,
        *(
            StreamEvent(data=b"", text_bytes=size, other_parts=parts, reasoning=thinks)
            for size, parts, thinks in events
        ),
    )
    assert reading.generated == Generated(
        text_bytes=sum(size for size, _, _ in events), other_parts=sum(parts for _, parts, _ in events)
    )
    assert reading.reasoning == any(thinks for _, _, thinks in events)


def test_the_first_event_is_kept_for_its_id() -> None:
    reading = read(1, StreamEvent(data=FIRST, response_id="1"), StreamEvent(data=b"data: {}\n\n", response_id="2"))
    assert (reading.first, reading.response_id) == (FIRST.rstrip(), "1")


def test_of_events_that_came_together_only_the_first_is_kept() -> None:
    assert read(1, StreamEvent(data=FIRST * 1_000, response_id="1")).first == FIRST.rstrip()


def test_an_event_without_an_id_gives_way_to_the_first_that_has_one() -> None:
    nameless = [StreamEvent(data=b'data: {"id":""}\n\n', response_id=name) for name in ("", None)]
    assert read(1, *nameless).first == b'data: {"id":""}'
    reading = read(1, *nameless, StreamEvent(data=FIRST, response_id="1"), nameless[0])
    assert (reading.first, reading.response_id) == (FIRST.rstrip(), "1")


def test_an_id_is_kept_up_to_a_length() -> None:
    assert read(1, StreamEvent(data=FIRST, response_id="i" * 1_000_000)).response_id == "i" * RESPONSE_ID_CHARS_MAX


def test_an_event_of_nothing_but_usage_is_not_the_first() -> None:
    assert read(1, USAGE).first == b""
