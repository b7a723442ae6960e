"""Which models of a provider are written, and with which figures: those that it lists and the price book knows.

Pure. A price is never guessed: a model that has none is not written.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from tollway.cli.init.found import Found, Listed
from tollway.cli.init.suggested import SUGGESTED
from tollway.config.names import model_name
from tollway.config.problems import nearest
from tollway.metering.price_book import PriceRow

MODELS_MAX = 3  # of a provider, unless more are asked for
LOCAL_MODELS_MAX = 5
HOSTED_CONTEXT = 32_768  # where nobody says: short enough for whatever is hosted today
LOCAL_CONTEXT = 4_096  # Ollama's and others' own default
OUTPUT_MAX = 16_384  # as much is held for a call that names no limit of its own
SMALL_OUTPUT_MAX = 4_096

_NO_CHAT = re.compile(r"embed|rerank|whisper|tts|bge-|nomic-|clip|stable-diffusion|flux", re.IGNORECASE)

Rows = Mapping[tuple[str, str], PriceRow]


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """One model as it will be written. `sure`: the context length is known; `free`: a server of one's own."""

    id: str
    upstream: str
    context_length: int
    max_output_tokens: int
    sure: bool
    free: bool


class Unpriced(ValueError):
    """A model that a configuration would not load with; the text says what to do."""


def choose(found: Found, rows: Rows) -> tuple[Chosen, ...]:
    """Models to begin with; none when there is nothing to choose from."""
    preset = found.preset
    if preset.local:
        listed = [model for model in found.models or () if not _NO_CHAT.search(model.name) and _writable(model.name)]
        return tuple(_chosen(found, model.name) for model in listed[:LOCAL_MODELS_MAX])
    suggested = [model.upstream for model in SUGGESTED.get(preset.id, ()) if row(found, model.upstream, rows)]
    if found.models is None:
        return tuple(_chosen(found, name) for name in suggested[:MODELS_MAX])
    there = {model.name.lower() for model in found.models}
    names = [name for name in suggested if name.lower() in there] or _newest(found, found.models, rows)
    return tuple(_chosen(found, name) for name in names[:MODELS_MAX])


def named(found: Found, name: str, rows: Rows) -> Chosen:
    """The model of that name at a provider. Raises Unpriced."""
    if not _writable(name):
        raise Unpriced(f"{name!r} is no model's name: write it without spaces, as the provider does")
    if found.preset.local or row(found, name, rows):
        return _chosen(found, name)
    book = found.preset.price_book
    near = nearest(name, (row.model for row in rows.values() if row.provider == book))
    hint = f'did you mean "{near}"? Else ' if near else ""
    raise Unpriced(
        f"the price book has no {name!r} of {found.preset.id}: {hint}write it by hand, with its price "
        "(docs/configuration.md)"
    )


def _chosen(found: Found, name: str) -> Chosen:
    preset = found.preset
    listed = next((model.context_length for model in found.models or () if model.name.lower() == name.lower()), None)
    known = next((m.context_length for m in SUGGESTED.get(preset.id, ()) if m.upstream.lower() == name.lower()), None)
    context = listed or known or (LOCAL_CONTEXT if preset.local else HOSTED_CONTEXT)
    return Chosen(
        id=public_id(preset.id, name, local=preset.local),
        upstream=name,
        context_length=context,
        max_output_tokens=min(OUTPUT_MAX if known else SMALL_OUTPUT_MAX, context),
        sure=bool(listed or known),
        free=preset.local,
    )


def public_id(provider: str, name: str, *, local: bool) -> str:
    """What callers write. A name that has its maker in front stands for the same model everywhere, so that providers
    of it are fallbacks for each other; any other is the provider's."""
    return name if name.count("/") == 1 and not local else f"{provider}/{name}"


def _newest(found: Found, listed: Sequence[Listed], rows: Rows) -> list[str]:
    """Of what is listed and priced, the newest; as listed where no dates are."""
    priced = [model for model in listed if row(found, model.name, rows) and not _NO_CHAT.search(model.name)]
    return [model.name for model in sorted(priced, key=lambda model: -model.created)]


def row(found: Found, name: str, rows: Rows) -> PriceRow | None:
    book = found.preset.price_book
    return None if book is None else rows.get((book, name.lower()))


def _writable(name: str) -> bool:
    try:
        model_name(name)
    except ValueError:
        return False
    return '"' not in name and "\\" not in name
