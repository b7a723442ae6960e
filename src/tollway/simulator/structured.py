"""A value that a JSON schema describes: what a model that keeps to the schema might answer, the same every time.

Covers what OpenAI's structured outputs allow (objects, arrays, enums, anyOf, references, ranges), and allOf by its
members one after another. Of a `pattern` nothing is kept: a text that fits one can't be told without a search."""

from typing import Any, TypeGuard

from tollway.simulator.prose import expected_text

NODES_MAX = 10_000  # values in one instance: references can name each other, and more would be no answer
DEPTH_MAX = 32
SHALLOW = 4  # levels of optional members and array items; below them only what has to be there
WORDS = 3  # of a string
ITEMS_MAX = 100
CHARS_MAX = 10_000

FORMATS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "heron@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "uri": "https://example.com/",
}


class Endless(ValueError):
    """A schema that needs more than any answer holds, such as one that requires itself."""


def instance(schema: Any) -> Any:
    """A value for `schema`, any decoded JSON; members that are no schema are taken for one that allows everything.
    Raises Endless."""
    return _Instance(schema).of(schema, 0)


class _Instance:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._nodes = 0

    def of(self, schema: Any, depth: int) -> Any:
        self._nodes += 1
        if depth > DEPTH_MAX or self._nodes > NODES_MAX:
            raise Endless(f"the schema needs more than {NODES_MAX} values, or {DEPTH_MAX} levels of them")
        if not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            return self.of(self._target(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if choices := _list(schema, "enum"):
            return choices[0]
        for word in ("anyOf", "oneOf"):
            if options := _list(schema, word):
                return self.of(_option(options, depth), depth + 1)
        if parts := _list(schema, "allOf"):
            return self._all(schema, parts, depth)
        return self._typed(schema, depth)

    def _target(self, reference: Any) -> Any:
        """What a reference within the document names."""
        found = self._root
        for step in str(reference).removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _all(self, schema: dict[str, Any], parts: list[Any], depth: int) -> Any:
        own = {name: value for name, value in schema.items() if name != "allOf"}
        values = [self.of(part, depth + 1) for part in [*parts, own] if part]
        if all(isinstance(value, dict) for value in values):
            return {name: value for each in values for name, value in each.items()}
        return values[0]

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0] if kind else None
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _text(schema)
        if kind in ("integer", "number"):
            return _number(schema)
        if kind == "boolean":
            return True
        return None if kind == "null" else self._object(schema, depth)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        members = schema.get("properties")
        if not isinstance(members, dict):
            return {}
        wanted = _list(schema, "required")
        return {
            name: self.of(member, depth + 1) for name, member in members.items() if name in wanted or depth < SHALLOW
        }

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = _whole(schema, "minItems", 0)
        count = max(least, min(1, _whole(schema, "maxItems", 1)) if depth < SHALLOW else 0)
        return [self.of(schema.get("items"), depth + 1) for _ in range(min(count, ITEMS_MAX))]


def _option(options: list[Any], depth: int) -> Any:
    """The first, or further down the one that ends it."""
    ends = [option for option in options if isinstance(option, dict) and option.get("type") == "null"]
    return ends[0] if ends and depth >= SHALLOW else options[0]


def _text(schema: dict[str, Any]) -> str:
    known = FORMATS.get(str(schema.get("format")))
    if known is not None:
        return known
    text = expected_text(WORDS).strip()
    least = min(_whole(schema, "minLength", 0), CHARS_MAX)
    if len(text) < least:
        text = expected_text(least)[:least]
    return text[: _whole(schema, "maxLength", len(text))]


def _number(schema: dict[str, Any]) -> int | float:
    """7, or what is allowed nearest to it."""
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    found: int | float = 7
    if _is_number(most):
        found = min(found, most)
    if _is_number(below):
        found = min(found, below - 1)
    if _is_number(least):
        found = max(found, least)
    if _is_number(above):
        found = max(found, above + 1)
    step = schema.get("multipleOf")
    if _is_number(step) and step > 0 and found % step:
        found += step - found % step
    return -int(-found // 1) if schema.get("type") == "integer" else found


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(schema: dict[str, Any], name: str, default: int) -> int:
    value = schema.get(name)
    return max(0, int(value)) if _is_number(value) else default


def _list(schema: dict[str, Any], name: str) -> list[Any]:
    value = schema.get(name)
    return value if isinstance(value, list) else []
