"""What a call can't be answered without, as its fields and its parts say."""

from typing import Any

import pytest

from helpers.requests import asked

TOOL = {"type": "function", "function": {"name": "f"}}


def parts(*kinds: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind} for kind in kinds]}]}


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({}, set()),
        ({"temperature": 1, "seed": 3}, set()),
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set()),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": {"type": "json_object"}}, {"response_format"}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"structured_outputs"}),
        ({"response_format": {"type": "grammar"}}, {"response_format"}),
        ({"response_format": {}}, {"response_format"}),
        ({"response_format": "json"}, {"response_format"}),
        (parts("text"), set()),
        (parts("text", "image_url"), {"vision"}),
        (parts("input_audio", "file", "video_url"), {"audio", "file", "video"}),
        (parts("hologram"), set()),
        (parts("image_url") | {"tools": [TOOL]}, {"vision", "tools"}),
    ],
)
def test_a_call_needs_what_it_asks_for(fields: dict[str, Any], needed: set[str]) -> None:
    assert asked(**fields).needs == needed
