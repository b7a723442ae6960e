"""The text of a prompt, for counting its tokens."""

from typing import Any

import pytest

from tollway.domain.recount import Text
from tollway.intake.texts import prompt_text
from tollway.wire import json


def text_of(messages: list[dict[str, Any]], **fields: Any) -> Text:
    return prompt_text(json.decode_fields(json.encode({"model": "m", "messages": messages, **fields})))


def test_messages_of_text_are_their_roles_and_contents() -> None:
    found = text_of([{"role": "system", "content": "Be kind."}, {"role": "user", "name": "ann", "content": "Hé 水"}])
    assert found == Text(("system", "Be kind.", "user", "ann", "Hé 水"), plain=True)


def test_text_parts_are_text_and_other_parts_are_not() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": " this?"}]
    assert text_of([{"role": "user", "content": parts}]) == Text(("user", "What is", " this?"), plain=True)
    found = text_of([{"role": "user", "content": [*parts, picture]}])
    assert found == Text(("user", "What is", " this?"), plain=False)


@pytest.mark.parametrize("part", [{"type": "text", "text": None}, {"type": "text"}, {"type": "refusal", "refusal": 3}])
def test_a_part_without_its_text_is_none(part: dict[str, Any]) -> None:
    assert text_of([{"role": "user", "content": [part]}]) == Text(("user",), plain=False)


def test_tools_and_their_calls_are_json_and_not_compared() -> None:
    call = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    found = text_of([{"role": "assistant", "content": None, "tool_calls": call}], tools=[{"type": "function"}])
    assert found.pieces == ("assistant", json.encode(call).decode(), 'tools[{"type":"function"}]')
    assert not found.plain


def test_what_never_reaches_the_model_as_text_is_left_out() -> None:
    found = text_of([{"role": "user", "content": "x"}], temperature=1, stream=True, max_tokens=5, user="u")
    assert found == Text(("user", "x"), plain=True)
