"""A conversation with a router: asks, shows what comes, and says in a line how it ended.

It knows stdout and stderr, and neither how lines are read nor which commands there are.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from tollway.cli.common import out
from tollway.cli.conversation import Conversation, Reply
from tollway.cli.ending import complain, printable
from tollway.cli.progress import working
from tollway.client.api import Delta, RouterClient
from tollway.client.errors import RouterError, RouterUnreachable

FAILURES = (RouterError, RouterUnreachable, ValueError)  # ValueError: an answer that can't be read


class Session:
    def __init__(self, router: RouterClient, talk: Conversation, models: list[dict[str, Any]], *, stream: bool) -> None:
        """`models` as GET /models lists them. `stream`: show an answer as it comes."""
        self.router = router
        self.talk = talk
        self.models = models
        self._stream = stream

    def ask(self, message: str) -> None:
        """Whatever becomes of it, the conversation can go on."""
        reply = Reply()
        try:
            self._reply(message, reply)
        except KeyboardInterrupt:
            self.talk.stopped(message, reply)
            kept = "and stays in the conversation" if reply.text else "and this turn is not kept"
            note(f"\nstopped: the part that was sent is charged, {kept}; /retry asks again")
        except FAILURES as error:
            self.talk.broke(message, reply)
            if reply.text:
                sys.stdout.write("\n")
                sys.stdout.flush()
            complain(f"{' '.join(str(error).split())} This turn is not kept: /retry asks again.")
        else:
            self.talk.answered(message, reply)
            note(reply.cost_line())

    def settle(self) -> None:
        """Look up what calls cost whose ending was not seen. One that isn't booked yet stays to be asked for."""
        for request_id in list(self.talk.uncounted):
            try:
                call = self.router.get(f"/generations/{request_id}")
            except RouterError:
                continue
            self.talk.paid(call["cost_usd"])
            self.talk.uncounted.remove(request_id)

    def model_names(self) -> list[str]:
        return [name for model in self.models for name in (model["id"], *model["aliases"])]

    def _reply(self, message: str, reply: Reply) -> None:
        body = self.talk.body(message)
        with working(f"waiting for {self.talk.asking.model} (Ctrl-C stops it)") as seen:
            if self._stream:
                streamed(self.router.stream(body), reply, seen)
            else:
                whole(self.router.complete(body), reply)
                seen()
                show(reply.text)
        show("\n")


def streamed(deltas: Iterator[Delta], reply: Reply, seen: Callable[[], None] = lambda: None) -> None:
    """Show an answer as it comes, and gather it in `reply`; `seen` is told before its first text."""
    for delta in deltas:
        reply.request_id = delta.request_id or reply.request_id
        if delta.text:
            seen()
            show(delta.text)
        reply.text += delta.text
        reply.usage = delta.usage or reply.usage
        reply.tollway = delta.tollway or reply.tollway


def whole(answer: dict[str, Any], reply: Reply) -> None:
    """What a batch answer says, into `reply`."""
    choices = answer.get("choices") or [{}]
    reply.text = choices[0].get("message", {}).get("content") or ""
    reply.usage = answer.get("usage") or {}
    reply.tollway = answer.get("tollway") or {}
    reply.request_id = reply.tollway.get("request_id")


def show(text: str) -> None:
    """A part of an answer, at once; on a terminal without what would steer it."""
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """A quiet line."""
    out.print(printable(text), style="dim")
