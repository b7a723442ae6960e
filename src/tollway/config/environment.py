"""Overrides from the environment: TOLLWAY_SERVER__LISTEN sets server.listen, TOLLWAY_PROVIDERS__OPENAI__BASE_URL the
base_url of the provider with that id. They are laid over what TOML gave, before anything is read.

Must not know what a key means; a variable that fits nowhere is left in the tree, where reading finds it unknown.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tollway.config.problems import Path, one_of, shown
from tollway.config.read import Reading
from tollway.wire import json

PREFIX = "TOLLWAY_"

_INDEX = re.compile(r"(?:0|[1-9][0-9]{0,3})\Z")
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]+")

Variables = list[tuple[str, tuple[str, ...]]]


def overrides(environ: Mapping[str, str], sections: Iterable[str]) -> Variables:
    """The variables that set something, and the steps to what they set; those of whole tables and of numbered items
    come first, so that the others find what these made.

    Other TOLLWAY_ variables (TOLLWAY_CONFIG, what an orchestrator sets for a service called tollway) are not ours."""
    known = {section.upper() for section in sections}
    found = [
        (name, tuple(name.removeprefix(PREFIX).split("__")))
        for name in environ
        if name.startswith(PREFIX) and ("__" in name or name.removeprefix(PREFIX) in known)
    ]
    return sorted(found, key=lambda item: [(not _INDEX.match(step), len(step), step) for step in item[1]])


def overlay(tree: dict[str, Any], environ: Mapping[str, str], variables: Variables, reading: Reading) -> None:
    """Lay the variables over `tree`, in place."""
    for name, steps in variables:
        if name != name.upper():
            reading.report((name,), "write the name of the variable in capitals")
        else:
            _place(tree, steps, name, environ[name], reading)


def near_misses(environ: Mapping[str, str], keys: Iterable[Path], reading: Reading) -> None:
    """Report variables with a single "_" where there must be two: they would be ignored without a word."""
    for path in keys:
        steps = [str(step).upper() for step in path]
        name = PREFIX + "_".join(steps)
        if name in environ:
            reading.report((name,), f"write {PREFIX}{'__'.join(steps)} (two underscores)")


def _place(tree: dict[str, Any], steps: tuple[str, ...], name: str, text: str, reading: Reading) -> None:
    node: Any = tree
    path: Path = ()
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        try:
            key = _find(node, step)
        except ValueError as error:
            reading.report((name,), str(error))
            return
        path = (*path, key)
        if following is None:
            node[key] = _value(text)
        elif node.get(key) is None if isinstance(node, dict) else node[key] is None:
            node[key] = [] if _INDEX.match(following) else {}
        node = node[key]
    reading.variables[path] = name


def _find(node: Any, step: str) -> str | int:
    """The key of `step` in a table, or its place in an array, which grows by one for the next free number."""
    if isinstance(node, dict):
        return step.lower()
    if not isinstance(node, list):
        raise ValueError(f"{shown(step)} would be set inside of what is a single value")
    if _INDEX.match(step):
        if int(step) > len(node):
            raise ValueError(f"{step} leaves a gap: the next free number is {len(node)}")
        if int(step) == len(node):
            node.append(None)
        return int(step)
    ids = [_spelled(item) for item in node]
    places = [index for index, spelled in enumerate(ids) if spelled == step]
    if len(places) == 1:
        return places[0]
    if places:
        raise ValueError(f"{step} stands for several here: write a number instead, {places[0]} for the first")
    known = one_of(step, [spelled for spelled in ids if spelled])
    raise ValueError(f"no id is spelled {shown(step)} here; {known} To add one, write the number {len(node)}")


def _spelled(item: Any) -> str | None:
    """How the id of a table is spelled in a variable's name: openai/gpt-4o is OPENAI_GPT_4O. A provider without one has
    its preset's."""
    written = item.get("id", item.get("preset")) if isinstance(item, dict) else None
    return _NOT_IN_NAMES.sub("_", written.upper()).strip("_") if isinstance(written, str) else None


def _value(text: str) -> Any:
    """JSON for arrays and tables, else the text itself."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json.decode(text)
        except (json.DecodeError, UnicodeError):
            return text
    return text
