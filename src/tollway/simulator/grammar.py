"""The one syntax of scenarios: `key=value` pairs joined by `&` or `,`, values percent-encoded as in a query string.

The table KEYS is the whole language; docs/simulator.md explains each key. Knows nothing of HTTP."""

import difflib
import re
from collections.abc import Callable
from typing import Any, cast, get_args
from urllib.parse import quote, unquote_plus

import msgspec

from tollway.simulator.scenario import (
    SPLIT_CHARACTERS,
    Fault,
    FaultName,
    FinishReason,
    Scenario,
    UsageStyle,
)
from tollway.wire import json

SPEC_CHARS_MAX = 65_536  # one scenario as written: room for a long text=, and no more than a header can carry
SECONDS_MAX = 3_600.0  # nothing waits longer than any router would
CALLS_MAX = 128  # as many tools as OpenAI takes in one request
TOKENS_MAX = 1_000_000  # an answer longer than any context
NAME_PATTERN = r"[A-Za-z0-9._:-]{1,64}"  # gates, ids, tools: safe in JSON, headers and URLs as they are

POSITIONED = frozenset({"reset", "cut", "end", "stall", "truncated", "damaged", "not_utf8", "noise", "error"})
ALIASES = {"n": "tokens"}

_UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0, "m": 1 / 60, "h": 1 / 3600}


class ScenarioError(ValueError):
    """A scenario that can't be read. The message names the key, the value and what would be right."""


class Key(msgspec.Struct, frozen=True):
    """One key: `parse` raises ValueError for anything but what `wants` says; `render` is its inverse."""

    parse: Callable[[str], Any]
    wants: str
    render: Callable[[Any], str] = str


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,10}(?:\.\d{1,6})?)(us|ms|s|m|h)", text, re.ASCII)
    if match is None:
        if text == "0":
            return 0.0
        raise ValueError(text)
    seconds = float(match[1]) / _UNITS[match[2]]
    if seconds > SECONDS_MAX:
        raise ValueError(text)
    return seconds


def _number(text: str) -> float:
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,6})?", text, re.ASCII) is None:
        raise ValueError(text)
    return float(text)


def _share(text: str) -> float:
    if (share := _number(text)) > 1:
        raise ValueError(text)
    return share


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if re.fullmatch(r"-?\d{1,18}", text, re.ASCII) is None or not low <= (value := int(text)) <= high:
            raise ValueError(text)
        return value

    return parse


def _status(text: str) -> int:
    if (status := _whole(200, 599)(text)) != 200 and status < 400:
        raise ValueError(text)
    return status


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError(text)
    return text == "on"


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return parse


def _name(text: str) -> str:
    if re.fullmatch(NAME_PATTERN, text, re.ASCII) is None:
        raise ValueError(text)
    return text


def _header_value(text: str) -> str:
    if re.fullmatch(r"[\x20-\x7e]{1,128}", text) is None:
        raise ValueError(text)
    return text


def _raw_json(text: str) -> str:
    try:
        json.decode(text)
    except (json.DecodeError, UnicodeError) as error:
        raise ValueError(text) from error
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split("."))
    if any(re.fullmatch(r"[a-z_]{1,64}", name) is None for name in names):
        raise ValueError(text)
    return names


def _split(text: str) -> int:
    return SPLIT_CHARACTERS if text == "char" else _whole(1, SPEC_CHARS_MAX)(text)


def _fault(text: str) -> Fault:
    name, at, position = text.partition("@")
    if name not in get_args(FaultName) or (at and name not in POSITIONED):
        raise ValueError(text)
    return Fault(cast(FaultName, name), _whole(0, 100_000_000)(position) if at else None)


def _quoted(value: object) -> str:
    return quote(str(value), safe="")


def _fault_text(fault: Fault) -> str:
    return fault.name if fault.at is None else f"{fault.name}@{fault.at}"


_DURATION = Key(_seconds, "a duration up to 1h such as 20ms, 1.5s or 2m", lambda value: f"{round(value * 1e6)}us")
_SWITCH = Key(_switch, "on or off", lambda value: "on" if value else "off")
_TEXT = Key(str, "any text, percent-encoded", _quoted)
_NAME = Key(_name, "1 to 64 letters, digits or . _ : -", _quoted)
_TOKENS = Key(_whole(0, TOKENS_MAX), f"a whole number from 0 to {TOKENS_MAX}")
_ANY_INTEGER = Key(_whole(-(10**17), 10**17), "a whole number, negative or absurd if you like")

