"""How a provider's stream is read: what is relayed, what is acted on, what ends it, however it comes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.answer import StreamEvent
from tollway.domain.errors import ProviderFault
from tollway.upstream.dialects.openai_openai import SOUNDING_MAX, TORN_BYTES_MAX, ChunkReader, OpenAIOpenAI
from tollway.upstream.endpoint import Endpoint
from tollway.wire import json
from tollway.wire.sse import EVENT_BYTES_MAX, SseDecoder

DONE = b"data: [DONE]\n\n"
USAGE = b'{"prompt_tokens":1,"completion_tokens":2}'


def chunk(delta: Any, *, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event({"id": "x-1", "object": "chat.completion.chunk", "choices": [choice], **more})


def event(value: Any) -> bytes:
    return b"data: " + json.encode(value) + b"\n\n"


def token(text: str = "a") -> bytes:
    return chunk({"content": text})


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, finish="stop")
USAGE_ONLY = b'data: {"id":"x-1","choices":[],"usage":' + USAGE + b"}\n\n"


def read(*reads: bytes) -> list[StreamEvent]:
    reader = ChunkReader()
    return [found for data in reads for found in reader.feed(data)]


def one(data: bytes) -> StreamEvent:
    (found,) = read(data)
    return found


def fault_of(*reads: bytes, end: bool = False) -> tuple[list[StreamEvent], ProviderFault]:
    """The events that came before the fault, and the fault."""
    reader, events = ChunkReader(), []
    try:
        for data in reads:
            events += reader.feed(data)
        events += reader.end() if end else reader.feed(b"")
    except ProviderFault as fault:
        return events, fault
    raise AssertionError("no fault")


# --- ordinary events


def test_an_ordinary_event_is_relayed_as_it_came() -> None:
    data = b'data: {"choices":[{"delta":{"content":"h\\u00e9"},"x":[ 1.0]}], "id":"x-1","usage":null}\n\n'
    assert read(data) == [StreamEvent(data=data, tokens=True, text_bytes=3, response_id="x-1")]


def test_ordinary_events_that_came_together_are_given_as_one() -> None:
    data = token("a") + token("é") + chunk({"reasoning_content": "bcd"}) + chunk({"refusal": "e"}, index=1)
    assert read(data) == [StreamEvent(data=data, tokens=True, text_bytes=7, reasoning=True, response_id="x-1")]


def test_ordinary_events_that_came_together_have_the_id_of_the_first_that_has_one() -> None:
    alone, other = token("a").replace(b'"x-1"', b"null"), token("a").replace(b"x-1", b"x-2")
    assert one(alone + token() + other).response_id == "x-1"
    assert [found.response_id for found in read(token() + ROLE + other)] == ["x-1", "x-1", "x-2"]


def test_one_event_alone_is_not_copied() -> None:
    data = token()
    assert one(data).data is data


@pytest.mark.parametrize(
    ("delta", "text_bytes", "parts", "reasoning"),
    [
        ({"content": "é"}, 2, 0, False),
        ({"reasoning_content": "abc", "content": None}, 3, 0, True),
        ({"reasoning": "abc", "content": ""}, 3, 0, True),
        ({"refusal": "no"}, 2, 0, False),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "fn", "arguments": ""}}]}, 2, 0, False),
        ({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}, 0, 0, False),
        ({"function_call": {"name": "fn"}}, 2, 0, False),
        ({"audio": {"id": "a", "data": "x"}}, 0, 1, False),
        ({"images": [{}, {}], "content": "a"}, 1, 2, False),
        ({"content": [{"type": "text", "text": "ab"}]}, 2, 0, False),
    ],
)
def test_what_counts_as_tokens(delta: dict[str, Any], text_bytes: int, parts: int, reasoning: bool) -> None:
    found = one(chunk(delta))
    assert found.tokens
    assert (found.text_bytes, found.other_parts, found.reasoning) == (text_bytes, parts, reasoning)
    assert found.data == chunk(delta)


@pytest.mark.parametrize(
    "data",
    [
        ROLE,
        chunk({"role": "assistant"}),
        chunk({}),
        chunk(None),
        chunk({"content": None}),
        chunk({"content": "", "tool_calls": [], "reasoning": ""}),
        chunk({"content": 7}),
        event({"choices": [{"index": 0}]}),
        event({"choices": None}),
        event({"choices": [7]}),
        event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
        event({"id": 7}),
        event({}),
        event({"error": None, "choices": []}),
        event({"a": 2**70}),
    ],
)
def test_an_event_without_tokens_is_relayed_alone(data: bytes) -> None:
    first, middle, last = read(token() + data + token())
    assert (middle.data, middle.tokens, middle.text_bytes, middle.finished) == (data, False, 0, ())
    assert middle.choices
    assert first.data == last.data == token()


def test_audio_is_one_part_a_choice_however_many_events_carry_it() -> None:
    audio = [chunk({"audio": {"data": "x"}}, index=index) for index in (0, 1, 0)]
    audio.append(chunk({"audio": {"transcript": "x"}}, finish="stop"))
    assert sum(found.other_parts for found in read(*audio)) == 2


def test_choices_that_nobody_asked_for_are_not_remembered_without_end() -> None:
    audio = [chunk({"audio": {"data": "x"}}, index=index) for index in range(SOUNDING_MAX + 50)]
    assert sum(found.other_parts for found in read(*audio)) == SOUNDING_MAX


def test_choices_of_one_event_are_counted_together() -> None:
    choices = [{"index": i, "delta": {"content": "é"}, "finish_reason": "stop" if i else None} for i in range(3)]
    found = one(event({"choices": choices}))
    assert (found.tokens, found.text_bytes, found.finished) == (True, 6, ((1, "stop"), (2, "stop")))


# --- events that are acted on


def test_an_event_with_a_finish_reason_comes_alone() -> None:
    first, stop, last = read(token() + STOP + token())
    assert (stop.data, stop.finished, stop.tokens) == (STOP, ((0, "stop"),), False)
    assert first.finished == last.finished == ()


def test_a_finish_reason_may_come_with_the_last_tokens() -> None:
    found = one(chunk({"content": "ab"}, index=3, finish="length"))
    assert (found.finished, found.tokens, found.text_bytes) == (((3, "length"),), True, 2)


def test_an_empty_finish_reason_is_none() -> None:
    assert one(chunk({"content": "ab"}, finish="")).finished == ()
    assert one(chunk({}, finish="")).finished == ()


def test_a_chunk_of_usage_alone_is_taken_out() -> None:
    assert one(USAGE_ONLY) == StreamEvent(data=b"", usage=USAGE, choices=False, response_id="x-1")
    assert one(USAGE_ONLY.replace(b"[]", b"null")).choices is False


@pytest.mark.parametrize("delta", [{}, {"content": "ab"}])
def test_usage_beside_choices_is_taken_out_and_the_rest_relayed(delta: dict[str, str]) -> None:
    data = chunk(delta, finish="stop")
    found = one(data[:-3] + b',"usage":' + USAGE + b"}\n\n")
    assert (found.data, found.usage, found.finished, found.choices) == (data, USAGE, ((0, "stop"),), True)


def test_cumulative_usage_is_given_each_time() -> None:
    data = b"".join(chunk({"content": "a"}, usage={"completion_tokens": n}) for n in (1, 2))
    assert [found.usage for found in read(data)] == [b'{"completion_tokens":1}', b'{"completion_tokens":2}']


@pytest.mark.parametrize("usage", [b"{}", b"0", b'"none"', b'{"cost":1e999}', b"[ 1]"])
def test_usage_of_any_kind_is_handed_on_raw(usage: bytes) -> None:
    assert one(b'data: {"choices":[],"usage":' + usage + b"}\n\n").usage == usage


def test_a_providers_own_tollway_member_is_removed() -> None:
    found = one(chunk({"content": "ab"}, tollway={"balance_usd": "1"}))
    assert (found.data, found.tokens, found.text_bytes) == (chunk({"content": "ab"}), True, 2)
    assert one(chunk({}, tollway=None)).data == chunk({})


def test_of_a_repeated_key_the_last_one_counts_as_it_does_for_clients() -> None:
    found = one(b'data: {"choices":[],"usage":null,"usage":' + USAGE + b"}\n\n")
    assert found.usage == USAGE


def test_done_ends_the_stream_and_what_follows_is_ignored() -> None:
    reader = ChunkReader()
    assert [found.data for found in reader.feed(token() + DONE + token() + b"data: {oops\n\n")] == [token()]
    assert reader.done
    assert reader.feed(b"data: {oops\n\n") == []
    assert reader.end() == []
    assert reader.fault is None


def test_done_is_done_whatever_is_too_large_after_it() -> None:
    reader = ChunkReader()
    assert reader.feed(DONE + b"data: " + b"x" * (EVENT_BYTES_MAX + 1)) == []
    assert (reader.done, reader.fault) == (True, None)


# --- oddities of the format


@pytest.mark.parametrize(
    ("stream", "relayed"),
    [
        pytest.param(b'data:{"choices":[]}\n\n', b'data: {"choices":[]}\n\n', id="no space"),
        pytest.param(b'data: {"choices":[]}\r\n\r\n', b'data: {"choices":[]}\n\n', id="CR LF"),
        pytest.param(b'data: {"choices":[]}\r\r', b'data: {"choices":[]}\n\n', id="CR"),
        pytest.param(b'data: {"choices":[]}\n\r\n', b'data: {"choices":[]}\n\n', id="mixed ends"),
        pytest.param(b'\xef\xbb\xbfdata: {"choices":[]}\n\n', b'data: {"choices":[]}\n\n', id="a BOM"),
        pytest.param(b': hi\n\ndata: {"choices":[]}\n\n', b'data: {"choices":[]}\n\n', id="a comment"),
        pytest.param(b'data: {"choices":[]}\n: hi\n\n', b'data: {"choices":[]}\n\n', id="a comment inside"),
        pytest.param(b'id: 1\nevent: x\nretry: 1\ndata: {"choices":[]}\n\n', b'data: {"choices":[]}\n\n', id="fields"),
        pytest.param(b'data: {"choices":[]}\nid: 1\n\n', b'data: {"choices":[]}\n\n', id="a field after"),
        pytest.param(b'data: {\ndata: "choices":\ndata: []}\n\n', b'data: { "choices": []}\n\n', id="several lines"),
        pytest.param(b"\n\n\ndata: {}\n\n\n\n", b"data: {}\n\n", id="blank lines"),
        pytest.param(b"data: hello\n\ndata: {}\n\ndata: [1]\n\n", b"data: {}\n\n", id="noise"),
        pytest.param(b"data: \n\ndata\n\ndata: {}\n\n", b"data: {}\n\n", id="empty events"),
        pytest.param(b"event: ping\n\n", b"", id="an event without data"),
    ],
)
def test_what_is_no_plain_line_is_written_anew_as_one(stream: bytes, relayed: bytes) -> None:
    for size in (1, 3, len(stream)):
        reads = (stream[i : i + size] for i in range(0, len(stream), size))
        assert b"".join(found.data for found in read(*reads)) == relayed


@pytest.mark.parametrize("done", [b"data:[DONE]\r\n\r\n", b"data: [DONE] \n\n", b"event: done\ndata: [DONE]\n\n"])
def test_done_in_other_spellings(done: bytes) -> None:
    reader = ChunkReader()
    assert reader.feed(done) == []
    assert reader.done


def test_plain_events_after_an_odd_one_are_relayed_as_they_came_again() -> None:
    reader = ChunkReader()
    reader.feed(b": keep-alive\n\n")
    data = token()
    assert reader.feed(data)[0].data is data


@pytest.mark.parametrize("size", [100, TORN_BYTES_MAX * 3])
def test_a_torn_event_is_relayed_whole(size: int) -> None:
    data = token("é" * size) + token("b")
    for place in (1, 5, 6, 7, 90, len(data) // 2, len(data) - 2, len(data) - 1):
        assert b"".join(found.data for found in read(data[:place], data[place:])) == data


def test_half_of_a_surrogate_pair_is_relayed_as_it_came() -> None:
    data = rb'data: {"choices":[{"delta":{"content":"\ud83d"}}]}' + b"\n\n"
    assert one(data) == StreamEvent(data=data, tokens=True, text_bytes=3)


def test_half_of_a_surrogate_pair_is_replaced_where_the_event_is_written_anew() -> None:
    data = rb'data: {"choices":[{"delta":{"content":"\ud83d"}}],"usage":{}}' + b"\n\n"
    found = one(data)
    assert (found.data, found.usage) == (data.replace(rb"\ud83d", rb"\ufffd").replace(b',"usage":{}', b""), b"{}")


# --- faults


@pytest.mark.parametrize(
    "damaged",
    [
        b'data: {"choices":[{"delta":{"content":"a\n\n',
        b'data: {"choices":[]}}\n\n',
        b'data: {"choices":[]} x\n\n',
        b"data: {\n\n",
        b'data:{"a":NaN}\n\n',
        b'data: {"a":"\xff"}\n\n',
        b'data: {"choices":[{"delta":{"content":"\xc3"}}]}\n\n',
        b'data: {"a":\r1}\n\n',
        b'data: {"a":\n1}\n\n',
        b'data: {"a":"\ndata: "}\n\n',
        b'data: {"a":' + b"[" * 5000 + b"]" * 5000 + b"}\n\n",
        b'data: {"id":7,"choices":[{"x":1e999}]}\n\n',
    ],
)
def test_a_damaged_event_may_have_carried_text_and_is_a_cut(damaged: bytes) -> None:
    events, fault = fault_of(damaged)
    assert (events, fault.outcome) == ([], "cut")
    for size in (1, 7):
        assert fault_of(*(damaged[i : i + size] for i in range(0, len(damaged), size)))[1].outcome == "cut"


@pytest.mark.parametrize("stream", [b"data: " + b"x" * EVENT_BYTES_MAX, b"data: {}\n\n: " + b"x" * EVENT_BYTES_MAX])
def test_an_event_that_is_too_large_is_a_cut(stream: bytes) -> None:
    _, fault = fault_of(stream)
    assert fault.outcome == "cut"


def test_events_before_a_fault_are_given_first_and_the_fault_is_known_at_once() -> None:
    for broken in (b"data: {oops\n\n", b"\r\ndata: {oops\n\n", b'data: {"error":{}}\n\n'):
        reader = ChunkReader()
        assert [found.data for found in reader.feed(token() + broken + token())] == [token()]
        assert reader.fault is not None
        for again in (lambda r=reader: r.feed(token()), reader.end):
            with pytest.raises(ProviderFault) as caught:
                again()
            assert caught.value is reader.fault


def test_an_event_too_large_after_others_is_known_at_once() -> None:
    reader = ChunkReader()
    (found,) = reader.feed(b"data:{}\n\ndata: " + b"x" * EVENT_BYTES_MAX)
    assert found.data == b"data: {}\n\n"
    assert reader.fault is not None
    assert reader.fault.outcome == "cut"


@pytest.mark.parametrize("odd", [b"data: ", b"data:", b"event: error\ndata: "])
def test_an_error_inside_the_stream_ends_it(odd: bytes) -> None:
    error = b'{"error":{"message":"overloaded at https://a.b","code":503},"choices":[{"delta":{"content":"a"}}]}\n\n'
    events, fault = fault_of(token() + odd + error)
    assert b"".join(found.data for found in events) == token()
    assert (fault.outcome, fault.status, fault.detail) == ("error_event", 503, "overloaded at [redacted]")


def test_an_error_event_does_not_tell_the_endpoints_key() -> None:
    endpoint = Endpoint(id="p", base_url="https://a.example/v1", api_key="my-own-odd-key")
    with pytest.raises(ProviderFault) as caught:
        OpenAIOpenAI(endpoint).stream().feed(event({"error": "bad my-own-odd-key"}))
    assert caught.value.detail == "bad [redacted]"


# --- the end of the body


@pytest.mark.parametrize(
    "stream", [b"", token(), token() + DONE, token() + b": hi", token() + b"id: 4\n", b"data: hel"]
)
def test_an_end_between_events_adds_nothing(stream: bytes) -> None:
    reader = ChunkReader()
    reader.feed(stream)
    assert reader.end() == []
    assert reader.end() == []


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("last", [token("ab"), STOP, token("a" * TORN_BYTES_MAX), b'data:{"choices":[]}\n\n'])
def test_a_last_event_that_only_lacks_its_line_ends_is_read(last: bytes, missing: int) -> None:
    reader = ChunkReader()
    assert len(reader.feed(token() + last[:-missing])) == 1
    assert b"".join(found.data for found in reader.end()) == b"data: " + last[5:].lstrip()


def test_a_done_that_only_lacks_its_line_ends_is_done() -> None:
    reader = ChunkReader()
    reader.feed(b"data: [DONE]")
    assert not reader.done
    assert reader.end() == []
    assert reader.done


def test_a_torn_last_event_is_a_cut() -> None:
    for length in range(len(b"data: {"), len(STOP) - 2):
        events, fault = fault_of(token() + STOP[:length], end=True)
        assert (len(events), fault.outcome) == (1, "cut")


def test_an_end_after_too_much_is_a_cut() -> None:
    reader = ChunkReader()
    reader.feed(b": " + b"x" * (EVENT_BYTES_MAX - 2))
    reader.feed(b"x" * 0)
    assert reader.end() == []
    _, fault = fault_of(b"data: {}\n\n: " + b"x" * EVENT_BYTES_MAX, end=True)
    assert fault.outcome == "cut"


# --- properties

TEXT = st.text(alphabet=st.sampled_from('aé😀\\"\n\r{}'), max_size=6)
PLAIN = st.one_of(
    st.builds(token, TEXT),
    st.builds(lambda text: chunk({"reasoning_content": text}, index=1), TEXT),
    st.just(ROLE),
    st.just(STOP),
    st.just(USAGE_ONLY),
    st.builds(lambda n: chunk({"content": "a"}, usage={"completion_tokens": n}), st.integers(0, 9)),
    st.just(event({"choices": [], "prompt_filter_results": []})),
    st.just(chunk({"content": "x" * (TORN_BYTES_MAX + 9)})),
    st.just(chunk({"content": [{"text": "a"}]}, tollway=1)),
)
ODD = st.one_of(
    PLAIN.map(lambda data: data.replace(b"\n", b"\r\n")),
    PLAIN.map(lambda data: data.replace(b"\n", b"\r")),
    PLAIN.map(lambda data: data.replace(b"data: ", b"data:")),
    PLAIN.map(lambda data: b"id: 1\nevent: x\n" + data),
    st.sampled_from(
        [b": hi\n\n", b"data: noise\n\n", b"\n", b"\xef\xbb\xbf", b"data: {oops\n\n", DONE, event({"error": "x"})]
    ),
    st.binary(max_size=8),
)


def cut_up(data: st.DataObject, stream: bytes) -> list[bytes]:
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


def summary(reads: list[bytes]) -> tuple[Any, ...]:
    reader = ChunkReader()
    events: list[StreamEvent] = []
    outcome: str | None = None
    try:
        for data in reads:
            events += reader.feed(data)
        events += reader.end()
    except ProviderFault as fault:
        outcome = fault.outcome
    return (
        b"".join(found.data for found in events),
        [found.usage for found in events if found.usage is not None],
        [found.finished for found in events if found.finished],
        sum(found.text_bytes for found in events),
        any(found.reasoning for found in events),
        reader.done,
        outcome,
    )


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(PLAIN, ODD), max_size=8).map(b"".join), st.data())
def test_where_a_stream_is_cut_into_reads_makes_no_difference(stream: bytes, data: st.DataObject) -> None:
    assert summary(cut_up(data, stream)) == summary([stream])


@given(st.lists(PLAIN, max_size=8), st.data())
def test_plain_events_are_relayed_byte_by_byte_but_for_usage_and_our_own_member(
    events: list[bytes], data: st.DataObject
) -> None:
    relayed, *_, outcome = summary(cut_up(data, b"".join(events)))
    expected = [one(found).data for found in events]
    assert outcome is None
    assert relayed == b"".join(expected)
    for came, left in zip(events, expected, strict=True):
        assert left == came or b'"usage"' in came or b'"tollway"' in came


@given(st.lists(st.one_of(PLAIN, ODD, st.binary()), max_size=6), st.data())
def test_whatever_comes_is_relayed_as_events_that_are_one_line_of_json_each(
    pieces: list[bytes], data: st.DataObject
) -> None:
    relayed, *_ = summary(cut_up(data, b"".join(pieces)))
    assert relayed == b"" or relayed.endswith(b"\n\n")
    for found in relayed.split(b"\n\n")[:-1]:
        assert found.count(b"\n") == found.count(b"\r") == 0
        assert isinstance(json.decode(found.removeprefix(b"data: ")), dict)
    assert len(SseDecoder().feed(relayed)) == relayed.count(b"\n\n")
