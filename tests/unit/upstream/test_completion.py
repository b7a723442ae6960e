"""What of an answer is generated text, whatever shape a provider gives it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tollway.upstream.completion import NODES_MAX, Damaged, Said, read_completion, read_whole, utf8_size
from tollway.wire import json


def said(delta: Any) -> Said:
    completion, _ = read_completion(json.encode({"choices": [{"index": 0, "delta": delta}]}))
    assert completion.choices is not None
    found = completion.choices[0].delta
    assert found is not None
    return found


TOOL = {"index": 0, "id": "c", "type": "function", "function": {"name": "fn", "arguments": '{"é":1}'}}


@pytest.mark.parametrize(
    ("delta", "text_bytes"),
    [
        ({}, 0),
        ({"role": "assistant"}, 0),
        ({"content": ""}, 0),
        ({"content": None}, 0),
        ({"content": "abc"}, 3),
        ({"content": "é😀"}, 6),
        ({"reasoning_content": "abc"}, 3),
        ({"reasoning": "abcd"}, 4),
        ({"reasoning_content": "abc", "reasoning": "abc"}, 3),
        ({"refusal": "no"}, 2),
        ({"content": "a", "reasoning": "b", "refusal": "c"}, 3),
        ({"tool_calls": [TOOL, TOOL]}, 20),
        ({"tool_calls": [{"index": 0, "custom": {"name": "fn", "input": "abc"}}]}, 5),
        ({"tool_calls": [{"index": 0}]}, 0),
        ({"tool_calls": [{"function": {"name": None, "arguments": None}}]}, 0),
        ({"tool_calls": []}, 0),
        ({"function_call": {"name": "fn", "arguments": "{}"}}, 4),
        # unusual shapes
        ({"content": ["a", {"type": "text", "text": "bc"}]}, 3),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "abc"}]}, "d"]}, 4),
        ({"content": 7}, 0),
        ({"content": {"text": "abc"}}, 0),
        ({"content": [None, 7, {"type": "image_url"}]}, 0),
        ({"content": "abc", "refusal": 7}, 3),
        ({"content": "abc", "tool_calls": 7}, 3),
        ({"content": "abc", "tool_calls": [7, None, {"function": 7, "custom": 7}]}, 3),
        ({"tool_calls": [{"function": {"name": "fn", "arguments": {"a": 1}}}]}, 9),
        ({"tool_calls": [{"function": 7, "custom": {"name": "fn", "input": [1]}}]}, 5),
        ({"content": "abc", "function_call": "fn"}, 3),
        ({"content": "abc", "function_call": 7, "images": 7}, 3),
    ],
)
def test_generated_text_is_measured_in_bytes_of_utf8(delta: dict[str, Any], text_bytes: int) -> None:
    assert said(delta).text_bytes() == text_bytes


@pytest.mark.parametrize(
    ("delta", "images"),
    [
        ({"images": [{"type": "image_url"}, {}]}, 2),
        ({"images": [{"type": "image_url"}], "refusal": 7}, 1),
        ({"content": [{"type": "image_url"}, {"text": "a"}, 7, None]}, 2),
        ({"content": "a", "images": 7}, 0),
    ],
)
def test_generated_parts_that_are_no_text_are_counted(delta: dict[str, Any], images: int) -> None:
    assert len(said(delta).images or ()) == images


@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":null}',
        b'{"choices":7}',
        b'{"choices":[null,7]}',
        b'{"choices":[{"index":null,"delta":null}]}',
        b'{"choices":[{"index":true,"delta":7}]}',
        b'{"choices":[{"index":0.0,"finish_reason":7}]}',
        b'{"id":7,"choices":{}}',
        b'{"usage":{"a":1e999}}',
        b'{"usage":1e999,"id":[]}',
        b"{}",
    ],
)
def test_values_of_unusual_types_are_no_damage(payload: bytes) -> None:
    completion, same = read_completion(payload)
    assert same is payload
    assert completion.error is None
    for choice in completion.choices or ():
        assert (choice.index, choice.finish_reason, choice.delta) == (0, None, None)


@pytest.mark.parametrize("odd", [b"", b',"id":7'])
@pytest.mark.parametrize(
    ("member", "usage", "error", "tollway"),
    [
        (b'"x":1', False, False, False),
        (b'"usage":null,"error":null', False, False, False),
        (b'"usage":{}', True, False, False),
        (b'"usage":0', True, False, False),
        (b'"error":{}', False, True, False),
        (b'"error":false', False, True, False),
        (b'"tollway":null', False, False, True),
        (b'"tollway":{}', False, False, True),
    ],
)
def test_null_is_absent_but_for_our_own_member(
    odd: bytes, member: bytes, usage: bool, error: bool, tollway: bool
) -> None:
    completion, _ = read_completion(b"{" + member + odd + b"}")
    assert (completion.usage is not None) is usage
    assert (completion.error is not None) is error
    assert (completion.tollway is not UNSET) is tollway


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":NaN}',
        b"[]",
        b"null",
        b'"a"',
        b'{"id":"\xff"}',
        b'{"never read":"\xff"}',
        b'{"a":"\n"}',
        b'{"a":"\\ud83d',
        b'{"a":"\\q"}',
        b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"id":7,"choices":[{"x":1e999}]}',
    ],
)
def test_what_is_no_json_object_in_utf8_is_damaged(payload: bytes) -> None:
    with pytest.raises(Damaged):
        read_completion(payload)
    with pytest.raises(Damaged):
        read_whole(payload)


def test_of_a_whole_answer_the_top_level_is_read_as_it_was_sent_or_mended() -> None:
    completion, fields = read_whole(b'{"id":"a","x": [1.0, {}],"y":"\\ud83d","x":{"b" : 2e0}}')
    assert (completion.id, {name: bytes(raw) for name, raw in fields.items()}) == (
        "a",
        {"id": b'"a"', "x": b'{"b" : 2e0}', "y": b'"\\ufffd"'},
    )


@pytest.mark.parametrize(
    ("text", "mended", "size"),
    [
        (rb"\ud83d", rb"\ufffd", 3),
        (rb"\uDE00 x", rb"\ufffd x", 5),
        (rb"\ud83d\ude00\ud83d", rb"\ud83d\ude00\ufffd", 7),
        (rb"\\ud83d\ud83d", rb"\\ud83d\ufffd", 9),
        (rb"\ud83d\ud83d\ude00", rb"\ufffd\ud83d\ude00", 7),
    ],
)
def test_half_of_a_surrogate_pair_is_no_damage(text: bytes, mended: bytes, size: int) -> None:
    def payload(content: bytes) -> bytes:
        return b'{"choices":[{"delta":{"content":"' + content + b'"}}]}'

    completion, read = read_completion(payload(text))
    assert read == payload(mended)
    assert completion.choices is not None
    assert completion.choices[0].delta is not None
    assert completion.choices[0].delta.text_bytes() == size


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_size_is_that_of_the_utf8_text(text: str) -> None:
    assert utf8_size(text) == len(text.encode())


TEXT = st.none() | st.text(alphabet=st.characters(codec="utf-8"), max_size=5)
FUNCTION = st.none() | st.fixed_dictionaries({}, optional={"name": TEXT, "arguments": TEXT})
USUAL = st.fixed_dictionaries(
    {},
    optional={
        "content": TEXT,
        "reasoning_content": TEXT,
        "reasoning": TEXT,
        "refusal": TEXT,
        "function_call": FUNCTION,
        "tool_calls": st.none()
        | st.lists(st.fixed_dictionaries({}, optional={"function": FUNCTION, "custom": st.none()}), max_size=2),
        "audio": st.none() | st.just({"data": "x"}),
        "images": st.none() | st.lists(st.just({}), max_size=2),
    },
)


@given(USUAL)
def test_the_tolerant_reading_finds_in_a_usual_shape_what_the_strict_one_finds(delta: dict[str, Any]) -> None:
    strict, tolerant = said(delta), said_tolerantly(delta)
    for measure in (Said.text_bytes, Said.has_more, Said.thinks):
        assert measure(strict) == measure(tolerant)
    assert (strict.content or "") == (tolerant.content or "")
    assert len(strict.images or ()) == len(tolerant.images or ())


def said_tolerantly(delta: dict[str, Any]) -> Said:
    completion, _ = read_completion(json.encode({"id": 7, "choices": [{"index": 0, "delta": delta}]}))
    assert completion.choices is not None
    found = completion.choices[0].delta
    assert found is not None
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "text", "tool_calls", "function", "usage", "error", "images"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["id", "choices", "usage", "error", "tollway"]), JSON))
def test_no_json_object_is_damaged(value: dict[str, Any]) -> None:
    completion, _ = read_completion(json.encode(value))
    for choice in completion.choices or ():
        for part in (choice.delta, choice.message):
            assert part is None or part.text_bytes() >= 0


@pytest.mark.parametrize(
    "bomb",
    [
        b'{"choices":[' + b"{}," * NODES_MAX + b"{}]}",
        b'{"choices":[],"usage":[' + b"[]," * NODES_MAX + b"[]]}",
        b"{" + b"".join(b'"%x":1,' % number for number in range(NODES_MAX)) + b'"choices":[]}',
    ],
    ids=["choices", "usage", "members"],
)
def test_millions_of_small_things_are_damage_and_none_of_them_is_made(bomb: bytes) -> None:
    with pytest.raises(Damaged, match="more than 2000000 arrays, objects and members"):
        read_completion(bomb)


def test_a_long_text_may_say_what_it_likes() -> None:
    said_so = "[{:," * 1_000_000
    completion, _ = read_completion(json.encode({"choices": [{"index": 0, "message": {"content": said_so}}]}))
    assert completion.choices is not None
    assert completion.choices[0].message == Said(content=said_so)