KEYS: dict[str, Key] = {
    "delay": _DURATION,
    "first": _DURATION,
    "gap": _DURATION,
    "rate": Key(_number, "tokens a second such as 50 or 12.5", lambda value: f"{value:.6f}"),
    "tokens": _TOKENS,
    "text": _TEXT,
    "reasoning": _TOKENS,
    "tool": _NAME,
    "arguments": Key(_raw_json, "a JSON value, percent-encoded", _quoted),
    "calls": Key(_whole(1, CALLS_MAX), f"a whole number from 1 to {CALLS_MAX}"),
    "finish": Key(_one_of(get_args(FinishReason)), " or ".join(get_args(FinishReason))),
    "role_chunk": _SWITCH,
    "model": _TEXT,
    "id": _NAME,
    "usage": Key(_one_of(get_args(UsageStyle)), " or ".join(get_args(UsageStyle))),
    "prompt_tokens": _ANY_INTEGER,
    "completion_tokens": _ANY_INTEGER,
    "cached": _ANY_INTEGER,
    "usage_raw": Key(_raw_json, "a JSON value, percent-encoded", _quoted),
    "crlf": _SWITCH,
    "comments": _SWITCH,
    "bom": _SWITCH,
    "ids": _SWITCH,
    "multiline": _SWITCH,
    "chunked": _SWITCH,
    "done": _SWITCH,
    "split": Key(
        _split, "bytes a write, from 1, or char", lambda value: "char" if value == SPLIT_CHARACTERS else str(value)
    ),
    "burst": Key(_whole(1, 10_000), "events a write, from 1 to 10000"),
    "refuse": Key(_names, "names of fields or roles joined by dots, such as stream_options.developer", ".".join),
    "status": Key(_status, "an HTTP status from 400 to 599, or 200"),
    "code": _TEXT,
    "retry_after": Key(_header_value, "seconds or an HTTP date, sent as it stands", _quoted),
    "retry_after_ms": Key(_whole(0, 10**9), "whole milliseconds"),
    "fault": Key(
        _fault,
        "one of "
        + ", ".join(name + "[@k]" if name in POSITIONED else name for name in get_args(FaultName))
        + ", where k counts events (bytes of a batch body)",
        _fault_text,
    ),
    "fault_times": Key(_whole(0, 10**9), "a whole number of attempts"),
    "fault_rate": Key(_share, "a share from 0 to 1 such as 0.1", lambda value: f"{value:.6f}"),
    "seed": _ANY_INTEGER,
    "lockstep": _NAME,
    "barrier": _NAME,
}


def parse_scenario(text: str, base: Scenario | None = None) -> Scenario:
    """`base` with the keys that `text` sets. ScenarioError says which key is wrong, and what would be right."""
    base = base or Scenario()
    if len(text) > SPEC_CHARS_MAX:
        raise ScenarioError(f"the scenario has {len(text)} characters, at most {SPEC_CHARS_MAX}")
    changes: dict[str, Any] = {}
    for pair in re.split("[&,]", text):
        if not pair:
            continue
        written, equals, value = pair.partition("=")
        name = ALIASES.get(written, written)
        key = KEYS.get(name)
        if key is None:
            raise ScenarioError(_unknown(written))
        if not equals:
            raise ScenarioError(f"{written!r} needs a value: {written}=..., {key.wants}")
        if name in changes:
            raise ScenarioError(f"{written!r} is given twice; give it once")
        value = unquote_plus(value, errors="replace")
        try:
            changes[name] = key.parse(value)
        except ValueError as error:
            raise ScenarioError(f"{written}={value[:80]!r} is not right: write {key.wants}") from error
    return msgspec.structs.replace(base, **changes) if changes else base


def render_scenario(scenario: Scenario) -> str:
    """The keys in which `scenario` differs from the default, as parse_scenario reads them."""
    default = Scenario()
    pairs = ((name, getattr(scenario, name)) for name in KEYS if getattr(scenario, name) != getattr(default, name))
    return "&".join(f"{name}={KEYS[name].render(value)}" for name, value in pairs)


def _unknown(written: str) -> str:
    near = difflib.get_close_matches(written, [*KEYS, *ALIASES], n=1)
    hint = f", did you mean {near[0]!r}?" if near else "."
    return f"unknown key {written[:80]!r}{hint} The keys are {', '.join(KEYS)} (n is short for tokens)"
