"""From the bytes of a request to a Call: checked, measured, and ready to be written anew for any provider.

The top level is decoded once to raw values and re-encoded from them, so that a repeated key can't mean one thing here
and another at the provider. Nothing here knows of models, prices or who calls.
"""

import hashlib
from typing import Any, Literal

import msgspec

from tollway.domain.call import NO_PREFERENCES, Call, PromptSize
from tollway.domain.errors import RequestError
from tollway.intake.features import FIELD_FEATURES, asked_features, brings_text
from tollway.intake.limits import REQUEST_ID_MAX
from tollway.intake.limits import Limits as Limits
from tollway.intake.needs import needs
from tollway.intake.preferences import preferences
from tollway.intake.prompt import measure
from tollway.intake.schema import (
    FIELDS,
    OTHER_SPELLINGS,
    STREAM_OPTIONS,
    check_spelling,
    max_cost,
    read_fields,
    spellings,
)
from tollway.wire.json import DEPTH_MAX, DecodeError, Raw, ValidationError, decode_fields, unchecked_decoder
from tollway.wire.structure import TooDeep, TooManyNodes, check_structure

ROUTER_FIELDS = frozenset({"provider", "models", "max_cost"})  # read here, never forwarded

_KNOWN = spellings(FIELDS, OTHER_SPELLINGS, FIELD_FEATURES, ("messages", "tools", "chat_template_kwargs"))
_KNOWN_OPTIONS = spellings(STREAM_OPTIONS)


def parse(body: bytes, *, id: str, limits: Limits, client_request_id: str | None = None) -> Call:
    """The Call that `body` asks for. Raises RequestError, whose `param` names the field that is wrong.

    `fields` has every field but the router's own and those that are null; `model` is as the caller wrote it.
    """
    fields = _top_level(body, limits)
    values = read_fields(fields, limits)
    check_spelling(fields, _KNOWN)
    if "stream_options" in fields:
        check_spelling(decode_fields(fields["stream_options"]), _KNOWN_OPTIONS, "stream_options.")
    cap, cap_field = _output_cap(fields, values)
    features = asked_features(fields, values)
    chosen = preferences(values["provider"]) if "provider" in values else NO_PREFERENCES
    for name in ROUTER_FIELDS & fields.keys():
        del fields[name]
    prompt = measure(fields, limits)
    needed = needs(fields, prompt.parts)
    for feature in features:
        if brings_text(feature):
            prompt.add_part(feature)
    options = values.get("stream_options")
    size = PromptSize(
        text_bytes=prompt.text_bytes,
        messages=prompt.messages,
        parts=tuple(sorted(prompt.parts.items())) if prompt.parts else (),
    )
    return Call(
        id,
        values["model"],
        size,
        fields,
        hashlib.sha256(body).hexdigest(),
        fallbacks=tuple(values["models"]) if "models" in values else (),
        stream=values.get("stream", False),
        include_usage=bool(options is not None and options.include_usage),
        n=values.get("n", 1),
        max_tokens=cap,
        max_tokens_field=cap_field,
        max_cost=max_cost(values["max_cost"]) if "max_cost" in values else None,
        preferences=chosen,
        features=features,
        needs=needed,
        user=values.get("user"),
        client_request_id=client_request_id[:REQUEST_ID_MAX] if client_request_id is not None else None,
    )


_fields: msgspec.json.Decoder[dict[str, Raw]] = unchecked_decoder(dict[str, Raw])


def _top_level(body: bytes, limits: Limits) -> dict[str, Raw]:
    if not body:
        raise RequestError("The body is empty; send a JSON object with model and messages.")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as fault:
            raise RequestError(f"The body is not valid UTF-8 (byte {fault.start}).") from None
    max_depth = min(limits.max_depth, DEPTH_MAX)
    try:
        check_structure(body, max_depth=max_depth, max_nodes=limits.max_nodes)
        return _fields.decode(body)
    except TooDeep:
        raise RequestError(
            f"The body is nested too deep: at most {max_depth} levels of arrays and objects are accepted."
        ) from None
    except TooManyNodes:
        raise RequestError(
            f"The body has more than {limits.max_nodes} arrays, objects and members: send less at once."
        ) from None
    except ValidationError:
        raise RequestError("The body must be a JSON object with model and messages.") from None
    except DecodeError as fault:
        raise RequestError(f"The body is not valid JSON: {fault}.") from None


def _output_cap(
    fields: dict[str, Raw], values: dict[str, Any]
) -> tuple[int | None, Literal["max_tokens", "max_completion_tokens"]]:
    """The caller's cap and the spelling it is forwarded in. Given both ways, the older one is dropped: providers refuse
    the two together, and a cap that the router lowers must not be there twice."""
    newer: int | None = values.get("max_completion_tokens")
    if newer is not None:
        fields.pop("max_tokens", None)
        return newer, "max_completion_tokens"
    return values.get("max_tokens"), "max_tokens"
