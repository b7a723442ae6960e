"""The event stream codec: every legal spelling of an event, and every way to cut it into reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire.sse import EVENT_BYTES_MAX, EventTooLarge, SseDecoder, encode_event


def decode(*reads: bytes) -> list[bytes]:
    decoder = SseDecoder()
    return [payload for read in reads for payload in decoder.feed(read)]


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        pytest.param(b"data: a\n\n", [b"a"], id="an event is its data"),
        pytest.param(b"data:a\n\n", [b"a"], id="the space after the colon is optional"),
        pytest.param(b"data:  a\n\n", [b" a"], id="only one space is dropped"),
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="several events in one read"),
        pytest.param(b"data: a\r\n\r\n", [b"a"], id="CR LF ends a line"),
        pytest.param(b"data: a\r\r", [b"a"], id="CR ends a line"),
        pytest.param(b"data: a\n\r\ndata: b\r\r\n", [b"a", b"b"], id="line ends may be mixed"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="a BOM at the start is dropped"),
        pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"], id="a BOM later is part of a field's name"),
        pytest.param(b": note\n\n:\n\ndata: a\n: note\n\n", [b"a"], id="comments are dropped"),
        pytest.param(b"id: 1\nevent: x\nretry: 5\ndata: a\n\n", [b"a"], id="other fields are dropped, data kept"),
        pytest.param(b"event: x\n\ndata: a\n\n", [b"a"], id="an event without data is none"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="data lines are joined"),
        pytest.param(b"data\n\n", [b""], id="a field without a colon is empty"),
        pytest.param(b"data\ndata:\n\n", [b"\n"], id="empty data lines count"),
        pytest.param(b"dat: a\ndatas: b\n\n", [], id="a field's name is compared whole"),
        pytest.param(b"\n\n\n\ndata: a\n\n\n\n", [b"a"], id="more blank lines mean nothing"),
        pytest.param(b"data: a\n", [], id="an event lasts until its blank line"),
        pytest.param("data: „é😀“\n\n".encode(), ["„é😀“".encode()], id="payloads are bytes as they came"),
        pytest.param(
            b"data: a\x85b\x0bc\x1cd\xe2\x80\xa8e\n\n", [b"a\x85b\x0bc\x1cd\xe2\x80\xa8e"], id="no other line ends"
        ),
        pytest.param(b"", [], id="nothing gives nothing"),
    ],
)
def test_legal_streams(stream: bytes, payloads: list[bytes]) -> None:
    assert decode(stream) == payloads
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == payloads


def test_an_event_that_ends_with_cr_is_given_at_once_and_the_lf_after_it_ends_nothing() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [b"a"]
    assert not decoder.idle
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: b\r") == []
    assert decoder.feed(b"\n\r\n") == [b"b"]
    assert decoder.idle


def test_a_decoder_is_idle_only_between_events() -> None:
    decoder = SseDecoder()
    for data, idle in [(b"da", False), (b"ta: a\n", False), (b"\n", True), (b": c\n", True), (b"\xef", False)]:
        decoder.feed(data)
        assert decoder.idle is idle


@pytest.mark.parametrize(
    ("stream", "left"),
    [
        (b"", None),
        (b"data: a\n\n", None),
        (b"data: a\n", b"a"),
        (b"data: a", b"a"),
        (b"data: a\ndata: b", b"a\nb"),
        (b"data: a\n\nid: 4\n: note", None),
        (b"\xef\xbb", None),
        (b"da", None),
    ],
)
def test_the_end_gives_the_event_that_was_left_open(stream: bytes, left: bytes | None) -> None:
    decoder = SseDecoder()
    decoder.feed(stream)
    assert decoder.end() == left
    assert decoder.end() is None


# --- limits


def test_an_event_up_to_the_limit_is_read_and_one_byte_more_is_refused() -> None:
    payload = b"x" * (EVENT_BYTES_MAX - len(b"data: "))
    assert decode(encode_event(payload)) == [payload]
    with pytest.raises(EventTooLarge, match="1048576"):
        decode(encode_event(payload + b"x"))


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 100, b":" + b"x" * 100, b"data: 1234567\n" * 5])
def test_a_line_or_an_event_that_never_ends_is_refused(stream: bytes) -> None:
    for size in (1, 7, len(stream)):
        decoder = SseDecoder(event_bytes_max=32)
        with pytest.raises(EventTooLarge):
            for i in range(0, len(stream), size):
                decoder.feed(stream[i : i + size])


def test_many_small_events_and_comments_are_under_the_limit_together() -> None:
    decoder = SseDecoder(event_bytes_max=32)
    assert len(decoder.feed(b"data: 1234567\n\n: comment\n" * 100)) == 100


def test_events_before_one_that_is_too_large_are_given_first() -> None:
    decoder = SseDecoder(event_bytes_max=32)
    assert decoder.feed(b"data: a\n\ndata: " + b"x" * 100) == [b"a"]
    with pytest.raises(EventTooLarge):
        decoder.feed(b"data: b\n\n")
    with pytest.raises(EventTooLarge):
        decoder.end()


# --- properties

LINES = st.lists(
    st.sampled_from([b"data: a", b"data:", b": c", b"id: 1", b"", b"", b"x", b"data: \xc3\xa9", b"\xef\xbb\xbf"])
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.one_of(st.binary(), st.builds(lambda lines, end: end.join(lines) + end, LINES, ENDS)), st.data())
def test_where_a_stream_is_cut_into_reads_makes_no_difference(stream: bytes, data: st.DataObject) -> None:
    whole, cut = SseDecoder(), SseDecoder()
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    reads = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]

    assert [payload for read in reads for payload in cut.feed(read)] == whole.feed(stream)
    assert cut.end() == whole.end()


@given(st.lists(st.binary().map(lambda b: b.replace(b"\r", b""))))
def test_what_is_encoded_is_decoded(payloads: list[bytes]) -> None:
    assert decode(b"".join(map(encode_event, payloads))) == payloads


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (b"{}", b"data: {}\n\n"),
        (b"", b"data: \n\n"),
        (b"a\nb\r\nc\rd", b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
    ],
)
def test_a_payload_is_encoded_as_one_event(payload: bytes, event: bytes) -> None:
    assert encode_event(payload) == event
