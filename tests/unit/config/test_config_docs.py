"""docs/configuration.md and docs/tollway.example.toml say what the schema says."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tollway.config import Config, load
from tollway.config.prices import PriceTable
from tollway.config.read import INVALID, Items, Made, Never, Reader, Reading, Spot, Table
from tollway.config.schema import CONFIG, TimeoutsTable
from tollway.domain.plan import Timeouts

DOCS = Path(__file__).parents[3] / "docs"

_ROW = re.compile(r"\| `([a-z_.]+)` \| (.+?) \| (.+?) \| `(.+?)` \| (.+?) \|")
_CODE = re.compile(r"`([^`]+)`\Z")
# A table whose absence means what its empty form means.
_FILLED_IN = {"providers.timeouts", "providers.models.timeouts"}


def walk(table: Table, prefix: str = "") -> dict[str, Reader]:
    """Every key that may be written, with its reader. A price's keys stand under `price`, wherever it is used."""
    found: dict[str, Reader] = {}
    for name, reader in table.readers.items():
        if isinstance(reader, Never):
            continue
        inner: Any = reader.item if isinstance(reader, Items) else reader
        inner = inner.table if isinstance(inner, Made) else inner
        if prefix or not isinstance(inner, Table):
            found[prefix + name] = reader
        if isinstance(inner, Table):
            found |= walk(inner, "price." if inner.readers.keys() >= {"tiers"} else f"{prefix}{name}.")
    return found


KEYS = walk(CONFIG)
ROWS = {row[1]: row for row in map(_ROW.match, (DOCS / "configuration.md").read_text().splitlines()) if row}


def default_of(key: str) -> Any:
    """The default of a key's field; NODEFAULT when it is required."""
    struct: Any = PriceTable if key.startswith("price.") else Config
    *parents, name = key.removeprefix("price.").split(".")
    for parent in parents:
        fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
        struct = TimeoutsTable if parent == "timeouts" else _struct_in(fields[parent])
    field = next(field for field in msgspec.structs.fields(struct) if field.name == name)
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def _struct_in(hint: Any) -> Any:
    """The Struct in a hint such as `Annotated[tuple[TierTable, ...] | None, ...]`."""
    while not (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        hint = hint.__origin__ if hasattr(hint, "__metadata__") else hint.__args__[0]
    return hint


def finished(key: str, text: str) -> Any:
    reading = Reading()
    value = KEYS[key].read(tomllib.loads(f"value = {text}")["value"], Spot(reading))
    reading.check()
    return value


def test_the_page_has_every_key_and_no_other() -> None:
    assert set(ROWS) == set(KEYS)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_has_an_example_that_is_accepted(key: str) -> None:
    assert finished(key, ROWS[key][4]) is not INVALID


@pytest.mark.parametrize("key", sorted(set(KEYS) - _FILLED_IN))
def test_the_default_on_the_page_is_the_schemas(key: str) -> None:
    written, default = ROWS[key][3], default_of(key)
    code = _CODE.match(written)
    if default is msgspec.NODEFAULT:
        assert written == "required"
    elif code is not None and code[1] not in {name.rpartition(".")[2] for name in KEYS}:
        assert finished(key, code[1]) == default
    else:
        assert default in (None, "", (), 0) or "the provider's" in written


@pytest.mark.parametrize("key", sorted(_FILLED_IN))
def test_an_empty_table_of_timeouts_is_all_defaults(key: str) -> None:
    assert finished(key, _CODE.match(ROWS[key][3])[1]) == Timeouts()  # type: ignore[index]


def test_every_timeout_can_be_written() -> None:
    assert TimeoutsTable.__struct_fields__ == Timeouts.__struct_fields__


def test_the_example_is_a_configuration() -> None:
    config = load(DOCS / "tollway.example.toml", {"OPENAI_API_KEY": "sk-1"})
    assert [provider.id for provider in config.providers] == ["openai", "local"]


def test_what_the_example_comments_out_is_a_default() -> None:
    text = (DOCS / "tollway.example.toml").read_text()
    section, seen = "", 0
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        if (match := re.match(r"# ([a-z_]+) = ([^#]+)", line)) and "default:" not in line:
            key = f"{section}.{match[1]}"
            if match[1] != "welcome_credit_total_usd":
                assert finished(key, match[2]) == default_of(key)
            seen += 1
    assert seen > 10
