"""Ready-made providers, as data/providers.toml lists them: what a configuration need not say of a known provider.

Must not know what a configuration says; laying the two together is load.py's.
"""

import datetime as dt
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from tollway.config import names
from tollway.config.places import url_text
from tollway.domain.quirks import DialectName, Quirk

User = Literal["hash", "forward", "omit"]


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ready-made provider. ValueError when a value could not stand in a configuration, or lacks its source."""

    id: str
    name: str
    base_url: str | None = None  # None: every customer has one of their own, which looks like the example
    base_url_example: str | None = None
    keys: tuple[str, ...] = ()  # the environment variables in which its key is usually found, the likeliest first
    dialect: DialectName | None = None  # the API it speaks; None: as configured by default
    auth_header: str | None = None  # the header that carries the key; None: authorization, as a bearer token
    query: dict[str, str] = {}  # sent with every request
    price_book: str | None = None  # its id in the price book
    user: User | None = None  # None: as configured by default
    quirks: tuple[Quirk, ...] = ()
    unsupported: tuple[str, ...] = ()  # capabilities and request fields that it refuses, or would ignore
    local: bool = False  # runs on the operator's own machines: its key is optional
    key_url: str | None = None  # where a key is made
    source: str  # where its address and its API are documented
    sources: dict[
        str, str
    ] = {}  # of a quirk, a refused field (`unsupported`: of all of them) or `user`: where it is said
    checked: dt.date  # when that was looked up
    note: str = ""  # what an operator should know

    def __post_init__(self) -> None:
        names.provider_id(self.id)
        if (self.base_url is None) == (self.base_url_example is None):
            raise ValueError(f"{self.id} needs base_url, or base_url_example")
        address = self.base_url or self.base_url_example or ""
        if url_text(address) != address:
            raise ValueError(f"{self.id}: write {url_text(address)}")
        for variable in self.keys:
            names.variable_name(variable)
        for word in self.unsupported:
            names.droppable_name(word)
        if not self.local and not (self.keys and self.key_url):
            raise ValueError(f"{self.id} needs keys and key_url: only a local server goes without")
        said = {*self.quirks, *self.unsupported} | ({"user"} if self.user else set())
        general = self.unsupported if "unsupported" in self.sources else ()
        if unsourced := said - self.sources.keys() - set(general):
            raise ValueError(f"{self.id}: sources says nothing about {', '.join(sorted(unsourced))}")
        if idle := self.sources.keys() - said - {"unsupported"}:
            raise ValueError(f"{self.id}: sources speaks of {', '.join(sorted(idle))}, which it doesn't have")

    def key_variable(self, environ: Mapping[str, str]) -> str | None:
        """The variable to take the key from: the first that is set, else the likeliest. None when it needs no key: a
        local server, unless the variable is set."""
        found = next((name for name in self.keys if environ.get(name)), None)
        return found or (None if self.local else self.keys[0])

    def written(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """What it says of a provider, as a configuration would write it."""
        said = {
            "id": self.id,
            "base_url": self.base_url,
            "api_key_env": self.key_variable(environ),
            "dialect": self.dialect,
            "auth_header": self.auth_header,
            "query": dict(self.query),
            "price_book": self.price_book,
            "user": self.user,
            "quirks": list(self.quirks),
            "unsupported": list(self.unsupported),
        }
        return {name: value for name, value in said.items() if value}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    providers: tuple[Preset, ...]


def parse(text: str) -> Mapping[str, Preset]:
    """The presets of a data file, by id, in its order. ValueError names what is wrong in it."""
    listed = msgspec.convert(tomllib.loads(text), _File).providers
    found = {preset.id: preset for preset in listed}
    if len(found) != len(listed):
        raise ValueError("a provider is listed twice")
    return MappingProxyType(found)


PRESETS: Mapping[str, Preset] = parse((files("tollway.config") / "data" / "providers.toml").read_text("utf-8"))
