"""What a request may ask for that costs money beyond its tokens: each needs a rate of its own in a provider's price.

The tables name what is known to be billed apart. A feature that also brings text of its own into the prompt (search
results, stored context) is counted as a part of that kind: no length of the request bounds it.
"""

from typing import Any, Literal

import msgspec

from tollway.domain.errors import RequestError
from tollway.intake.limits import FEATURES_MAX
from tollway.intake.schema import Field, check_word, place, shown
from tollway.wire.json import Raw, ValidationError, decode_fields, encode, unchecked_decoder

# Fields whose presence asks for something, and for what.
FIELD_FEATURES: dict[str, str] = {
    "web_search_options": "web_search",  # OpenAI, Perplexity: billed per search
    "search_parameters": "web_search",  # xAI: per source
    "enable_search": "web_search",  # Qwen: per search
    "plugins": "plugins",  # OpenRouter: search, file parsing
    "mcp_servers": "mcp",  # Anthropic: the provider calls other servers
    "data_sources": "data_sources",  # Azure: search over stored documents
    "previous_response_id": "stored_context",  # a conversation kept at the provider, billed as prompt again
    "conversation": "stored_context",
    "prediction": "predicted_output",  # OpenAI: rejected tokens are billed
    "audio": "audio_output",  # OpenAI: voice and format of spoken answers
    "chat_template": "chat_template",  # vLLM: a program that writes the prompt, in a loop if it likes
}
BRINGS_TEXT = frozenset({"web_search", "plugins", "mcp", "data_sources", "stored_context", "chat_template"})

# Fields whose value decides: the values that cost nothing extra.
ORDINARY_VALUES: dict[str, frozenset[str]] = {
    "service_tier": frozenset({"auto", "default", "standard"}),  # others (flex, priority ...) have prices of their own
    "speed": frozenset({"standard"}),  # Anthropic: `fast` is several times the price
}

# A request with none of these asks for nothing beyond tokens.
ASKING = frozenset({*FIELD_FEATURES, *ORDINARY_VALUES, "modalities", "tools", "chat_template_kwargs"})

# Tools that the provider runs itself, and bills for; by the beginning of their type or their key.
SEARCH_TOOLS = ("web_search", "google_search", "browser_search")

_UNASKED = (b"false", b"[]")
_OBJECT = ord("{")
_CLIENT_TOOLS = ("function", "custom")
_CLIENT_TOOL_KEYS = frozenset(
    {"type", "function", "custom", "name", "description", "parameters", "input_schema", "strict", "cache_control"}
)


class _ClientTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A tool that the caller runs. Decoding checks every occurrence of a repeated key, so this proves all readings."""

    type: Literal["function", "custom"] = "function"
    function: Raw = Raw(b"")
    custom: Raw = Raw(b"")
    cache_control: Raw = Raw(b"")


_client_tools = unchecked_decoder(list[_ClientTool])
_any_tools = Field(unchecked_decoder(list[dict[str, Raw]]), "an array of objects")
_word = unchecked_decoder(str)


def asked_features(fields: dict[str, Raw], values: Any) -> frozenset[str]:
    """The features a request asks for; `values` come of read_fields. `tools` in `fields` is written anew when it has
    some of the provider's own, so that no repeated key reads two ways. RequestError when tools are no array of
    objects."""
    if ASKING.isdisjoint(fields):
        return frozenset()
    features = {
        feature
        for name, feature in FIELD_FEATURES.items()
        if name in fields and bytes(memoryview(fields[name])[:6]) not in _UNASKED
    }
    for name, ordinary in ORDINARY_VALUES.items():
        if (value := getattr(values, name)) is not None and value not in ordinary:
            features.add(f"{name}:{value}")
    features.update(f"{kind}_output" for kind in values.modalities if kind != "text")
    if "tools" in fields:
        features |= _tool_features(fields)
    if "chat_template_kwargs" in fields and _sets_template(fields["chat_template_kwargs"]):
        features.add("chat_template")
    if len(features) > FEATURES_MAX:
        raise RequestError(f"The call asks for {len(features)} things beyond tokens; at most {FEATURES_MAX} are read.")
    return frozenset(features)


def brings_text(feature: str) -> bool:
    return feature in BRINGS_TEXT or feature.startswith("tool:")


def _sets_template(raw: Raw) -> bool:
    """vLLM passes these on as they are, and one of them is the template itself."""
    try:
        return "chat_template" in decode_fields(raw)
    except ValidationError:
        return False  # no object: no server takes it


def _tool_features(fields: dict[str, Raw]) -> set[str]:
    raw = fields["tools"]
    try:
        _client_tools.decode(raw)
    except ValidationError:
        pass
    else:
        return set()
    try:
        tools = _any_tools.decoder.decode(raw)
    except ValidationError as fault:
        raise RequestError(
            f"tools is {shown(raw)}; it must be {_any_tools.expected}.", param=f"tools{place(fault)}"
        ) from None
    fields["tools"] = Raw(encode(tools))
    return {feature for index, tool in enumerate(tools) for feature in _features_of(f"tools[{index}]", tool)}


def _features_of(name: str, tool: dict[str, Raw]) -> list[str]:
    """One tool's features. Some providers name their own tools by a type, some by a key (`google_search: {}`), even
    where a type says `function`; and some read a key in any case (`Type`)."""
    others = [key for key in tool if key not in _CLIENT_TOOL_KEYS]
    if "type" in tool:
        kind = _type_of(name, tool)
        own = kind not in _CLIENT_TOOLS
        others = [key for key in others if key.casefold() in _CLIENT_TOOL_KEYS or (not own and _is_object(tool[key]))]
        others += [kind] if own else []
    return [_tool_feature(name, kind) for kind in others]


def _is_object(raw: Raw) -> bool:
    return memoryview(raw)[0] == _OBJECT


def _type_of(name: str, tool: dict[str, Raw]) -> str:
    try:
        kind: str = _word.decode(tool["type"])
    except ValidationError:
        raise RequestError(
            f"{name}.type is {shown(tool['type'])}; it must be a string such as function.", param=f"{name}.type"
        ) from None
    return kind


def _tool_feature(name: str, kind: str) -> str:
    if kind.startswith(SEARCH_TOOLS):
        return "web_search"
    return f"tool:{check_word(f'{name}.type', kind)}"
