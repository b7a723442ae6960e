"""A conversation: what was said, how it is asked, what it cost. No I/O, and nothing of a terminal.

A turn is kept when its answer came, whole or stopped by whoever asked; a turn that failed is set aside, to be asked
again.
"""

from typing import Any

import msgspec

from tollway.domain.money import format_usd, parse_usd


class Asking(msgspec.Struct, kw_only=True):
    """How to ask; None leaves it to the router and the provider. `max_cost` in USD, decimal text."""

    model: str = ""
    system: str | None = None
    max_tokens: int | None = None
    max_cost: str | None = None
    temperature: float | None = None

    def body(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """A request to /chat/completions."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        chosen = {"max_tokens": self.max_tokens, "max_cost": self.max_cost, "temperature": self.temperature}
        given = {name: value for name, value in chosen.items() if value is not None}
        return {"model": self.model, "messages": [*system, *messages], **given}


class Reply(msgspec.Struct, kw_only=True):
    """One answer as it comes: its text, and at its end `usage` and `tollway` as the router gives them."""

    request_id: str | None = None
    text: str = ""
    usage: dict[str, Any] = msgspec.field(default_factory=dict)
    tollway: dict[str, Any] = msgspec.field(default_factory=dict)

    def cost_line(self) -> str:
        """One line on what it cost, who gave it and what is left."""
        failed = [f"{attempt['provider']} ({attempt['outcome']})" for attempt in self.tollway.get("attempts", [])[:-1]]
        after = f" after {', '.join(failed)}" if failed else ""
        return (
            f"{self.usage.get('prompt_tokens')} + {self.usage.get('completion_tokens')} tokens, "
            f"{self.usage.get('cost')} USD, by {self.tollway.get('provider')}{after}; "
            f"{self.tollway.get('balance_usd')} USD left"
        )


class Conversation:
    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.turns: list[dict[str, str]] = []  # user and assistant, in turn
        self.failed: str | None = None  # the last message, if it got no answer
        self.answers = 0
        self.tokens = 0
        self.uncounted: list[str] = []  # ids of calls whose ending, and with it their cost, was not seen
        self._spent = 0  # nano-USD
        self._replaced: list[dict[str, str]] = []  # the turn that is asked again, until it has another answer

    @property
    def spent_usd(self) -> str:
        """Of the calls whose cost is known."""
        return format_usd(self._spent)

    def body(self, message: str) -> dict[str, Any]:
        return self.asking.body([*self.turns, {"role": "user", "content": message}])

    def answered(self, message: str, reply: Reply) -> None:
        self._keep(message, reply.text)
        self.answers += 1
        self.tokens += int(reply.usage.get("prompt_tokens") or 0) + int(reply.usage.get("completion_tokens") or 0)
        self.paid(str(reply.usage.get("cost") or "0"))

    def stopped(self, message: str, reply: Reply) -> None:
        """By whoever asked. What had come is kept, if anything had."""
        if reply.text:
            self._keep(message, reply.text)
        else:
            self._set_aside(message)
        self._ended_unseen(reply)

    def broke(self, message: str, reply: Reply) -> None:
        """It failed: neither the message nor a part of an answer is kept."""
        self._set_aside(message)
        self._ended_unseen(reply)

    def paid(self, usd: str) -> None:
        self._spent += parse_usd(usd)

    def again(self) -> str | None:
        """The message to ask once more: the one that failed, else the last one, whose answer stays if that fails."""
        if self.failed is not None:
            return self.failed
        if not self.turns:
            return None
        self._replaced = self.turns[-2:]
        del self.turns[-2:]
        return self._replaced[0]["content"]

    def clear(self) -> None:
        """Forget what was said; not how it is asked, nor what it cost."""
        self.turns.clear()
        self.failed = None

    def transcript(self) -> str:
        """Markdown: a heading a turn."""
        system = [] if self.asking.system is None else [{"role": "system", "content": self.asking.system}]
        return "".join(f"## {turn['role']}\n\n{turn['content'].strip()}\n\n" for turn in [*system, *self.turns])

    def _keep(self, message: str, text: str) -> None:
        self.turns += [{"role": "user", "content": message}, {"role": "assistant", "content": text}]
        self.failed = None
        self._replaced = []

    def _set_aside(self, message: str) -> None:
        if self._replaced:
            self.turns += self._replaced
            self._replaced = []
        else:
            self.failed = message

    def _ended_unseen(self, reply: Reply) -> None:
        if reply.request_id is not None:
            self.uncounted.append(reply.request_id)
