"""What costs beyond tokens is recorded on the call; what brings text of its own is also counted as a part."""

from typing import Any

import pytest

from helpers.requests import asked, forwarded, parsed
from tollway.domain.errors import RequestError
from tollway.intake.features import BRINGS_TEXT, FIELD_FEATURES
from tollway.intake.limits import FEATURES_MAX

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({}, set()),
        ({"web_search_options": {}}, {"web_search"}),
        ({"search_parameters": {"mode": "on"}}, {"web_search"}),
        ({"enable_search": True}, {"web_search"}),
        ({"enable_search": False}, set()),
        ({"plugins": [{"id": "web"}]}, {"plugins"}),
        ({"plugins": []}, set()),
        ({"prediction": {"type": "content", "content": "x"}}, {"predicted_output"}),
        ({"audio": {"voice": "alloy", "format": "wav"}}, {"audio_output"}),
        ({"modalities": ["text", "audio"]}, {"audio_output"}),
        ({"modalities": ["image"]}, {"image_output"}),
        ({"modalities": ["text"]}, set()),
        ({"service_tier": "auto"}, set()),
        ({"service_tier": "default"}, set()),
        ({"service_tier": "priority"}, {"service_tier:priority"}),
        ({"speed": "standard"}, set()),
        ({"speed": "fast"}, {"speed:fast"}),
        ({"store": True, "top_k": 3, "metadata": {"a": "b"}}, set()),
        ({"plugins": [1], "audio": {}, "service_tier": "flex"}, {"plugins", "audio_output", "service_tier:flex"}),
    ],
)
def test_a_field_that_costs_extra_is_a_feature(fields: dict[str, Any], features: set[str]) -> None:
    assert asked(**fields).features == features


@pytest.mark.parametrize("field", FIELD_FEATURES)
def test_every_field_of_the_table_is_noticed_and_forwarded(field: str) -> None:
    call = asked(**{field: {"x": 1}})
    assert call.features == {FIELD_FEATURES[field]}
    assert forwarded(call)[field] == {"x": 1}


@pytest.mark.parametrize(
    ("tools", "features"),
    [
        ([], set()),
        ([FUNCTION], set()),
        ([FUNCTION, {"type": "custom", "custom": {"name": "c"}}], set()),
        ([{"function": {"name": "f"}}], set()),
        ([{"name": "f", "description": "d", "input_schema": {}}], set()),
        ([FUNCTION | {"vendor": 1}], set()),
        ([FUNCTION, {"type": "web_search"}], {"web_search"}),
        ([{"type": "web_search_20250305", "max_uses": 5}], {"web_search"}),
        ([{"type": "web_search_preview"}], {"web_search"}),
        ([{"google_search": {}}], {"web_search"}),
        ([{"type": "code_interpreter", "container": {"type": "auto"}}], {"tool:code_interpreter"}),
        ([{"type": "mcp"}, {"type": "file_search"}], {"tool:mcp", "tool:file_search"}),
        ([{"url_context": {}, "name": "x"}], {"tool:url_context"}),
        ([FUNCTION | {"google_search": {}}], {"web_search"}),
        ([FUNCTION | {"code_execution": {}}], {"tool:code_execution"}),
        ([FUNCTION | {"Type": "web_search"}], {"tool:Type"}),
    ],
)
def test_a_tool_that_the_provider_runs_is_a_feature(tools: list[Any], features: set[str]) -> None:
    call = asked(tools=tools)
    assert call.features == features
    assert forwarded(call)["tools"] == tools


def test_a_repeated_key_does_not_hide_a_tool_from_one_of_two_readers() -> None:
    body = b'{"model":"m","messages":[{"role":"u"}],"tools":[{"type":"%s","type":"%s"}]}'
    hidden = parsed(body % (b"web_search", b"function"))
    assert hidden.features == set()
    assert bytes(hidden.fields["tools"]) == b'[{"type":"function"}]'
    shown = parsed(body % (b"function", b"web_search"))
    assert shown.features == {"web_search"}
    assert bytes(shown.fields["tools"]) == b'[{"type":"web_search"}]'


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"web_search_options": {}}, "web_search"),
        ({"plugins": [1]}, "plugins"),
        ({"previous_response_id": "r"}, "stored_context"),
        ({"tools": [{"type": "file_search"}]}, "tool:file_search"),
    ],
)
def test_a_feature_that_brings_text_is_counted_as_a_part(fields: dict[str, Any], part: str) -> None:
    assert asked(**fields).prompt.parts == ((part, 1),)


@pytest.mark.parametrize("fields", [{"service_tier": "flex"}, {"audio": {}}, {"prediction": {}}])
def test_a_feature_that_brings_none_is_not(fields: dict[str, Any]) -> None:
    assert asked(**fields).prompt.parts == ()


def test_what_brings_text_is_a_feature_that_some_field_asks_for() -> None:
    assert set(FIELD_FEATURES.values()) >= BRINGS_TEXT


@pytest.mark.parametrize(
    "fields",
    [{"chat_template": "{% for i in range(99999) %}x{% endfor %}"}, {"chat_template_kwargs": {"chat_template": "x"}}],
)
def test_a_template_of_the_callers_own_writes_a_prompt_of_any_length(fields: dict[str, Any]) -> None:
    call = asked(**fields)
    assert call.features == {"chat_template"}
    assert ("chat_template", 1) in call.prompt.parts


@pytest.mark.parametrize("kwargs", [{"enable_thinking": False}, {}, 7])
def test_the_variables_of_a_template_are_ordinary_text(kwargs: Any) -> None:
    call = asked(chat_template_kwargs=kwargs)
    assert call.features == set()
    assert call.prompt.parts == ()


def test_a_call_that_asks_for_too_much_at_once_is_refused() -> None:
    tools = [{"type": f"t{number}"} for number in range(FEATURES_MAX + 1)]
    assert len(asked(tools=tools[:-1]).features) == FEATURES_MAX
    with pytest.raises(RequestError, match="at most 32"):
        asked(tools=tools)
