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
from tollway.metering.price_book import ModelSize, PriceRow

MODELS_MAX = 3  # of a provider, unless more are asked for
LOCAL_MODELS_MAX = 5
HOSTED_CONTEXT = 32_768  # where nobody says: short enough for whatever is hosted today
LOCAL_CONTEXT = 4_096  # Ollama's and others' own default

_NO_CHAT = re.compile(r"embed|rerank|whisper|tts|bge-|nomic-|clip|stable-diffusion|flux", re.IGNORECASE)


class Known(msgspec.Struct, frozen=True):
    """What the price book has, by its provider and the model's name in lower case."""

    rows: Mapping[tuple[str, str], PriceRow]
    sizes: Mapping[tuple[str, str], ModelSize]


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """One model as it will be written. `row` is None for a server of one's own, which is free. `context_length` is None
    where the book knows it, and `sure` unless it is a guess."""

    id: str
    upstream: str
    row: PriceRow | None
    context_length: int | None
    sure: bool


class Unpriced(ValueError):
    """A model that a configuration would not load with; the text says what to do."""


def choose(found: Found, known: Known) -> tuple[Chosen, ...]:
    """Models to begin with; none when there is nothing to choose from."""
    preset = found.preset
    if preset.local:
        listed = [model for model in found.models or () if not _NO_CHAT.search(model.name) and _writable(model.name)]
        return tuple(_chosen(found, model.name, known) for model in listed[:LOCAL_MODELS_MAX])
    suggested = [name for name in SUGGESTED.get(preset.id, ()) if _row(found, name, known)]
    if found.models is None:
        return tuple(_chosen(found, name, known) for name in suggested[:MODELS_MAX])
    there = {model.name.lower() for model in found.models}
    names = [name for name in suggested if name.lower() in there] or _newest(found, found.models, known)
    return tuple(_chosen(found, name, known) for name in names[:MODELS_MAX])


def named(found: Found, name: str, known: Known) -> Chosen:
    """The model of that name at a provider. Raises Unpriced."""
    if not _writable(name):
        raise Unpriced(f"{name!r} is no model's name: write it without spaces, as the provider does")
    if found.preset.local or _row(found, name, known):
        return _chosen(found, name, known)
    book = found.preset.price_book
    near = nearest(name, (row.model for row in known.rows.values() if row.provider == book))
    hint = f'did you mean "{near}"? Else ' if near else ""
    raise Unpriced(
        f"the price book has no {name!r} of {found.preset.id}: {hint}write it by hand, with its price "
        "(docs/configuration.md)"
    )


def _chosen(found: Found, name: str, known: Known) -> Chosen:
    preset = found.preset
    row = None if preset.local else _row(found, name, known)
    sized = row is not None and row.key in known.sizes
    listed = next((model.context_length for model in found.models or () if model.name.lower() == name.lower()), None)
    guess = LOCAL_CONTEXT if preset.local else HOSTED_CONTEXT
    return Chosen(
        id=public_id(preset.id, name, local=preset.local),
        upstream=name,
        row=row,
        context_length=None if sized else listed or guess,
        sure=sized or listed is not None,
    )


def public_id(provider: str, name: str, *, local: bool) -> str:
    """What callers write. A name that has its maker in front stands for the same model everywhere, so that providers
    of it are fallbacks for each other; any other is the provider's."""
    return name if name.count("/") == 1 and not local else f"{provider}/{name}"


def _newest(found: Found, listed: Sequence[Listed], known: Known) -> list[str]:
    """Of what is listed and priced, the newest; as listed where no dates are."""
    priced = [model for model in listed if _row(found, model.name, known) and not _NO_CHAT.search(model.name)]
    return [model.name for model in sorted(priced, key=lambda model: -model.created)]


def _row(found: Found, name: str, known: Known) -> PriceRow | None:
    book = found.preset.price_book
    return None if book is None else known.rows.get((book, name.lower()))


def _writable(name: str) -> bool:
    try:
        model_name(name)
    except ValueError:
        return False
    return '"' not in name and "\\" not in name
