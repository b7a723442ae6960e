"""The size of a prompt: bytes of text, messages, and parts that are no text."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.requests import HELLO, asked, forwarded, parsed
from tollway.domain.call import PromptSize
from tollway.intake.prompt import INLINE_DATA, TEXT_MEMBERS
from tollway.wire.json import decode

DATA = "data:image/png;base64," + "A" * 10_000


def size(*messages: Any, **fields: Any) -> PromptSize:
    return asked(messages=list(messages), **fields).prompt


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def test_a_plain_message_counts_its_text_and_its_role() -> None:
    assert size({"role": "user", "content": "Hello"}) == PromptSize(text_bytes=len("userHello"), messages=1)
    assert size(*HELLO * 3) == PromptSize(text_bytes=3 * len("userHello"), messages=3)


def test_a_content_of_null_is_no_text() -> None:
    image = user({"type": "image_url", "image_url": {"url": "http://x"}})
    with_null = size(image, {"role": "assistant", "content": None})
    assert with_null.text_bytes - size(image).text_bytes == len("assistant")


def test_text_parts_count_as_much_as_the_same_text_in_a_string() -> None:
    assert size(user(text("Hello"))) == size(*HELLO)
    assert size(user(text("Hel"), text("lo"))) == size(*HELLO)
    assert size(user()) == size({"role": "user", "content": ""})


def test_text_counts_the_same_beside_parts_that_are_no_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    with_text, without = size(user(text('H\u65e5"\\llo'), image)), size(user(image))
    assert with_text.text_bytes - without.text_bytes == len('H\u65e5"\\llo'.encode())
    assert size(*HELLO, user(image)).text_bytes - without.text_bytes == len("userHello")


def test_text_is_counted_in_utf8_whichever_way_it_is_escaped() -> None:
    plain, escaped = (
        parsed(json.dumps({"model": "m", "messages": [{"role": "u", "content": "\u65e5\u672c" * 9}]}, **how).encode())
        for how in ({"ensure_ascii": False, "separators": (",", ":")}, {"separators": (",", ":")})
    )
    assert plain.prompt == escaped.prompt == PromptSize(text_bytes=1 + 54, messages=1)


def test_tools_schemas_and_unknown_fields_count_whole_and_settings_do_not() -> None:
    bare = size(*HELLO)
    tools = [{"type": "function", "function": {"name": "f" * 100}}]
    grown = size(*HELLO, tools=tools).text_bytes - bare.text_bytes
    assert grown == len("tools") + len(json.dumps(tools, separators=(",", ":")))
    assert size(*HELLO, response_format={"x": "y" * 50}).text_bytes > bare.text_bytes + 50
    assert size(*HELLO, documents=["d" * 50]).text_bytes > bare.text_bytes + 50
    settings = {"temperature": 1, "stop": "x" * 50, "user": "u" * 50, "metadata": {"a": "b" * 50}, "seed": 1}
    assert size(*HELLO, **settings) == bare
    assert size(*HELLO, models=["m" * 50], max_cost="1", provider={"only": ["p" * 50]}) == bare


def test_tool_calls_names_and_reasoning_are_text() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}' * 20}}
    history = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer = {"role": "tool", "tool_call_id": "c", "content": "x" * 100}
    counted = size(*HELLO, history, answer)
    assert counted.parts == ()
    assert counted.messages == 3
    assert counted.text_bytes >= 160 + 100
    for member in TEXT_MEMBERS - {"role"}:
        counted = size({"role": "u", "content": "x", member: [{"a": "b" * 50}]})
        assert counted.parts == ()
        assert counted.text_bytes > 50


@pytest.mark.parametrize("kind", INLINE_DATA)
def test_the_data_of_a_part_is_no_text(kind: str) -> None:
    member, key = INLINE_DATA[kind]
    inline = size(user(text("Hello"), {"type": kind, member: {key: DATA, "detail": "low"}}))
    assert inline.parts == ((kind, 1),)
    assert len("userHello") < inline.text_bytes < 100


def test_anything_else_of_a_part_is_text() -> None:
    part = {"type": "image_url", "image_url": {"url": "http://" + "x" * 500, "caption": DATA}, "note": "n" * 300}
    assert size(user(part)).text_bytes > 500 + 10_000 + 300


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url"},
        {"type": "image_url", "image_url": DATA},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": {"url": 5}},
        {"type": "hologram", "hologram": {"data": DATA}},
    ],
)
def test_a_part_of_an_unexpected_shape_is_counted_and_forwarded(part: dict[str, Any]) -> None:
    call = asked(messages=[user(part)])
    assert call.prompt.parts == ((part["type"], 1),)
    assert call.prompt.text_bytes >= len(json.dumps(part)) - 40
    assert forwarded(call)["messages"] == [user(part)]


def test_parts_are_counted_by_kind() -> None:
    image, sound = {"type": "image_url", "image_url": {"url": DATA}}, {"type": "input_audio", "input_audio": {}}
    assert size(user(image, text("x"), image), user(sound)).parts == (("image_url", 2), ("input_audio", 1))


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"role": "assistant", "audio": {"id": "a"}}, (("audio", 1),)),
        ({"role": "user", "content": "x", "images": ["http://x"]}, (("images", 1),)),
        ({"role": "user", "content": [text("x") | {"image_url": {"url": "http://x"}}]}, (("image_url", 1),)),
        ({"role": "user", "content": [{"type": "text", "text": [{"type": "image_url"}]}]}, (("text", 1),)),
        ({"role": "user", "content": "x", "images": []}, ()),
        ({"role": "user", "content": "x", "extra": {}}, ()),
        ({"role": "user", "content": "x", "audio": None, "weight": 1, "note": "n"}, ()),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, ()),
    ],
)
def test_a_member_of_unknown_structure_is_a_part_of_its_own_kind(message: Any, parts: Any) -> None:
    assert size(message).parts == parts


def test_a_repeated_key_hides_no_image_from_the_count() -> None:
    image, words = b'[{"type":"image_url","image_url":{"url":"http://x"}}]', b'"words"'
    body = b'{"model":"m","messages":[{"role":"u","content":%s,"content":%s}]}'
    hidden = parsed(body % (image, words))
    assert hidden.prompt.parts == ()
    assert bytes(hidden.fields["messages"]) == b'[{"role":"u","content":"words"}]'
    shown = parsed(body % (words, image))
    assert shown.prompt.parts == (("image_url", 1),)
    assert b"words" not in bytes(shown.fields["messages"])


def test_a_repeated_key_of_a_part_reads_one_way() -> None:
    part = b'{"type":"image_url","text":"%s","type":"text"}' % (b"x" * 100)
    call = parsed(b'{"model":"m","messages":[{"role":"u","content":[%s]}]}' % part)
    assert call.prompt.parts == ()
    assert call.prompt.text_bytes > 100
    assert bytes(call.fields["messages"]).count(b'"type"') == 1


def test_both_of_two_repeated_texts_are_counted() -> None:
    call = parsed(b'{"model":"m","messages":[{"role":"u","content":"%s","content":"b"}]}' % (b"a" * 500))
    assert call.prompt.text_bytes > 501


words = st.text(alphabet=st.characters(codec="utf-8"), max_size=30) | st.text(alphabet='"\\/\n\x00\u00e9\U0001f600u')
part_values = st.builds(text, words) | st.builds(
    lambda word: {"type": "image_url", "image_url": {"url": "http://x"}, "alt": word}, words
)
contents = st.none() | words | st.lists(part_values, max_size=3)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": words}, optional={"content": contents, "name": words, "refusal": words, "vendor": words}
    ),
    min_size=1,
    max_size=4,
)


def texts_of(value: Any) -> int:
    """UTF-8 bytes of the strings in `value` that are text: all but the types of parts."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return sum(map(texts_of, value))
    return sum(texts_of(member) for key, member in value.items() if key != "type") if isinstance(value, dict) else 0


