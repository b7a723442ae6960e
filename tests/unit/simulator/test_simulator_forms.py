"""The form of an answer that the request asks for: JSON by a schema, tools that must be called, log probabilities."""

import json
import math
from typing import Any
from urllib.parse import quote

import pytest

from helpers.simulated import MESSAGES, ask
from tollway.simulator import Simulator, expected_text
from tollway.simulator.structured import NODES_MAX, Endless, instance

LEAF = {"type": "string"}
WORDS = expected_text(3).strip()  # what every string says that is free to
TOOLS = [
    {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"a": LEAF}}}},
    {"type": "function", "function": {"name": "count", "parameters": {"type": "integer", "minimum": 3}}},
]

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": LEAF, "age": {"type": "integer"}, "alive": {"type": "boolean"}, "none": {"type": "null"}},
    "required": ["name"],
    "additionalProperties": False,
}
NODE = {
    "type": "object",
    "properties": {"value": LEAF, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["value", "next"],
}
TREE = {
    "type": "object",
    "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["children"],
}
FORMATS = {name: {"type": "string", "format": name} for name in ("date", "email")}
SCHEMAS: dict[str, tuple[Any, Any]] = {
    "object": (PERSON, {"name": WORDS, "age": 7, "alive": True, "none": None}),
    "array": ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [7, 7]),
    "no items": ({"type": "array", "maxItems": 0}, []),
    "enum": ({"enum": ["b", "a"]}, "b"),
    "const": ({"const": {"kind": 1}}, {"kind": 1}),
    "any of": ({"anyOf": [{"type": "integer", "exclusiveMinimum": 5, "multipleOf": 4}, {"type": "null"}]}, 8),
    "all of": ({"allOf": [{"properties": {"a": LEAF}}], "properties": {"b": LEAF}}, {"a": WORDS, "b": WORDS}),
    "all of one": ({"allOf": [{"type": "string", "maxLength": 2}]}, WORDS[:2]),
    "types": ({"type": ["string", "null"], "minLength": 90}, expected_text(90)[:90]),
    "below": ({"type": "number", "exclusiveMaximum": 0}, -1),
    "most": ({"type": "integer", "maximum": 2}, 2),
    "from": ({"type": "integer", "minimum": 7.5}, 8),
    "any that is safe": ({"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1}, 7),
    "formats": ({"properties": FORMATS}, {"date": "2026-01-31", "email": "heron@example.com"}),
    "reference": ({"$defs": {"a/b": LEAF}, "properties": {"x": {"$ref": "#/$defs/a~1b"}}}, {"x": WORDS}),
    "list": (
        {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
        {"value": WORDS, "next": {"value": WORDS, "next": None}},
    ),
    "tree": (TREE, {"children": [{"children": []}]}),
    "anything": (True, {}),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schemas_instance_fits_it(name: str) -> None:
    schema, expected = SCHEMAS[name]
    assert instance(schema) == expected


WITHOUT_END: dict[str, Any] = {
    "itself": {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
    "reference": {"$ref": "#"},
    "wide": {"type": "array", "minItems": 100, "items": {"type": "array", "minItems": 100, "items": LEAF}},
}


@pytest.mark.parametrize("name", WITHOUT_END)
def test_a_schema_that_requires_itself_has_no_instance(name: str) -> None:
    with pytest.raises(Endless, match=str(NODES_MAX)):
        instance(WITHOUT_END[name])


@pytest.mark.parametrize("value", ["x", 7, [], {"type": 3}, {"properties": 1}, {"$ref": "#/no"}, {"anyOf": 1}])
def test_what_is_no_schema_is_taken_for_one_that_allows_everything(value: Any) -> None:
    assert instance(value) == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_keeps_to_the_schema_it_was_given(sim: Simulator, stream: bool) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    reply = await ask(sim, stream=stream, response_format=asked)
    said = reply.text() if stream else reply.json()["choices"][0]["message"]["content"]
    assert json.loads(said) == SCHEMAS["object"][1]


async def test_any_json_object_is_one_with_a_text(sim: Simulator) -> None:
    answer = (await ask(sim, response_format={"type": "json_object"})).json()
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"text": WORDS}


async def test_what_a_scenario_says_goes_before_the_form(sim: Simulator) -> None:
    asked = {"type": "json_object"}
    assert (await ask(sim, "text=no", response_format=asked)).json()["choices"][0]["message"]["content"] == "no"
    assert (await ask(sim, "tool=f", response_format=asked)).json()["choices"][0]["finish_reason"] == "tool_calls"
    forced = (await ask(sim, "arguments=[1]", tools=TOOLS, tool_choice="required")).json()
    assert forced["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "look_up", "arguments": "[1]"}


async def test_a_schema_without_an_end_is_refused(sim: Simulator) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": WITHOUT_END["itself"]}}
    reply = await ask(sim, response_format=asked)
    assert (reply.status, reply.json()["error"]["param"]) == (400, "response_format")


FORCED = {
    "required": ("required", "look_up", {"a": WORDS}),
    "named": ({"type": "function", "function": {"name": "count"}}, "count", 7),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", FORCED)
async def test_a_tool_that_must_be_called_is_called_as_its_parameters_say(
    sim: Simulator, how: str, stream: bool
) -> None:
    choice, name, arguments = FORCED[how]
    reply = await ask(sim, stream=stream, tools=TOOLS, tool_choice=choice)
    if stream:
        deltas = [event["choices"][0]["delta"] for event in reply.chunk_objects()]
        parts = [delta["tool_calls"][0]["function"] for delta in deltas if "tool_calls" in delta]
        assert parts[0]["name"] == name
        said = "".join(part["arguments"] for part in parts)
    else:
        (call,) = reply.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == name
        said = call["function"]["arguments"]
    assert json.loads(said) == arguments


@pytest.mark.parametrize("choice", ["auto", "none", {"type": "allowed_tools"}, 5])
async def test_a_tool_that_need_not_be_called_is_not(sim: Simulator, choice: Any) -> None:
    answer = (await ask(sim, "n=2", tools=TOOLS, tool_choice=choice)).json()
    assert answer["choices"][0]["message"]["content"] == expected_text(2)


async def test_no_tool_is_called_where_none_may_be(sim: Simulator) -> None:
    answer = (await ask(sim, "tool=look_up", tools=TOOLS, tool_choice="none")).json()
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("tools", [TOOLS, [], None, "x"])
async def test_a_tool_that_is_not_there_is_refused(sim: Simulator, tools: Any) -> None:
    choice = {"type": "function", "function": {"name": "other"}}
    reply = await ask(sim, tools=tools, tool_choice=choice)
    assert (reply.status, reply.json()["error"]["param"]) == (400, "tool_choice")


async def test_once_a_tools_result_has_come_the_answer_is_prose(sim: Simulator) -> None:
    asked = (await ask(sim, "tool=look_up")).json()["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": "found"}
    answer = (await ask(sim, "tool=look_up&n=4", messages=[*MESSAGES, asked, result])).json()
    assert answer["choices"][0]["message"]["content"] == expected_text(4)


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_in_parallel_are_numbered_and_all_billed(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "tool=look_up&n=2&calls=3&usage=final", stream=stream, n=2)
    said = json.dumps({"text": expected_text(2)}, ensure_ascii=False, separators=(",", ":"))
    if stream:
        entries = [entry for event in reply.chunk_objects() for entry in event["choices"] if entry["index"] == 0]
        parts = [part for entry in entries for part in entry["delta"].get("tool_calls", [])]
        ids = [part["id"] for part in parts if "id" in part]
        for index in range(3):
            mine = [part["function"]["arguments"] for part in parts if part["index"] == index]
            assert "".join(mine) == said
        usage = reply.usages()[0]
    else:
        calls = reply.json()["choices"][0]["message"]["tool_calls"]
        ids = [call["id"] for call in calls]
        assert [call["function"]["arguments"] for call in calls] == [said] * 3
        usage = reply.json()["usage"]
    assert len(set(ids)) == 3
    assert usage["completion_tokens"] == 2 * 3 * 2


async def test_calls_in_parallel_can_be_forbidden_and_are_capped(sim: Simulator) -> None:
    one = (await ask(sim, "tool=f&calls=2", parallel_tool_calls=False)).json()["choices"][0]
    assert len(one["message"]["tool_calls"]) == 1
    cut = (await ask(sim, "tool=f&calls=2&n=5", max_tokens=8)).json()
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 8)


async def test_arguments_are_the_tools_as_they_stand(sim: Simulator) -> None:
    given = '{"text": "Zwölf \\"Boxkämpfer\\""}'
    reply = await ask(sim, f"tool=look_up&arguments={quote(given)}&usage=final", stream=True)
    deltas = [event["choices"][0]["delta"] for event in reply.chunk_objects() if event["choices"]]
    parts = [delta["tool_calls"][0]["function"]["arguments"] for delta in deltas if "tool_calls" in delta]
    assert "".join(parts) == given
    assert reply.usages()[0]["completion_tokens"] == 3


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_stand_beside_every_token(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "n=3", stream=stream, logprobs=True, top_logprobs=2)
    if stream:
        entries = [entry for event in reply.chunk_objects() for entry in event["choices"] if entry["logprobs"]]
        tokens = [token for entry in entries for token in entry["logprobs"]["content"]]
    else:
        tokens = reply.json()["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 3
    assert "".join(token["token"] for token in tokens) == expected_text(3)
    for token in tokens:
        assert bytes(token["bytes"]).decode() == token["token"]
        likeliest, other = token["top_logprobs"]
        assert likeliest["token"] == token["token"] != other["token"]
        assert 1 > math.exp(token["logprob"]) > math.exp(other["logprob"]) > 0


async def test_log_probabilities_come_without_alternatives_and_not_with_a_tool(sim: Simulator) -> None:
    plain = (await ask(sim, "n=1", logprobs=True)).json()["choices"][0]["logprobs"]
    assert plain["content"][0]["top_logprobs"] == []
    assert (await ask(sim, "tool=f", logprobs=True)).json()["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("asked", [{"logprobs": True, "top_logprobs": 21}, {"top_logprobs": 1}])
async def test_alternatives_out_of_place_are_refused(sim: Simulator, asked: dict[str, Any]) -> None:
    reply = await ask(sim, **asked)
    assert (reply.status, reply.json()["error"]["param"]) == (400, "top_logprobs")
