"""The text of an answer that was kept, for counting its tokens."""

from typing import Any

from tollway.domain.answer import Reading, Transcript
from tollway.domain.recount import Text
from tollway.upstream.dialects.openai_openai import ChunkReader
from tollway.upstream.texts import answer_text, stream_text
from tollway.wire import json


def batch(*messages: dict[str, Any]) -> Text:
    choices = [{"index": index, "message": message} for index, message in enumerate(messages)]
    return answer_text(json.decode_fields(json.encode({"id": "x", "choices": choices})))


def events(*deltas: dict[str, Any], index: int = 0) -> list[bytes]:
    chunks = [{"id": "x", "choices": [{"index": index, "delta": delta}]} for delta in deltas]
    return [b"data: " + json.encode(chunk) + b"\n\n" for chunk in chunks]


def test_a_whole_answer_is_the_text_of_its_choices() -> None:
    found = batch({"role": "assistant", "content": "Hé 水"}, {"content": "b", "refusal": "no"})
    assert found == Text(("Hé 水", "b", "no"), plain=True)


def test_the_pieces_of_a_stream_are_joined_since_a_token_may_span_two_events() -> None:
    first = events({"role": "assistant"}, {"content": "riv"}, {"content": "er"})
    second = events({"content": "b"}, index=1)
    assert stream_text([first[0] + first[1], *second, first[2]]) == Text(("river", "b"), plain=True)


def test_reasoning_stands_apart_under_either_name_and_once_where_both_are_sent() -> None:
    found = stream_text(events({"reasoning": "a", "reasoning_content": "a"}, {"reasoning": "b"}, {"content": "c"}))
    assert found == Text(("c",), reasoning=("ab",), plain=True)


def test_calls_of_tools_are_text_that_is_not_compared() -> None:
    tools = [{"function": {"name": "f", "arguments": "{}"}}, {"custom": {"name": "g", "input": "x"}}]
    found = batch({"content": None, "tool_calls": tools, "function_call": {"name": "h", "arguments": "[]"}})
    assert found == Text(("h[]f{}gx",), plain=False)


def test_pictures_and_audio_are_no_text() -> None:
    assert not batch({"content": "a", "audio": {"id": "x"}}).plain
    assert not stream_text(events({"content": "a", "images": [{"type": "image_url"}]})).plain


def test_a_stream_is_kept_as_it_was_read_however_it_was_cut() -> None:
    whole = b": comment\n\n" + b"".join(events({"content": "rivers "}, {"content": "水 run"})) + b"data: [DONE]\n\n"
    for size in (1, 7, len(whole)):
        reader, kept = ChunkReader(), Transcript(10_000)
        reading = Reading(1, kept)
        for start in range(0, len(whole), size):
            for event in reader.feed(whole[start : start + size]):
                reading.note(event)
        assert kept.events is not None
        assert stream_text(kept.events) == Text(("rivers 水 run",), plain=True)


def test_a_stream_over_its_limit_is_not_kept_at_all() -> None:
    kept = Transcript(10)
    kept.add(b"a" * 10)
    assert kept.events == [b"a" * 10]
    kept.add(b"b")
    kept.add(b"c")
    assert kept.events is None
