"""What can be used at once: keys in the environment, servers on this machine, and the models that each lists.

Asks with a provider's own key and never shows it; changes nothing.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tollway.assembly import dialect
from tollway.cli.doctor.ask import Unreached, ask
from tollway.config.load import loads
from tollway.config.presets import PRESETS, Preset
from tollway.config.problems import ConfigError
from tollway.domain.clock import SystemClock
from tollway.domain.seams import Transport
from tollway.wire import json

LOCAL_S = 3.0  # a server on this machine answers at once
HOSTED_S = 10.0
CONTEXT_MAX = 100_000_000  # a list that says more is mistaken

# Where lists say how long a context is: OpenRouter and Together, Groq, Mistral, vLLM, Gemini.
_CONTEXT_KEYS = ("context_length", "context_window", "max_context_length", "max_model_len", "inputTokenLimit")

_PROVIDER = """
[[providers]]
preset = "{id}"
{base_url}
[[providers.models]]
id = "a/model"
price = {{ input = "0", output = "0" }}
context_length = 1
"""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a provider's own list. `context_length` is None, `created` (Unix time) 0 where it doesn't say."""

    name: str
    context_length: int | None = None
    created: int = 0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that may be used. `key` is the variable that its key is in (None: it needs none, or none is set);
    `models` is None where its list could not be had, and `trouble` says why."""

    preset: Preset
    base_url: str | None = None  # where it is not the preset's
    key: str | None = None
    models: tuple[Listed, ...] | None = None
    trouble: str | None = None

    @property
    def usable(self) -> bool:
        """Answers calls as things stand."""
        return self.models is not None if self.preset.local else self.key is not None


async def look(wanted: Mapping[str, str | None], environ: Mapping[str, str], transport: Transport) -> tuple[Found, ...]:
    """Look at presets side by side; each id with the base URL to use instead of the preset's, or None."""
    return tuple(await asyncio.gather(*(_look(PRESETS[name], url, environ, transport) for name, url in wanted.items())))


def usable(environ: Mapping[str, str]) -> list[str]:
    """The presets worth a look: with a key in the environment, or on this machine."""
    return [preset.id for preset in PRESETS.values() if preset.base_url and (preset.local or key(preset, environ))]


def key(preset: Preset, environ: Mapping[str, str]) -> str | None:
    """The variable that a preset's key is in; None when none of them is set."""
    return next((name for name in preset.keys if environ.get(name, "").strip()), None)


async def _look(preset: Preset, base_url: str | None, environ: Mapping[str, str], transport: Transport) -> Found:
    variable = key(preset, environ)
    found = Found(preset=preset, base_url=base_url, key=variable)
    if variable is None and not preset.local:
        return found
    written = "" if base_url is None else f"base_url = {json.encode(base_url).decode()}"
    given = {} if variable is None else {variable: environ[variable]}
    try:
        (provider,) = loads(_PROVIDER.format(id=preset.id, base_url=written), given, Path()).providers
    except ConfigError as error:
        return msgspec.structs.replace(found, trouble=str(error))
    try:
        request = dialect(provider, SystemClock()).models()
        reply = await ask(transport, request, LOCAL_S if preset.local else HOSTED_S)
    except Unreached as why:
        return msgspec.structs.replace(found, trouble=why.found)
    models = read_models(reply.body) if reply.status == 200 else None
    trouble = None if models is not None else f"GET /models answers with status {reply.status}, without a list"
    if reply.status in (401, 403):
        trouble = f"it refuses the key in {variable} (status {reply.status})" if variable else "it wants a key"
    return msgspec.structs.replace(found, models=models, trouble=trouble)


def read_models(body: bytes) -> tuple[Listed, ...] | None:
    """A list of models; None when it is none, or a Tollway router's own: a router may have the port of a server."""
    try:
        value = json.decode(body)
    except ValueError:
        return None
    data = value.get("data") if isinstance(value, dict) else value
    if not isinstance(data, list):
        return None
    items = [item for item in data if isinstance(item, dict) and isinstance(item.get("id"), str)]
    if any("pricing" in item and "providers" in item and "architecture" in item for item in items):
        return None
    return tuple(
        Listed(
            name=item["id"].removeprefix("models/"),
            context_length=_context(item),
            created=item["created"] if isinstance(item.get("created"), int) else 0,
        )
        for item in items
    )


def _context(item: Mapping[str, Any]) -> int | None:
    meta = item.get("meta")  # llama.cpp: what it was started with, before what the model could do
    inner = [meta.get(name) for name in ("n_ctx", "n_ctx_train")] if isinstance(meta, dict) else []
    return _first_count((*(item.get(name) for name in _CONTEXT_KEYS), *inner))


def _first_count(values: Iterable[object]) -> int | None:
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 < v <= CONTEXT_MAX), None)
