"""The questions of `tollway init`, for a person at a terminal. Each has an answer that is right for most."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import typer

from tollway.cli.init.choose import Chosen, Known, choose, named
from tollway.cli.init.found import Found
from tollway.cli.init.write import SIMULATOR
from tollway.config.places import url_text
from tollway.config.presets import PRESETS
from tollway.config.problems import one_of

T = TypeVar("T")


def ask(question: str, default: str, read: Callable[[str], T]) -> T:
    """Ask until the answer can be read; `read` says in a ValueError what would be right."""
    while True:
        answer: str = typer.prompt(question, default=default, err=True)
        try:
            return read(answer.strip())
        except ValueError as error:
            typer.echo(f"  {error}", err=True)


def providers(usable: Sequence[str]) -> dict[str, str | None]:
    """Which providers, as `provider` reads each; what can be used at once is the default, or else the simulator."""
    typer.echo(f"Ready-made: {', '.join((*ready_made(), SIMULATOR))}", err=True)
    return ask("Providers, with commas between them", ", ".join(usable) or SIMULATOR, provider_names)


def provider_names(text: str) -> dict[str, str | None]:
    """ValueError for one that isn't known, or has no address of its own."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise ValueError("name at least one")
    return dict(provider(name) for name in names)


def provider(text: str) -> tuple[str, str | None]:
    """The id, and the base URL after an "=", or None for the ready-made one. ValueError says what would be right."""
    name, equals, base_url = text.partition("=")
    name = name.strip().lower()
    if name == SIMULATOR:
        return name, None
    if name not in PRESETS:
        raise ValueError(f"no ready-made provider {name!r}: {one_of(name, (*PRESETS, SIMULATOR))}")
    if PRESETS[name].base_url is None and not equals:
        raise ValueError(
            f"{PRESETS[name].name} has an address of your own and models by your own names: write it by hand, "
            "as docs/providers.md shows"
        )
    return name, url_text(base_url.strip()) if equals else None


def ready_made() -> list[str]:
    """The ready-made providers that can be written without being told more."""
    return [preset.id for preset in PRESETS.values() if preset.base_url is not None]


def models(found: Found, known: Known) -> tuple[Chosen, ...]:
    """Which models of a provider."""
    default = choose(found, known)
    if not default:
        typer.echo(f"{found.preset.name}: nothing to suggest; name its models, as it does", err=True)

    def read(text: str) -> tuple[Chosen, ...]:
        names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        if not names:
            raise ValueError("name at least one")
        return tuple(named(found, name, known) for name in names)

    return ask(f"Models of {found.preset.name}", ", ".join(model.upstream for model in default), read)


def public_url(default: str) -> str:
    return ask("What callers type to reach the router", default, url_text)


def say(found: Mapping[str, Found], *, searched: bool) -> None:
    """What was found, and what not: never a key. `searched` where no provider was named."""
    for each in found.values():
        if each.usable:
            place = (
                f"key in {each.key}" if each.key is not None else f"running at {each.base_url or each.preset.base_url}"
            )
            count = "" if each.models is None else f", lists {len(each.models)} models"
            trouble = "" if each.trouble is None else f"; but {each.trouble}"
            typer.echo(f"Found {each.preset.name}: {place}{count}{trouble}", err=True)
    if searched and not any(each.usable for each in found.values()):
        typer.echo(
            "Found no provider that can be used at once: no key in the environment, no model server on this machine. "
            "The simulated provider needs neither.",
            err=True,
        )
