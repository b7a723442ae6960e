"""The fields of a chat request that the router reads: their types, their ranges, and what to say when they are wrong.

After OpenAI's reference of POST /chat/completions. `messages` and `tools` are measured elsewhere; a field that is in no
table is forwarded untouched.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from tollway.domain.call import Sort
from tollway.domain.errors import RequestError
from tollway.domain.money import parse_usd
from tollway.intake.limits import (
    COUNT_MAX,
    FIELD_NAME_MAX,
    FIELDS_MAX,
    KIND_MAX,
    MODEL_ID_MAX,
    SMALL_FIELD_BYTES_MAX,
    USER_MAX,
    Limits,
)
from tollway.wire.json import DecodeError, Raw, ValidationError, unchecked_decoder

_SHOWN_BYTES_MAX = 40  # of a wrong value, in the message that says so

ModelId = Annotated[str, msgspec.Meta(min_length=1, max_length=MODEL_ID_MAX)]
WORD = re.compile(rf"\A[A-Za-z0-9_.:/$-]{{1,{KIND_MAX}}}\Z")
Word = Annotated[str, msgspec.Meta(pattern=WORD.pattern)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Figure = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Levels by percentile."""

    p50: Figure | None = None
    p75: Figure | None = None
    p90: Figure | None = None
    p99: Figure | None = None


class Field(NamedTuple):
    decoder: msgspec.json.Decoder[Any]
    expected: str
    absent: Any = None  # what stands for a field that isn't there


def _field(type: Any, expected: str, absent: Any = None) -> Field:
    return Field(unchecked_decoder(type), expected, absent)


_LEVEL = _field(Figure | Figures, "a number over 0, or an object of them by percentile: p50, p75, p90, p99")
_COUNT = f"an integer from 1 to {COUNT_MAX}"


FIELDS: dict[str, Field] = {
    "model": _field(ModelId, f"a model id: a string of 1 to {MODEL_ID_MAX} characters, such as openai/gpt-4o"),
    "models": _field(list[ModelId], "an array of model ids to fall back to", ()),
    "provider": _field(
        dict[str, Raw],
        "an object of preferences: order, only, ignore, allow_fallbacks, sort, require_parameters, data_collection, "
        "max_price, preferred_max_latency, preferred_min_throughput",
    ),
    "max_cost": _field(str, 'an amount in USD as a string with at most 9 decimals, such as "0.05"'),
    "stream": _field(bool, "true or false", False),
    "stream_options": _field(StreamOptions, "an object such as {include_usage: true}"),
    "temperature": _field(Annotated[float, msgspec.Meta(ge=0, le=2)], "a number from 0 to 2"),
    "top_p": _field(Annotated[float, msgspec.Meta(ge=0, le=1)], "a number from 0 to 1"),
    "presence_penalty": _field(Penalty, "a number from -2 to 2"),
    "frequency_penalty": _field(Penalty, "a number from -2 to 2"),
    "n": _field(Count, _COUNT, 1),
    "max_tokens": _field(Count, _COUNT),
    "max_completion_tokens": _field(Count, _COUNT),
    "stop": _field(str | list[str], "a string or an array of strings"),
    "user": _field(Annotated[str, msgspec.Meta(max_length=USER_MAX)], f"a string of at most {USER_MAX} characters"),
    "service_tier": _field(Word, "the name of a tier, such as auto"),
    "modalities": _field(list[Word], "an array of names, such as text and audio", ()),
    "speed": _field(Word, "the name of a speed, such as standard"),
}

# The values of all of them, read in one step. What this takes is right, whichever of two repeated keys is meant; what
# it refuses is read field by field, to say what is wrong.
Values: Any = msgspec.defstruct(
    "Values",
    [(name, field.decoder.type, field.absent) for name, field in FIELDS.items() if name != "model"]
    + [("model", FIELDS["model"].decoder.type)],
    frozen=True,
    kw_only=True,
    gc=False,
)
_values = unchecked_decoder(Values)

# Fields by which some servers let a caller set the length or the number of answers past the standard ones. The hold is
# computed from the standard ones: forwarded, each would let a call cost more than was ever reserved for it.
OTHER_SPELLINGS: dict[str, str] = {
    "n_predict": "max_tokens",  # llama.cpp
    "num_predict": "max_tokens",  # Ollama
    "max_new_tokens": "max_tokens",  # text-generation-inference
    "max_output_tokens": "max_tokens",  # Responses, Gemini
    "max_tokens_to_sample": "max_tokens",  # Anthropic's older API
    "best_of": "n",  # vLLM
    "n_cmpl": "n",  # llama.cpp
    "num_return_sequences": "n",
    "candidate_count": "n",  # Gemini
}

STREAM_OPTIONS = ("include_usage",)

PREFERENCES: dict[str, Field] = {
    "order": _field(list[ModelId], "an array of provider names"),
    "only": _field(list[ModelId], "an array of provider names"),
    "ignore": _field(list[ModelId], "an array of provider names"),
    "allow_fallbacks": _field(bool, "true or false"),
    "sort": _field(Sort, "price, latency or throughput"),
    "require_parameters": _field(bool, "true or false"),
    "data_collection": _field(Literal["allow", "deny"], "allow or deny"),
    "max_price": _field(dict[str, Raw], "an object of prices in USD: prompt, completion, request, image"),
    "preferred_max_latency": _LEVEL,
    "preferred_min_throughput": _LEVEL,
}
NULL = Raw(b"null")
_PLACE = re.compile(r"at `\$([^`]+)`\Z")  # where in a value msgspec found its fault, such as [4] or .include_usage


