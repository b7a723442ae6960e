"""A reply to a client that a test holds in its hand."""

from typing import Any

import msgspec

from helpers.scripted import Wire
from tollway.domain.errors import (
    TollwayError,
)
from tollway.egress.reply import Reply
from tollway.upstream.watch import CallWatch

EVENT = b'data: {"a":1}\n\n'
SLOW_S = 30.0


class Conversation:
    """A reply, its wire and its watch."""

    def __init__(self, *, total: float = 1_000, **wire: Any) -> None:
        self.wire = Wire(**wire)
        self.reply = Reply(self.wire, "request-1", challenge=b"Sign-In-With-X domain=here", write=self.wire.write)
        self.watch = CallWatch(total)

    async def write(self, data: bytes = EVENT) -> None:
        await self.reply.write(data, self.watch, SLOW_S)

    async def finish(self, data: bytes = b"data: [DONE]\n\n") -> None:
        await self.reply.finish(data, self.watch, SLOW_S)

    async def error(self, error: TollwayError) -> Any:
        await self.reply.error(error)
        return msgspec.json.decode(self.wire.body)["error"]
