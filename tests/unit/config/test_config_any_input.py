"""Whatever the file and the environment hold, loading ends in a Config or in a ConfigError."""

import tomllib
from collections.abc import Mapping
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from helpers.configs import BASE, PROVIDER
from tollway.config import Config, ConfigError, loads

FULL: dict[str, Any] = tomllib.loads(
    """
    [server]
    listen = "127.0.0.1:8080"
    public_url = "https://router.example.com"
    insecure = false
    max_body = "20MB"
    max_depth = 100
    drain = "30s"
    [auth]
    domains = ["router.example.com"]
    chains = ["eip155:*"]
    accounts = ["*"]
    deny = []
    nonces = "optional"
    [ledger]
    url = "memory:"
    [ops]
    listen = ""
    [billing]
    mode = "prepaid"
    markup = "3%"
    welcome_credit_usd = "0"
    [[providers]]
    id = "openai"
    base_url = "https://api.openai.com/v1"
    api_key_env = "KEY"
    headers = { x-team = "search" }
    timeouts = { idle = "5s" }
    [[providers.models]]
    id = "openai/gpt-4o"
    aliases = ["gpt-4o"]
    context_length = 128000
    part_tokens = { image_url = 1600 }
    timeouts = { idle = "5s" }
    [providers.models.price]
    input = "2.50"
    output = "10.00"
    features = { web_search = "0.01" }
    tiers = [{ above = 200000, input = "5", output = "15" }]
    """
)


def paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, value in items for found in paths(value, (*path, key)))]


PATHS = [path for path in paths(FULL) if path]
NAMES = ["TOLLWAY_" + "__".join(str(step).upper() for step in path) for path in PATHS]

scalars = (
    st.none().map(lambda _: "x")
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "*", "0", "5s", "1MB", "[", "{", "a:b", "openai:gpt-4o", "https://a", "sqlite:///a"])
    | st.dates()
    | st.datetimes()
    | st.times()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def replaced(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    if isinstance(node, dict) and path[0] in node:
        return {**node, path[0]: replaced(node[path[0]], path[1:], value)}
    if isinstance(node, list):
        return [replaced(item, path[1:], value) if index == path[0] else item for index, item in enumerate(node)]
    return node


def quoted(text: str) -> str:
    safe = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08X}" for c in safe) + '"'


def toml(value: Any) -> str:
    """`value` as TOML, tables inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def load_any(text: str, environ: Mapping[str, str]) -> None:
    try:
        assert isinstance(loads(text, environ, BASE), Config)
    except ConfigError as error:
        assert len(str(error).splitlines()) == len(error.problems) > 0


def test_the_configuration_that_is_damaged_below_is_sound() -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in FULL.items())
    assert isinstance(loads(text, {"KEY": "sk-1"}, BASE), Config)


@given(text=st.text())
@example(text="\ud800")
@example(text="a = " + "[" * 2000)
@example(text="a = 0x" + "f" * 5000)
@example(text="server.max_depth = 0x" + "f" * 5000)
@example(text='"\\u2028" = 1')
def test_any_text(text: str) -> None:
    load_any(text, {})


@given(changes=st.lists(st.tuples(st.sampled_from(PATHS), values), min_size=1, max_size=4))
def test_any_value_at_any_key(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    tree = FULL
    for path, value in changes:
        tree = replaced(tree, path, value)
    load_any("\n".join(f"{key} = {toml(value)}" for key, value in tree.items()), {"KEY": "sk-1"})


texts = st.text(st.characters(exclude_characters="\0")) | st.sampled_from(
    [
        "",
        "[]",
        "{}",
        "[1]",
        '{"id": 1}',
        '[{"id": "a"}, null]',
        "null",
        "[" * 5000,
        "a,b",
        "\udcff",
        '"\udcff"',
        "[\udcff]",
    ]
)
names = (
    st.sampled_from(NAMES)
    | st.lists(st.sampled_from(["SERVER", "PROVIDERS", "MODELS", "PRICE", "ID", "0", "1", "OPENAI", "", "x"])).map(
        lambda steps: "TOLLWAY_" + "__".join(steps)
    )
    | st.text(st.characters(exclude_characters="\0=")).map("TOLLWAY_{}".format)
    | st.text(st.characters(exclude_characters="\0=")).map("TOLLWAY_SERVER__{}".format)
)


@given(environ=st.dictionaries(names, texts, max_size=6), text=st.sampled_from(["", PROVIDER]))
def test_any_environment(environ: dict[str, str], text: str) -> None:
    load_any(text, environ)
