"""From the bytes of a request to a Call: checked, measured, and ready to be written anew for any provider.

The top level is decoded once to raw values and re-encoded from them, so that a repeated key can't mean one thing here
and another at the provider. Nothing here knows of models, prices or who calls.
"""

import hashlib
from typing import Any, Literal

import msgspec

from tollway.domain.call import NO_PREFERENCES, Call, Preferences, PromptSize
from tollway.domain.errors import RequestError
from tollway.intake.features import ASKING, FIELD_FEATURES, asked_features, brings_text
from tollway.intake.limits import REQUEST_ID_MAX
from tollway.intake.limits import Limits as Limits
from tollway.intake.needs import needs
from tollway.intake.preferences import preferences
from tollway.intake.prompt import NOT_PROMPT, measure
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

# Fields that ask for nothing by being there, in any spelling that a server reads: all that most requests have.
_PLAIN = NOT_PROMPT - ASKING - ROUTER_FIELDS - {"stream_options"}
_NOTHING: frozenset[str] = frozenset()


def parse(body: bytes, *, id: str, limits: Limits, client_request_id: str | None = None) -> Call:
    """The Call that `body` asks for. Raises RequestError, whose `param` names the field that is wrong.

    `fields` has every field but the router's own and those that are null; `model` is as the caller wrote it.
    """
    fields = _top_level(body, limits)
    values = read_fields(body, fields, limits)
    features, chosen = (_NOTHING, NO_PREFERENCES) if fields.keys() <= _PLAIN else _asked(fields, values)
    cap, cap_field = _output_cap(fields, values)
    prompt = measure(fields, limits)
    needed = needs(fields, prompt.parts)
    for feature in features:
        if brings_text(feature):
            prompt.add_part(feature)
    options = values.stream_options
    size = PromptSize(
        text_bytes=prompt.text_bytes,
        messages=prompt.messages,
        parts=tuple(sorted(prompt.parts.items())) if prompt.parts else (),
    )
    return Call(
        id,
        values.model,
        size,
        fields,
        hashlib.sha256(body).hexdigest(),
        fallbacks=tuple(values.models),
        stream=values.stream,
        include_usage=bool(options is not None and options.include_usage),
        n=values.n,
        max_tokens=cap,
        max_tokens_field=cap_field,
        max_cost=None if values.max_cost is None else max_cost(values.max_cost),
        preferences=chosen,
        features=features,
        needs=needed,
        user=values.user,
        client_request_id=client_request_id[:REQUEST_ID_MAX] if client_request_id is not None else None,
    )


def _asked(fields: dict[str, Raw], values: Any) -> tuple[frozenset[str], Preferences]:
    """What fields ask for that not every request has: features, and preferences. The router's own are taken out."""
    check_spelling(fields, _KNOWN)
    if "stream_options" in fields:
        check_spelling(decode_fields(fields["stream_options"]), _KNOWN_OPTIONS, "stream_options.")
    features = asked_features(fields, values)
    chosen = NO_PREFERENCES if values.provider is None else preferences(values.provider)
    for name in ROUTER_FIELDS & fields.keys():
        del fields[name]
    return features, chosen


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
    fields: dict[str, Raw], values: Any
) -> tuple[int | None, Literal["max_tokens", "max_completion_tokens"]]:
    """The caller's cap and the spelling it is forwarded in. Given both ways, the older one is dropped: providers refuse
    the two together, and a cap that the router lowers must not be there twice."""
    newer: int | None = values.max_completion_tokens
    if newer is not None:
        fields.pop("max_tokens", None)
        return newer, "max_completion_tokens"
    return values.max_tokens, "max_tokens"
