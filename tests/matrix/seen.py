"""What a client has to say of its call, whichever client it is; and what the matrix asks of one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(kw_only=True)
class Seen:
    """`error` is the code that the SDK raised with; `status` the HTTP status it raised for, None for an error in the
    middle of a stream. `statuses` are those of every answer that the SDK's own retries took."""

    texts: dict[int, str] = field(default_factory=dict)  # by choice, as is `finishes`
    finishes: dict[int, str] = field(default_factory=dict)
    thoughts: str = ""
    ended_by_done: bool = False
    left: bool = False
    error: str | None = None
    raised: str | None = None  # the class
    status: int | None = None
    statuses: list[int] = field(default_factory=list)

    @classmethod
    def told(cls, fields: Mapping[str, Any]) -> "Seen":
        """From JSON, whose objects have no numbers for names."""
        by_choice = {
            name: {int(choice): said for choice, said in fields[name].items()} for name in ("texts", "finishes")
        }
        return cls(**{**fields, **by_choice})

    def take(self, choice: int, said: Mapping[str, Any], finish: str | None) -> bool:
        """A message, or a chunk's delta. Whether there was a token in it."""
        text, thoughts = said.get("content") or "", said.get("reasoning_content") or ""
        self.texts[choice] = self.texts.get(choice, "") + text
        self.thoughts += thoughts
        if finish is not None:
            self.finishes[choice] = finish
        return bool(text or thoughts)


class Asking(Protocol):
    """A call under way."""

    opened: asyncio.Event  # the head of a stream is there, or the call is over
    spoken: asyncio.Event  # a token of it has been read, or the call is over

    def leave(self) -> None:
        """Close the connection, whatever is to come."""

    async def seen(self) -> Seen: ...


class Client(Protocol):
    """An SDK, with its own retries on."""

    name: str

    def ask(self, base_url: str, key: str, tag: str, body: Mapping[str, Any], *, stream: bool, reads: int) -> Asking:
        """`reads`: leave after so many tokens; 0: after none."""