class Spellings(NamedTuple):
    exact: frozenset[str]
    by_folded: Mapping[str, str]


def spellings(*tables: Iterable[str]) -> Spellings:
    """The names of all tables, and by what `check_spelling` compares."""
    names = [name for table in tables for name in table]
    return Spellings(frozenset(names), {_folded(name): name for name in names})


def check_spelling(fields: Mapping[str, Raw], known: Spellings, within: str = "") -> None:
    """RequestError for a name that is not one of `known` (from `spellings`) but that some server takes for one: in Go's
    JSON names match in any case, in that of protocol buffers in camel case too. Forwarded, `Max_Tokens` or `maxTokens`
    would be a cap that nothing was held for, and `MODEL` another model at this one's price."""
    for name in fields.keys() - known.exact:
        if len(name) <= FIELD_NAME_MAX and (meant := known.by_folded.get(_folded(name))) is not None:
            raise RequestError(f"{within}{name} is not served here; write {within}{meant}.", param=f"{within}{name}")


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


def read_fields(body: bytes, fields: dict[str, Raw], limits: Limits) -> Any:
    """`Values` of the fields the router reads, in `body`, whose top level is `fields`; nulls are taken out of it.
    RequestError names what is wrong."""
    if NULL in fields.values():
        for name in [name for name, raw in fields.items() if raw == NULL]:
            del fields[name]
    if len(fields) > FIELDS_MAX:
        raise RequestError(f"The body has {len(fields)} fields; at most {FIELDS_MAX} are read.")
    try:
        # No field of a body that is short enough is longer than it may be.
        values = _values.decode(body) if len(body) <= SMALL_FIELD_BYTES_MAX else _read_each(fields)
    except DecodeError:
        values = _read_each(fields)
    for name in OTHER_SPELLINGS.keys() & fields.keys():
        raise RequestError(f"{name} is not served here; use {OTHER_SPELLINGS[name]} instead.", param=name)
    _check_counts(values, limits)
    return values


def _read_each(fields: dict[str, Raw]) -> Any:
    values = {name: read_value(name, field, raw) for name, raw in fields.items() if (field := FIELDS.get(name))}
    if "model" not in values:
        raise RequestError(f"model is missing; it must be {FIELDS['model'].expected}.", param="model")
    return Values(**values)


def max_cost(text: str) -> int:
    """`max_cost` in nano-USD."""
    try:
        return parse_usd(text)
    except ValueError:
        cut = text[:_SHOWN_BYTES_MAX]
        raise RequestError(
            f"max_cost is {cut!r}; it must be {FIELDS['max_cost'].expected}.", param="max_cost"
        ) from None


def check_word(name: str, word: str) -> str:
    """`word`, which a caller chose and which will name something in explanations and prices."""
    if WORD.match(word) is None:
        raise RequestError(f"{name} must be a word of at most {KIND_MAX} letters, digits and _.:/$-.", param=name)
    return word


def shown(raw: Raw) -> str:
    """The beginning of a wrong value, as the caller wrote it."""
    cut = bytes(memoryview(raw)[: _SHOWN_BYTES_MAX + 1])
    text = cut[:_SHOWN_BYTES_MAX].decode(errors="replace")
    return text if len(cut) <= _SHOWN_BYTES_MAX else f"{text}..."


def place(fault: ValidationError) -> str:
    """Where in a value msgspec found `fault`, as a suffix to the value's name: "", "[4]", ".include_usage"."""
    found = _PLACE.search(str(fault))
    return found[1] if found else ""


def read_value(name: str, field: Field, raw: Raw) -> Any:
    """The value of the field called `name`. RequestError when it is another one."""
    if len(raw) > SMALL_FIELD_BYTES_MAX:
        raise RequestError(f"{name} is longer than {SMALL_FIELD_BYTES_MAX} bytes.", param=name)
    try:
        return field.decoder.decode(raw)
    except ValidationError as fault:
        raise RequestError(
            f"{name} is {shown(raw)}; it must be {field.expected}.", param=f"{name}{place(fault)}"
        ) from None


def _check_counts(values: Any, limits: Limits) -> None:
    if values.n > limits.max_n:
        raise RequestError(f"n is {values.n}; it must be at most {limits.max_n}.", param="n")
    if isinstance(values.stop, list) and len(values.stop) > limits.max_stop:
        count = len(values.stop)
        raise RequestError(f"stop has {count} strings; at most {limits.max_stop} are allowed.", param="stop")
    if len(values.models) > limits.max_models:
        count = len(values.models)
        raise RequestError(f"models has {count} ids; at most {limits.max_models} are tried.", param="models")
    newer, older = values.max_completion_tokens, values.max_tokens
    if newer is not None and older is not None and newer != older:
        raise RequestError(
            f"max_tokens is {older} and max_completion_tokens is {newer}; give one of them, or the same value.",
            param="max_tokens",
        )
