"""The chat on a terminal: reads lines, with editing, history and completion, until somebody leaves.

What is typed is kept in memory only, for the arrow keys; no file of it is written.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from tollway.cli.chat_commands import COMMANDS, Left, obey
from tollway.cli.chat_session import FAILURES, Session, note
from tollway.cli.common import CommandFailed, print_table
from tollway.cli.conversation import Asking, Conversation
from tollway.cli.ending import complain
from tollway.cli.models import price_row
from tollway.client.api import RouterClient

editing: Any = None  # a Python without readline reads lines plainly
with contextlib.suppress(ImportError):
    import readline

    editing = readline

PROMPT = "> "
MORE = ". "
QUOTES = '"""'
MESSAGE_CHARS_MAX = 4_000_000  # more than any model's context


def converse(router: RouterClient, asking: Asking, *, stream: bool) -> None:
    """Until Ctrl-D or /quit. Raises RouterError and RouterUnreachable when there is no router to begin with."""
    models = router.get("/models")["data"]
    balance = router.get("/session/balance")["balance_usd"]
    asking.model = asking.model or _chosen(models)
    session = Session(router, Conversation(asking), models, stream=stream)
    _prepare(session)
    note(f"{asking.model} at {router.url}, {balance} USD to spend")
    note("/help lists commands, Ctrl-D leaves")
    while True:
        try:
            if _turn(session, input):
                return
        except KeyboardInterrupt:
            note("\nCtrl-D leaves")


def read_message(read: Callable[[str], str]) -> str | None:
    """One message, of several lines where the first says so; None when it was given up halfway. Raises EOFError when
    there is no first line, CommandFailed for one that never ends."""
    line = read(PROMPT)
    quoted = line.lstrip().startswith(QUOTES)
    text = line.lstrip().removeprefix(QUOTES) if quoted else line
    try:
        while (quoted and not text.rstrip().endswith(QUOTES)) or (not quoted and text.endswith("\\")):
            text = (text if quoted else text[:-1]) + "\n" + read(MORE)
            if len(text) > MESSAGE_CHARS_MAX:
                raise CommandFailed(f"a message is at most {MESSAGE_CHARS_MAX} characters")
    except EOFError:
        return None
    return text.rstrip().removesuffix(QUOTES).strip("\n") if quoted else text


def _turn(session: Session, read: Callable[[str], str]) -> bool:
    """One line and what follows from it; whether it was the last."""
    try:
        message = read_message(read)
        if message is None:
            note("\nnot sent")
            return False
        if message.startswith("/") and "\n" not in message:
            message = obey(session, message)
        if message is not None and message.strip():
            session.ask(message.strip())
    except EOFError:
        print()  # noqa: T201  # the shell's prompt begins a line
        return True
    except Left:
        return True
    except (CommandFailed, *FAILURES) as error:
        complain(" ".join(str(error).split()))
    return False


def _chosen(models: list[dict[str, Any]]) -> str:
    """The only one, or the one that is picked from the list."""
    if not models:
        raise CommandFailed("this router serves no model")
    if len(models) == 1:
        return str(models[0]["id"])
    print_table(
        ("", "model", "input", "output"),
        [(str(number), *price_row(model)[:3]) for number, model in enumerate(models, start=1)],
        right=("", "input", "output"),
    )
    names = [name for model in models for name in (model["id"], *model["aliases"])]
    while True:
        try:
            picked = input("Which model? ").strip()
        except EOFError:
            raise CommandFailed("name a model: --model MODEL") from None
        if picked.isdecimal() and 1 <= int(picked) <= len(models):
            return str(models[int(picked) - 1]["id"])
        if picked in names:
            return picked
        note("Its number, or its name; Ctrl-C leaves.")


def _prepare(session: Session) -> None:
    """Tab completes commands, and models after /model."""
    if editing is None:
        return

    def complete(start: str, number: int) -> str | None:
        line = editing.get_line_buffer()
        if line.startswith("/model "):
            fitting = [name for name in session.model_names() if name.startswith(start)]
        else:
            fitting = [name for name in COMMANDS if line.startswith("/") and name.startswith(start)]
        return fitting[number] if number < len(fitting) else None

    editing.set_completer(complete)
    editing.set_completer_delims(" \t\n")
    libedit = "libedit" in (editing.__doc__ or "")
    editing.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
