"""One relay from a scripted provider to a client that a test holds in its hand."""

import asyncio
from typing import Any

from helpers.conversation import SLOW_S, Conversation
from helpers.metered import candidate
from helpers.scripted import Read, ScriptedResponse
from tollway.domain.answer import Reading, StreamEvent
from tollway.egress.stream import Relayed, RelayLimits, linger, read_on, relay
from tollway.upstream.attempts import OpenStream
from tollway.upstream.dialects.openai_openai import ChunkReader

IDLE_S = 20.0
TOTAL_S = 1_000.0


class Stage(Conversation):
    """What a provider sends (`reads`), and how much of it the client and the router come to know."""

    def __init__(self, *reads: Read, n: int = 1, total: float = TOTAL_S) -> None:
        super().__init__(total=total)
        self.response = ScriptedResponse(*reads)
        self.reading = Reading(n)
        self.source = OpenStream(candidate(), self.response, ChunkReader(), self.watch, 0.0)
        self.opening: list[StreamEvent] = []

    async def relay(self) -> Relayed:
        limits = RelayLimits(idle=IDLE_S, slow_reader=SLOW_S)
        return await relay(self.source, self.opening, self.reading, self.reply, self.watch, limits)

    async def read_on(self) -> None:
        await read_on(self.source, self.reading, self.watch)

    async def linger(self) -> None:
        await linger(self.source, self.watch)


def after(seconds: float, *reads: Any) -> list[Any]:
    """Reads that come `seconds` later than the one before."""
    return [Later(seconds, read) for read in reads]


class Later:
    """A read that takes its time."""

    def __init__(self, seconds: float, data: Any) -> None:
        self.seconds = seconds
        self.data = data


class SlowResponse(ScriptedResponse):
    async def read(self) -> bytes:
        step = self.reads[0] if self.reads else b""
        if isinstance(step, Later):
            await asyncio.sleep(step.seconds)
            self.reads[0] = step.data
        return await super().read()


def slow(*reads: Any, **stage: Any) -> Stage:
    """A stage whose reads may be `after` some time."""
    made = Stage(**stage)
    made.response = SlowResponse(*reads)
    made.source._response = made.response
    return made


def told(relayed: Relayed) -> tuple[str, str | None, str | None]:
    return relayed.ended, relayed.stop, relayed.fault.outcome if relayed.fault else None
