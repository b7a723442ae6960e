"""`tollway init`: from what is there to a configuration that loads, in a few answers or none."""

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tollway.cli.common import DEFAULT_URL, CommandFailed, JsonFlag, command, out, print_json
from tollway.cli.doctor.finding import counted
from tollway.cli.init import questions
from tollway.cli.init.choose import Chosen, Known, Unpriced, choose, named
from tollway.cli.init.found import Found, look, usable
from tollway.cli.init.write import SIMULATED, SIMULATOR, Plan, check, exists, save, text
from tollway.cli.serve import bind
from tollway.config.load import DEFAULT_FILE
from tollway.config.places import Address, local_url, url_text
from tollway.config.proxies import proxies_alone
from tollway.metering.price_files import shipped
from tollway.upstream.http1.transport import Http1Transport

HOST = "127.0.0.1"
PORT = 8080
OPS_PORT = 9464
PORTS_TRIED = 20


@command
def init(
    file: Annotated[Path, typer.Option("--out", help="The file to write; never overwritten.")] = DEFAULT_FILE,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", help="A ready-made provider (ID, or ID=BASE_URL), or simulator. Can be repeated."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model, as its provider calls it. Can be repeated.")
    ] = None,
    public_url: Annotated[str | None, typer.Option("--public-url", help="What callers will type.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take what is found.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a configuration: what is found on this machine, with a comment for each choice.

    On a terminal it asks, with an answer ready for each question. Keys stay in the environment and are never shown.

    \b
    Example:
      tollway init
      tollway init --provider openai --provider groq --yes
      tollway init --provider simulator --out try.toml
    """
    if file.exists() and not force:
        raise CommandFailed(exists(file))
    if not file.parent.is_dir():
        raise CommandFailed(f"there is no folder {file.parent}: make it first")
    wanted = dict(questions.provider(given) for given in provider or [])
    given_url = None if public_url is None else url_text(public_url)
    asking = sys.stdin.isatty() and not yes and not as_json
    book = shipped()
    known = Known(book.index(), book.size_index())
    found = asyncio.run(_look(wanted or dict.fromkeys(usable(os.environ))))
    if not as_json:
        questions.say(found, searched=not wanted)
    names = list(wanted) or [name for name, each in found.items() if each.usable]
    if asking and not wanted:
        answered = questions.providers(names)
        names = list(answered)
        found |= asyncio.run(_look({name: place for name, place in answered.items() if place or name not in found}))
    chosen = [(found[name], _models(found[name], model, known, asking)) for name in names if name != SIMULATOR]
    listen, ops = _free(PORT), _free(OPS_PORT)
    place = given_url or local_url(listen)
    if asking and given_url is None:
        place = questions.public_url(place)
    plan = Plan(
        listen=listen,
        ops=ops,
        public_url=place,
        providers=tuple(_with_named(chosen, model or [], known)),
        simulator=SIMULATOR in names or not chosen,
    )
    written = text(plan)
    check(written, plan, file.parent)
    save(file, written, force=force)
    _tell(file, plan, as_json)


async def _look(wanted: Mapping[str, str | None]) -> dict[str, Found]:
    transport = Http1Transport(proxies=proxies_alone(os.environ))
    try:
        real = {name: base_url for name, base_url in wanted.items() if name != SIMULATOR}
        return {each.preset.id: each for each in await look(real, os.environ, transport)}
    finally:
        await transport.aclose()


def _models(found: Found, given: Sequence[str] | None, known: Known, asking: bool) -> tuple[Chosen, ...]:
    return questions.models(found, known) if asking and not given else choose(found, known)


def _with_named(
    chosen: Sequence[tuple[Found, tuple[Chosen, ...]]], models: Sequence[str], known: Known
) -> list[tuple[Found, tuple[Chosen, ...]]]:
    """Each --model at the provider that has it, in place of what would be chosen there. Raises CommandFailed for a
    model that nobody has, and for a provider that is left without any."""
    if models and not chosen:
        raise CommandFailed("--model: name the --provider that has it")
    asked: dict[str, list[Chosen]] = {}
    for name in models:
        where, model = _placed(name, [found for found, _ in chosen], known)
        asked.setdefault(where.preset.id, []).append(model)
    result = [(found, tuple(asked.get(found.preset.id, picked))) for found, picked in chosen]
    for found, picked in result:
        if not picked:
            why = f" ({found.trouble})" if found.trouble else ""
            raise CommandFailed(
                f"{found.preset.name}: no model to write{why}: name one with --model, or leave that provider out"
            )
    return result


def _placed(name: str, providers: Sequence[Found], known: Known) -> tuple[Found, Chosen]:
    """The provider of a model: the one named before its first slash, else the first that lists it or has a price."""
    own, _, rest = name.partition("/")
    for found in providers:
        if found.preset.id == own and rest:
            return found, named(found, rest, known)
    listing = [found for found in providers if any(model.name == name for model in found.models or ())]
    refused: Unpriced | None = None
    for found in (*listing, *(found for found in providers if not found.preset.local), *providers):
        try:
            return found, named(found, name, known)
        except Unpriced as error:
            refused = refused or error
    assert refused is not None, "there is a provider"
    raise CommandFailed(f"--model: {refused}")


def _free(port: int) -> Address:
    """The first port from `port` on that nobody listens at."""
    for candidate in range(port, port + PORTS_TRIED):
        place = Address(HOST, candidate)
        try:
            bind(place).close()
        except OSError:
            continue
        return place
    return Address(HOST, port)  # the start will say so


def _tell(file: Path, plan: Plan, as_json: bool) -> None:
    served = {found.preset.id: [model.id for model in models] for found, models in plan.providers}
    if plan.simulator:
        served[SIMULATOR] = [SIMULATED]
    commands = _next(file, plan)
    if as_json:
        keys = {found.preset.id: found.key for found, _ in plan.providers}
        told = [{"id": name, "key": keys.get(name), "models": models} for name, models in served.items()]
        print_json({"file": str(file), "public_url": plan.public_url, "providers": told, "next": commands})
        return
    models = [model for each in served.values() for model in each]
    out.print(f"Wrote {file}: {', '.join(served)}; {counted(len(models), 'model')}, such as {models[0]}.")
    out.print("Next:")
    for line in commands:
        out.print(f"  {line}")


def _next(file: Path, plan: Plan) -> list[str]:
    """The next three commands, and what has to be there before them: for client commands, the router's address where
    it is not the one that they ask of themselves."""
    config = "" if file == DEFAULT_FILE else f" --config {shlex.quote(str(file))}"
    unset = [found.preset.keys[0] for found, _ in plan.providers if found.key is None and not found.preset.local]
    return [
        *(f"export {name}=..." for name in unset),
        *(["tollway simulate"] if plan.simulator else []),
        f"tollway doctor{config}",
        f"tollway serve{config}",
        *([f"export TOLLWAY_URL={shlex.quote(plan.public_url)}"] if plan.public_url != DEFAULT_URL else []),
        "tollway wallet new --out wallet.json",
    ]