@given(messages, st.booleans(), st.sampled_from([None, (",", ":")]))
@example([{"role": "", "content": "\U0001f600\\"}], True, (",", ":"))
@example([{"role": "", "content": [{"type": "text", "text": ""}] * 3}], True, (",", ":"))
def test_the_measure_is_never_under_the_text_in_utf8(asked_for: Any, ascii_only: bool, separators: Any) -> None:
    body = {"model": "m", "messages": asked_for}
    call = parsed(json.dumps(body, ensure_ascii=ascii_only, separators=separators).encode())
    assert call.prompt.text_bytes >= texts_of(asked_for)
    assert call.prompt.messages == len(asked_for)
    assert decode(call.fields["messages"]) == asked_for


def escaped(word: str) -> bytes:
    """`word` as JSON that escapes every character, as no encoder would."""
    units = word.encode("utf-16-be")
    return b'"%s"' % b"".join(b"\\u%02x%02x" % (units[at], units[at + 1]) for at in range(0, len(units), 2))


@given(words, words)
def test_no_way_to_escape_a_text_makes_it_count_less(role: str, content: str) -> None:
    fields = escaped("role"), escaped(role), escaped("content"), escaped(content)
    call = parsed(b'{"model":"m","messages":[{%s:%s,%s:%s}]}' % fields)
    assert call.prompt.text_bytes >= len(role.encode()) + len(content.encode())
