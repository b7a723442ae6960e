"""What form of answer the request itself asks for, as a model would keep to it: JSON by a schema, a tool that it must
call, prose once a tool's result has come. What the scenario says of the answer goes first."""

from typing import Any

import msgspec

from tollway.simulator.chat import ChatRefused, ChatRequest
from tollway.simulator.scenario import Scenario
from tollway.simulator.structured import Endless, instance
from tollway.wire import json

_RESULTS = ("tool", "function")  # the roles of a tool's result


def has_form(request: ChatRequest) -> bool:
    """Whether `formed` may have anything to change."""
    return bool(request.response_format or request.tool_choice or request.parallel_tool_calls is not None) or (
        request.messages[-1].role in _RESULTS
    )


def formed(scenario: Scenario, request: ChatRequest) -> Scenario:
    """`scenario` with the form that the request asks for. Raises ChatRefused."""
    changes: dict[str, Any] = {}
    forced = _forced(request)
    if forced is not None:
        tool, parameters = forced
        if scenario.tool is None:
            changes["tool"] = tool
        if scenario.arguments is None and scenario.text is None and parameters is not None:
            changes["arguments"] = _value(parameters, "tools")
    elif scenario.tool is not None and (request.messages[-1].role in _RESULTS or request.tool_choice == "none"):
        changes["tool"] = None  # a model that has been given the result uses it
    called = changes.get("tool", scenario.tool)
    if called is None and scenario.text is None and (schema := _schema(request.response_format)) is not None:
        changes["text"] = _value(schema, "response_format")
    if request.parallel_tool_calls is False:
        changes["calls"] = 1
    return msgspec.structs.replace(scenario, **changes) if changes else scenario


def _forced(request: ChatRequest) -> tuple[str, Any] | None:
    """The tool that the request says must be called, and the schema of its arguments."""
    choice = request.tool_choice
    if choice != "required" and not isinstance(choice, dict):
        return None
    tools = json.decode(bytes(request.tools))
    functions = [_member(tool, "function") for tool in tools] if isinstance(tools, list) else []
    named = _member(_member(choice, "function"), "name")
    if choice != "required" and named is None:
        return None  # allowed_tools, or a tool of a kind that the simulator has none of
    for function in functions:
        name = _member(function, "name")
        if isinstance(name, str) and named in (None, name):
            return name, _member(function, "parameters")
    raise ChatRefused(f"tool_choice names {named!r}, which is none of tools", "tool_choice")


def _schema(response_format: Any) -> Any:
    kind = _member(response_format, "type")
    if kind == "json_object":
        return {"type": "object", "properties": {"text": {"type": "string"}}}
    return _member(_member(response_format, "json_schema"), "schema") if kind == "json_schema" else None


def _value(schema: Any, field: str) -> str:
    try:
        return json.encode(instance(schema)).decode()
    except Endless as endless:
        raise ChatRefused(str(endless), field) from None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
