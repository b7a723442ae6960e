"""The schemas of /openapi.json, taken from what reads requests and writes answers: intake's table and the views.

Only what a provider says is described by hand, after OpenAI's reference of chat completions: the router passes it on.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from tollway.api.generations import GenerationView, Route
from tollway.api.health import HealthView
from tollway.api.keys import KeyList, KeyRequest, KeyView, NewKeyView
from tollway.api.models import Architecture, ModelList, ModelProvider, ModelView
from tollway.api.providers import ProviderList, ProviderView
from tollway.api.session import BalanceView, EntryView, NonceView, StatementPage
from tollway.api.usage import UsageList, UsageTotal, UsageView
from tollway.domain.answer import AttemptRecord
from tollway.domain.call import MaxPrice
from tollway.domain.errors import TollwayError
from tollway.domain.plan import Verdict
from tollway.domain.usage import Usage
from tollway.egress.additions import Tollway
from tollway.egress.receipts import KeySet
from tollway.intake.limits import Limits
from tollway.intake.schema import FIELDS, PREFERENCES, Field
from tollway.routing.health import Spread
from tollway.wire.jws import Jwk

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
# What is answered as a Struct, and what stands in it.
ANSWERED: tuple[type[msgspec.Struct], ...] = (
    Architecture,
    AttemptRecord,
    BalanceView,
    EntryView,
    GenerationView,
    HealthView,
    Jwk,
    KeyList,
    KeyRequest,
    KeySet,
    KeyView,
    ModelList,
    ModelProvider,
    ModelView,
    NewKeyView,
    NonceView,
    ProviderList,
    ProviderView,
    Route,
    Spread,
    StatementPage,
    Tollway,
    Usage,
    UsageList,
    UsageTotal,
    UsageView,
    Verdict,
)

NULL: Schema = {"type": "null"}
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}


def ref(name: str) -> Schema:
    return {"$ref": REF.format(name=name)}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [*(schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]), NULL]}


def errors(kind: type[TollwayError] = TollwayError) -> Iterator[type[TollwayError]]:
    """The error tree, each code once."""
    seen: set[str] = set()
    waiting = [kind]
    while waiting:
        found = waiting.pop(0)
        waiting += found.__subclasses__()
        if found.code not in seen:
            seen.add(found.code)
            yield found


def schemas() -> dict[str, Schema]:
    """`components.schemas`."""
    _, found = msgspec.json.schema_components(ANSWERED, ref_template=REF)
    for struct in ANSWERED:
        if not struct.__struct_config__.omit_defaults:  # a default is written like any other value
            found[struct.__name__]["required"] = list(struct.__struct_encode_fields__)
    found["Error"] = _error()
    found |= _chat_request()
    found |= _chat_answer()
    return dict(sorted(found.items()))


def _error() -> Schema:
    members = {
        "code": STRING | {"enum": [kind.code for kind in errors()], "description": "Stable; what a program looks at."},
        "message": STRING | {"description": "What to do. May be reworded."},
        "type": STRING | {"enum": sorted({kind.type for kind in errors()})},
        "param": {"type": ["string", "null"], "description": "The field that is wrong."},
        "attempts": {"type": "array", "items": ref("AttemptRecord"), "description": "How each provider failed."},
    }
    error = {"type": "object", "properties": members, "required": ["code", "message", "type", "param"]}
    return {
        "type": "object",
        "description": "OpenAI's error object; some errors have further members for programs.",
        "properties": {"error": error},
        "required": ["error"],
    }


def _chat_request() -> dict[str, Schema]:
    limits = Limits()
    narrower: dict[str, Schema] = {
        "n": {"maximum": limits.max_n, "description": f"An integer from 1 to {limits.max_n}."},
        "stop": {"maxItems": limits.max_stop},
        "models": {"maxItems": limits.max_models},
        "provider": ref("Preferences"),
    }
    properties = {name: _field(field, narrower.get(name)) for name, field in FIELDS.items() if name != "model"}
    model = _field(FIELDS["model"])  # which may not be null
    message = {
        "type": "object",
        "description": "As OpenAI's: text, tool calls, or an array of content parts.",
        "properties": {
            "role": STRING,
            "content": {"anyOf": [STRING, {"type": "array", "items": ref("ContentPart")}, NULL]},
        },
        "required": ["role"],
    }
    request = {
        "type": "object",
        "description": (
            "OpenAI's chat completion request. null means absent. Fields that are not listed (tools, response_format, "
            "seed ...) are forwarded untouched; what costs money beyond tokens needs a rate, else it is refused."
        ),
        "properties": {
            "model": model["anyOf"][0] | {"description": model["description"]},
            "messages": {"type": "array", "minItems": 1, "items": ref("Message")},
            **properties,
        },
        "required": ["model", "messages"],
        "examples": [{"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}],
    }
    level = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, ref("Percentiles")]}
    usd = {"anyOf": [{"type": "number", "minimum": 0}, STRING, NULL]}
    special = {"max_price": ref("MaxPrice"), "preferred_max_latency": level, "preferred_min_throughput": level}
    preferences = {
        "type": "object",
        "description": "Which providers may serve the call. Never forwarded.",
        "properties": {name: _field(field, special.get(name)) for name, field in PREFERENCES.items()},
        "additionalProperties": False,
    }
    max_price = {
        "type": "object",
        "description": "The most that the wallet may pay, in USD: for a million tokens, for the call, for an image.",
        "properties": dict.fromkeys(MaxPrice.__struct_fields__, usd),
        "additionalProperties": False,
    }
    part = {"type": "object", "properties": {"type": STRING}, "required": ["type"]}
    return {
        "ChatRequest": request,
        "Message": message,
        "ContentPart": part,
        "Preferences": preferences,
        "MaxPrice": max_price,
    }


def _field(field: Field, narrower: Schema | None = None) -> Schema:
    """A field of a request, by the type that it is decoded to; null is absent."""
    (schema,), components = msgspec.json.schema_components((field.decoder.type,))
    if "$ref" in schema:
        (schema,) = components.values()
    schema = _portable(schema)
    described = {"description": f"{field.expected[:1].upper()}{field.expected[1:]}."}
    if narrower is not None and ("$ref" in narrower or "anyOf" in narrower):
        schema = narrower
    elif narrower is not None:
        array = next((one for one in schema.get("anyOf", ()) if one.get("type") == "array"), schema)
        array |= narrower
        described |= {"description": narrower["description"]} if "description" in narrower else {}
    return {**nullable(schema), **described}


def _portable(schema: Schema) -> Schema:
    """With patterns as every reader of JSON Schema knows them (ECMA-262)."""
    changed: Schema = {}
    for key, value in schema.items():
        if key == "pattern":
            value = value.replace(r"\A", "^").replace(r"\Z", "$")
        elif isinstance(value, dict):
            value = _portable(value)
        changed[key] = value
    return changed


def _chat_answer() -> dict[str, Schema]:
    usage = {
        "type": "object",
        "properties": {
            "prompt_tokens": INTEGER,
            "completion_tokens": INTEGER,
            "total_tokens": INTEGER,
            "cost": STRING | {"description": "What the wallet was charged, decimal USD."},
        },
        "required": ["prompt_tokens", "completion_tokens", "cost"],
    }
    common = {"id": STRING, "created": INTEGER, "model": STRING | {"description": "The provider's own name for it."}}
    choices = {"type": "array", "items": {"type": "object"}}
    additions = {"usage": ref("TokensAndCost"), "tollway": ref("Tollway")}
    completion = {
        "type": "object",
        "description": "The provider's answer, values byte for byte, with `usage.cost` and `tollway`.",
        "properties": {**common, "object": {"const": "chat.completion"}, "choices": choices, **additions},
        "required": ["choices", "usage", "tollway"],
    }
    chunk = {
        "type": "object",
        "description": (
            "The data of one event of a stream. Only the last one, with `choices: []`, has `usage` and `tollway`, and "
            "it comes only when `stream_options.include_usage` asks for it."
        ),
        "properties": {
            **common,
            "object": {"const": "chat.completion.chunk"},
            "choices": choices,
            "usage": nullable(ref("TokensAndCost")),
            "tollway": ref("Tollway"),
        },
        "required": ["choices"],
    }
    return {"ChatCompletion": completion, "ChatCompletionChunk": chunk, "TokensAndCost": usage}
