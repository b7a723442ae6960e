"""What is wrong with a configuration, said so that it can be put right: where, what was given, what is expected.

Must not know the schema. Whatever is quoted from outside is escaped onto one line, cut, and rid of passwords.
"""

import difflib
import re
from collections.abc import Iterable
from itertools import islice

import msgspec

Path = tuple[str | int, ...]

SHOWN_MAX = 80  # characters of a value that a message quotes: enough to find it by
SEARCHED_MAX = 2_000  # characters of a value that is searched for what must not be shown: quadratic at the worst
LISTED_MAX = 20  # names that a message lists
NAME_MAX = 64  # a longer name is no misspelling; comparing is quadratic in it
COMPARED_MAX = 3_000  # names: more than the price book has. Others come from outside, where there may be a million

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_UP_TO_AT = re.compile(r"(\w*:(?://)?)?.*@", re.ASCII | re.DOTALL)
_QUERY = re.compile(r"(://[^?]*\?).+", re.DOTALL)
_PASSWORD = re.compile(r"(pass\w*|pwd)\s?=.+", re.DOTALL | re.IGNORECASE)  # in libpq's and others' own words, no URL


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake. `key` is its path in TOML's spelling, "" for the file as a whole; `value` what was given, None when
    it is missing or must not be shown; `variable` the environment variable that it came from."""

    key: str
    expected: str
    value: str | None = None
    variable: str | None = None

    def __str__(self) -> str:
        given = "" if self.value is None else f" = {self.value}"
        origin = "" if self.variable is None else f" (from {_key(self.variable)})"
        return f"{self.key}{given}{origin}: {self.expected}" if self.key else self.expected


class ConfigError(ValueError):
    """A configuration that can't be served. Carries every mistake that was found, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def key_path(path: Path) -> str:
    """`providers[0].models[1].price.input`"""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{_key(step)}" if text else _key(step)
    return text


def shown(value: object) -> str:
    """`value` as a message quotes it. In text that holds an @, what may be a user and password is left out; so are the
    query of a URL, and whatever follows `password=`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if len(value) > SEARCHED_MAX:
            return f"a text of {len(value)} characters"
        safe = _PASSWORD.sub(r"\1=***", _QUERY.sub(r"\1***", _UP_TO_AT.sub(r"\1***@", value)))
        return repr(safe if len(safe) <= SHOWN_MAX else safe[:SHOWN_MAX] + "…")
    if isinstance(value, dict):
        return "{...}"
    if isinstance(value, list):
        return "[...]"
    if isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"  # Python refuses to print those of over 4,300 digits
    return str(value)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names`, as far as they are looked at, that `name` is most likely a misspelling of."""
    plain = {_plain(other): other for other in islice(names, COMPARED_MAX)}
    near = difflib.get_close_matches(_plain(name), plain, 1)
    return plain[near[0]] if near else None


def one_of(name: str, names: Iterable[str]) -> str:
    """What would be right instead of `name`: the near one, else all there are."""
    known = sorted(names)
    near = nearest(name, known)
    if near:
        return f'did you mean "{near}"?'
    more = ", ..." if len(known) > LISTED_MAX else ""
    return f"known here: {', '.join(known[:LISTED_MAX]) or 'none'}{more}."


def _plain(name: str) -> str:
    return name[:NAME_MAX].lower().replace("-", "_")


def _key(step: str) -> str:
    return step if _BARE_KEY.match(step) else shown(step)
