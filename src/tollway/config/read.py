"""Readers: one for each kind of value, composed in the schema. A reader takes what TOML or the environment gave and
answers the finished value, or records what is wrong and answers INVALID, so that every mistake is found in one go.

Must not know which keys there are.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, get_type_hints

import msgspec

from tollway.config.problems import ConfigError, Path, Problem, key_path, one_of, shown

T = TypeVar("T")

INVALID: Any = type("Invalid", (), {"__repr__": lambda self: "INVALID"})()

_WHOLE = re.compile(r"[0-9]{1,18}\Z")
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


class Reading:
    """One pass over a configuration: the mistakes found, and which values an environment variable gave."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._wrong: list[Path] = []
        self.variables: dict[Path, str] = {}

    def variable(self, path: Path) -> str | None:
        """The variable that gave the value at `path` or one around it."""
        return next((name for end in range(len(path), 0, -1) if (name := self.variables.get(path[:end]))), None)

    def report(self, path: Path, expected: str, value: str | None = None) -> None:
        below = (name for place, name in self.variables.items() if place[: len(path)] == path)
        variable = self.variable(path) or next(below, None)
        self.problems.append(Problem(key=key_path(path), expected=expected, value=value, variable=variable))
        self._wrong.append(path)

    def sound(self, *path: str | int) -> bool:
        """Nothing is wrong at `path`, below it, or with the table that it is in."""
        return not any(wrong[: len(path)] == path[: len(wrong)] for wrong in self._wrong)

    def check(self) -> None:
        """Raises ConfigError when anything is wrong."""
        if self.problems:
            raise ConfigError(tuple(self.problems))


class Spot:
    """A place in the configuration that is being read."""

    def __init__(self, reading: Reading, path: Path = ()) -> None:
        self.reading = reading
        self.path = path

    def __truediv__(self, step: str | int) -> "Spot":
        return Spot(self.reading, (*self.path, step))

    @property
    def from_environment(self) -> bool:
        return self.reading.variable(self.path) is not None

    def wrong(self, raw: object, expected: str) -> Any:
        self.reading.report(self.path, expected, shown(raw))
        return INVALID

    def missing(self, expected: str) -> Any:
        """Also for a value that must not be shown."""
        self.reading.report(self.path, expected)
        return INVALID


class Reader(Protocol):
    expected: str  # what to write, said when the value is missing or of another type

    def read(self, raw: object, at: Spot) -> Any: ...


class Text:
    """A string that `parse` makes a value of; its ValueErrors say what would be right. A `secret` is never shown."""

    def __init__(self, parse: Callable[[str], object], example: str, *, why: str = "", secret: bool = False) -> None:
        self.expected = f'write it as text, such as "{example}"{why}'
        self._parse = parse
        self._secret = secret

    def read(self, raw: object, at: Spot) -> Any:
        problem = self.expected
        if isinstance(raw, str):
            try:
                return self._parse(raw)
            except ValueError as error:
                problem = str(error)
        return at.missing(problem) if self._secret else at.wrong(raw, problem)


class OneOf:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.expected = f"write one of {', '.join(words)}"
        self._words = words

    def read(self, raw: object, at: Spot) -> Any:
        if not isinstance(raw, str):
            return at.wrong(raw, self.expected)
        return raw if raw in self._words else at.wrong(raw, one_of(raw, self._words))


class Whole:
    """A whole number from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self.expected = f"write a whole number from {least} to {most}"
        self._range = range(least, most + 1)

    def read(self, raw: object, at: Spot) -> Any:
        value = int(raw) if at.from_environment and isinstance(raw, str) and _WHOLE.match(raw) else raw
        return value if type(value) is int and value in self._range else at.wrong(raw, self.expected)


class Switch:
    """true or false; the environment may say 1 or 0."""

    expected = "write true or false"

    def read(self, raw: object, at: Spot) -> Any:
        value = _SWITCH.get(raw.lower(), raw) if at.from_environment and isinstance(raw, str) else raw
        return value if isinstance(value, bool) else at.wrong(raw, self.expected)


class Items:
    """An array, as a tuple in which a wrong item is INVALID; from the environment also items between commas."""

    def __init__(self, item: Reader, *, least: int = 0, expected: str = "write an array") -> None:
        self.expected = expected
        self.item = item
        self._least = least

    def read(self, raw: object, at: Spot) -> Any:
        if at.from_environment and isinstance(raw, str) and not raw.lstrip().startswith("["):
            raw = [part.strip() for part in raw.split(",") if part.strip()]
        if not isinstance(raw, list) or len(raw) < self._least:
            return at.wrong(raw, self.expected)
        return tuple(self.item.read(value, at / index) for index, value in enumerate(raw))


class Named:
    """A table whose keys the operator chooses; `name` checks each. A wrong entry is left out."""

    def __init__(self, name: Callable[[str], str], value: Reader) -> None:
        self.expected = "write a table"
        self.value = value
        self._name = name

    def read(self, raw: object, at: Spot) -> Any:
        if not isinstance(raw, dict):
            return at.wrong(raw, self.expected)
        found: dict[str, Any] = {}
        for key, value in raw.items():
            try:
                name = self._name(key)
            except ValueError as error:
                (at / key).missing(str(error))
                continue
            if name in found:
                (at / key).missing("is the same as another key here")
            elif (finished := self.value.read(value, at / key)) is not INVALID:
                found[name] = finished
        return found


class Table:
    """A table with the fields of a Struct, each annotated with its reader. A wrong value counts as absent, so that what
    follows is still checked; the table is INVALID when a required one is lost."""

    def __init__(self, struct: type[msgspec.Struct], *, expected: str = "write a table") -> None:
        self.expected = expected
        self.readers: dict[str, Reader] = {
            name: hint.__metadata__[0] for name, hint in get_type_hints(struct, include_extras=True).items()
        }
        self._keys = [name for name, reader in self.readers.items() if not isinstance(reader, Never)]
        self._struct = struct
        self._required = frozenset(field.name for field in msgspec.structs.fields(struct) if field.required)

    def read(self, raw: object, at: Spot) -> Any:
        if not isinstance(raw, dict):
            return at.wrong(raw, self.expected)
        values: dict[str, Any] = {}
        for key, given in raw.items():
            reader = self.readers.get(key)
            if reader is None:
                (at / key).missing(f"unknown key; {one_of(key, self._keys)}")
            elif (value := reader.read(given, at / key)) is not INVALID:
                values[key] = value
        for key in sorted(self._required - raw.keys()):
            (at / key).missing(f"is missing: {self.readers[key].expected}")
        return self._struct(**values) if self._required <= values.keys() else INVALID


class Made:
    """What `make` makes of a table that was read; it may find more that is wrong, and answer INVALID."""

    def __init__(self, table: Table, make: Callable[[Any, Spot], object]) -> None:
        self.expected = table.expected
        self.table = table
        self._make = make

    def read(self, raw: object, at: Spot) -> Any:
        written = self.table.read(raw, at)
        return INVALID if written is INVALID else self._make(written, at)


class Never:
    """A key that people try to write and that must not be there; what it holds is not shown."""

    def __init__(self, expected: str) -> None:
        self.expected = expected

    def read(self, raw: object, at: Spot) -> Any:
        return at.missing(self.expected)


def valid(items: Iterable[T]) -> list[tuple[int, T]]:
    """The items that could be read, with their places."""
    return [(index, item) for index, item in enumerate(items) if item is not INVALID]
