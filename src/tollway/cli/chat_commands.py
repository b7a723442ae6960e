"""What can be said to the chat itself: lines that begin with a slash. One table, and a function for each.

A function gets the session and what stood after the command. It gives back a message to ask, or None.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tollway.cli.chat_session import Session
from tollway.cli.common import CommandFailed, out, print_table
from tollway.cli.models import price_row
from tollway.config.problems import nearest
from tollway.wire import json

NOTHING = "-"  # said in place of a system prompt, takes it away


class Left(Exception):
    """The conversation is over."""


class Slash(NamedTuple):
    run: Callable[[Session, str], str | None]
    takes: str
    help: str


def obey(session: Session, line: str) -> str | None:
    """Carry out a line that begins with a slash. Raises CommandFailed, Left, and what asking a router raises."""
    name, _, argument = line.strip().partition(" ")
    found = COMMANDS.get(name)
    if found is None:
        near = nearest(name, COMMANDS)
        hint = f"did you mean {near}?" if near else "/help lists them."
        raise CommandFailed(f"no command {name}: {hint} A message may begin with a slash after a space.")
    return found.run(session, argument.strip())


def _model(session: Session, name: str) -> None:
    if name:
        known = session.model_names()
        plain = name.rpartition(":")[2] not in known and name.partition(":")[0] not in known
        if plain:
            near = nearest(name, known)
            raise CommandFailed(f"no model {name}: {f'did you mean {near}?' if near else '/models lists them.'}")
        session.talk.asking.model = name
    out.print(f"model: {session.talk.asking.model}")


def _models(session: Session, _: str) -> None:
    session.models = session.router.get("/models")["data"]
    print_table(
        ("model", "input", "output", "aliases"),
        [(*price_row(model)[:3], ", ".join(model["aliases"])) for model in session.models],
        right=("input", "output"),
    )


def _system(session: Session, text: str) -> None:
    if text:
        session.talk.asking.system = None if text == NOTHING else text
    out.print(f"system prompt: {session.talk.asking.system or 'none'}")


def _clear(session: Session, _: str) -> None:
    session.talk.clear()
    out.print("forgotten: the next message begins a new conversation")


def _cost(session: Session, _: str) -> None:
    session.settle()
    talk = session.talk
    waiting = f"; {len(talk.uncounted)} stopped or broken, not booked yet" if talk.uncounted else ""
    answers = "1 whole answer" if talk.answers == 1 else f"{talk.answers} whole answers"
    out.print(f"{talk.spent_usd} USD in this session: {answers}, {talk.tokens} tokens{waiting}")


def _retry(session: Session, _: str) -> str:
    message = session.talk.again()
    if message is None:
        raise CommandFailed("nothing has been asked yet")
    return message


def _save(session: Session, name: str) -> None:
    """As Markdown; as a request's JSON body when the name ends in .json. Never over another file."""
    if not name:
        raise CommandFailed("/save FILE: name the file; one that ends in .json is written as a request's body")
    path = Path(name).expanduser()
    talk = session.talk
    is_json = path.suffix == ".json"
    data = json.encode(talk.asking.body(talk.turns)) + b"\n" if is_json else talk.transcript().encode()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise CommandFailed(f"{path} exists: choose another name") from None
    except OSError as error:
        raise CommandFailed(f"{path} can't be written: {error.strerror}") from None
    out.print(f"{len(talk.turns) // 2} turns written to {path}")


def _help(_: Session, __: str) -> None:
    for name, slash in COMMANDS.items():
        out.print(f"  {f'{name} {slash.takes}'.strip():<14}  {slash.help}")
    out.print('A message goes on after a line that ends in \\, and between """ and """.')
    out.print("Ctrl-C stops an answer, Ctrl-D leaves.")


def _quit(_: Session, __: str) -> None:
    raise Left


COMMANDS = {
    "/model": Slash(_model, "[MODEL]", "show or change the model"),
    "/models": Slash(_models, "", "list the models with their prices in USD per million tokens"),
    "/system": Slash(_system, "[TEXT]", "show or change the system prompt; - takes it away"),
    "/clear": Slash(_clear, "", "begin a new conversation"),
    "/cost": Slash(_cost, "", "what this session came to"),
    "/retry": Slash(_retry, "", "ask the last message again"),
    "/save": Slash(_save, "FILE", "write the conversation to a new file (.json: a request's body)"),
    "/help": Slash(_help, "", "this list"),
    "/quit": Slash(_quit, "", "leave"),
}
