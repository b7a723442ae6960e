"""An event that differs from the last one in its text alone is known by what stands around it, and no other is taken
for one: whoever goes by that reads the same of a stream as whoever decodes all of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.answer import StreamEvent
from tollway.domain.errors import ProviderFault
from tollway.upstream.dialects.openai_openai import VAIN_MAX, ChunkReader
from tollway.wire import json


def event(value: Any) -> bytes:
    return b"data: " + json.encode(value) + b"\n\n"


def chunk(delta: Any, *, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event({"id": "x-1", "object": "chat.completion.chunk", "choices": [choice], **more})


def token(text: str = "a") -> bytes:
    return chunk({"content": text})


def behind(*reads: bytes) -> ChunkReader:
    """A reader that has been fed those."""
    reader = ChunkReader()
    for data in reads:
        reader.feed(data)
    return reader


def test_an_event_that_differs_in_its_text_alone_is_known_with_the_size_of_its_text() -> None:
    reader = behind(token("one"))
    assert [reader.text_bytes_of(token(text)) for text in ("two", "longer than it", "é😀", " ")] == [3, 14, 6, 1]
    assert reader.text_bytes_of(token("two")) == 3  # it reads nothing, and may be asked again
    assert [found.text_bytes for found in reader.feed(token("two"))] == [3]


def test_events_that_came_together_are_known_as_well() -> None:
    assert behind(token("a")).text_bytes_of(token("one") + token("é") + token("two")) == 8


@pytest.mark.parametrize(
    "data",
    [
        token(""),
        token('"'),
        token("\\"),
        token("\n"),
        token("é").replace("é".encode(), b"\xe9"),  # no UTF-8
        token("é").replace("é".encode(), b"\xed\xa0\x80"),  # half of a surrogate pair
        token("a\x1fb").replace(b"\\u001f", b"\x1f"),
        token("b").replace(b'"b"', b'"b\nc"'),
        token("b").replace(b'"b"', b'"b\r"'),
        token("b").replace(b'"b"', b'b"'),
        token("b").replace(b'"b"', b'"'),
        token("b").replace(b'"b"', b"null"),
        token("b").replace(b'"b"', b'"b","tool_calls":[{"function":{"name":"f"}}],"x":"y"'),
        token("b").replace(b'"b"', b'"b"},"finish_reason":"stop","delta":{"content":"c"'),
        token("b") + token("c")[:-1],
        token("b") + token(""),
        token("b") + chunk({"content": "c"}, finish="stop"),
        token("b") + b"data: [DONE]\n\n",
        token("b") + b": comment\n\n",
        token("b")[:-1],
        token("b")[:-2],
        token("b") + b"\n",
        token("b").replace(b"\n", b"\r\n"),
        token("b").replace(b"x-1", b"x-2"),
        chunk({"content": "b"}, finish="stop"),
        chunk({"content": "b", "reasoning_content": "c"}),
        chunk({"content": "b"}, usage={"completion_tokens": 1}),
        chunk({"content": "b"}, error={"message": "b"}),
        chunk({"content": "b"}, tollway=1),
        event({"error": {"message": "b"}}),
        b"data: [DONE]\n\n",
        b": comment\n\n",
        b"",
    ],
)
def test_no_other_event_is_taken_for_one(data: bytes) -> None:
    assert behind(token("a")).text_bytes_of(data) == 0


@pytest.mark.parametrize(
    "before",
    [
        (),
        (token("a")[:-1],),
        (token("a"), token("a")[:9]),
        (token("a"), b": comment"),
        (token("a"), b"data: [DONE]\n\n"),
        (token("a"), chunk({}, finish="stop")),
        (token("a") + chunk({"content": "a"}, finish="stop"),),
        (token("a") + chunk({"content": "a", "refusal": "b"}),),
        (token("a") + b"id: 1\n",),
        (chunk({"content": "a", "refusal": "b"}),),
        (chunk({"role": "a", "content": "?"}).replace(b"?", b"\\u0061"),),
        (chunk({"content": "a"}, x="a"),),
        (chunk({"role": "a", "content": "a"}),),
        (chunk({"content": "a"}, a=1),),
        (chunk({"content": ","}).replace(b'"delta"', b'"x":["y",","],"delta"'),),  # its quotes and those between two
        (chunk({"content": "a"}, x="é\n"),),
        (b'data: {"choices":[{"delta":{"content":"b","content":"a"}}]}\n\n'.replace(b'"b"', b'"a"'),),
    ],
)
def test_nothing_is_known_where_no_event_may_begin_or_it_is_not_plain_which_string_is_the_text(
    before: tuple[bytes, ...],
) -> None:
    last = b"data: " + before[-1].split(b"data: ")[-1] if before else token("a")
    reader = behind(*before)
    for text in (b"a", b",", b"xyz"):
        assert reader.text_bytes_of(last.replace(b'"a"', b'"' + text + b'"')) == 0
        assert reader.text_bytes_of(last.replace(b'"a"', b'"' + text + b'"', 1)) == 0
        assert reader.text_bytes_of(token(text.decode())) == 0


def test_nothing_is_known_behind_a_fault() -> None:
    reader = behind(token("a"))
    assert reader.feed(token("b") + b"data: {oops\n\n") and reader.fault is not None
    assert reader.text_bytes_of(token("c")) == 0


def test_where_no_two_events_are_alike_it_is_not_looked_for_any_more_until_two_are() -> None:
    def padded(at: int) -> bytes:
        return chunk({"content": "a"}, obfuscation="x" * at)

    reader = behind(*(padded(at) for at in range(VAIN_MAX - 1)), padded(50))
    assert reader.text_bytes_of(padded(50)) == 1  # the last that is looked at, and it was not in vain
    reader = behind(*(padded(at) for at in range(VAIN_MAX)), padded(50))
    assert reader.text_bytes_of(padded(50)) == 0


# --- against decoding everything

TEXT = st.text(alphabet=st.sampled_from('aé😀\\"\n,:{}'), max_size=5)
EVENT = st.one_of(
    st.builds(token, TEXT),
    st.builds(token, TEXT),
    st.builds(lambda text, more: chunk({"content": text}, x=more), TEXT, TEXT),
    st.builds(lambda text: chunk({"role": text, "content": text}), TEXT),
    st.builds(lambda text: chunk({"reasoning_content": text, "content": "a"}), TEXT),
    st.builds(lambda text: chunk({"content": text}, finish="stop"), TEXT),
    st.builds(lambda text: chunk({"content": text}, usage={"completion_tokens": 1}), TEXT),
    st.builds(lambda text: event({"choices": [{"delta": {"content": text}}, {"delta": {"content": "a"}}]}), TEXT),
    st.builds(lambda text: token("a").replace(b'"a"', b'"' + text.encode() + b'"'), TEXT),
    st.builds(lambda data: token("a").replace(b'"a"', b'"' + data + b'"'), st.binary(max_size=4)),
    st.builds(lambda text: token("a").replace(b'"content":', b'"content":' + json.encode(text) + b',"content":'), TEXT),
    st.sampled_from([b"data: [DONE]\n\n", b": hi\n\n", event({"error": "x"}), token("a")[:20], token("a")[20:]]),
)


def summary(reads: list[bytes], *, by_likeness: bool) -> tuple[Any, ...]:
    reader = ChunkReader()
    events: list[StreamEvent] = []
    outcome: str | None = None
    try:
        for data in reads:
            if by_likeness and (text_bytes := reader.text_bytes_of(data)):
                events.append(StreamEvent(data=data, tokens=True, text_bytes=text_bytes))
            else:
                events += reader.feed(data)
        events += reader.end()
    except ProviderFault as fault:
        outcome = fault.outcome
    return (
        [(found.tokens, found.finished, found.usage) for found in events if not found.tokens],
        b"".join(found.data for found in events),
        sum(found.text_bytes for found in events),
        any(found.reasoning for found in events),
        reader.done,
        outcome,
    )


@settings(max_examples=600, deadline=None)
@given(st.lists(st.lists(EVENT, min_size=1, max_size=3).map(b"".join), max_size=12))
def test_whoever_goes_by_likeness_reads_what_whoever_decodes_everything_reads(reads: list[bytes]) -> None:
    assert summary(reads, by_likeness=True) == summary(reads, by_likeness=False)
