"""One call's attempts at scripted providers, over the real dialect and the real watch."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from helpers.metered import candidate as metered_candidate
from helpers.requests import asked
from helpers.scripted import (
    KeepingObserver,
    ScriptedResponse,
    ScriptedTransport,
    chunk,
)
from helpers.virtual_time import LoopClock
from tollway.domain.answer import Outcome
from tollway.domain.clock import Clock
from tollway.domain.errors import (
    ProviderFault,
    TollwayError,
)
from tollway.domain.plan import Candidate, Plan, Timeouts
from tollway.domain.waiting import Interrupted
from tollway.upstream.attempts import (
    Attempts,
    OpenStream,
    Trail,
)
from tollway.upstream.budget import RetryBudget
from tollway.upstream.dialect import Dialect
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.endpoint import Endpoint
from tollway.upstream.gate import Gate, Probe, Ways
from tollway.upstream.turns import Repeats
from tollway.upstream.watch import CallWatch

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
)
TIMEOUTS = Timeouts(connect=5, first_byte=20, idle=10, batch=40, total=100)


def candidate(provider: str, model: str = "m", **fields: Any) -> Candidate:
    return metered_candidate(provider=provider, model=model, upstream="up", timeouts=TIMEOUTS, **fields)


def answer() -> ScriptedResponse:
    return ScriptedResponse(ANSWER)


def tokens() -> ScriptedResponse:
    return ScriptedResponse(chunk("hi"))


def failure(status: int, body: bytes = b"{}", **headers: str) -> ScriptedResponse:
    return ScriptedResponse(body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def fault(outcome: Outcome = "connect_failed") -> ProviderFault:
    return ProviderFault(outcome, "scripted")


def too_long() -> ScriptedResponse:
    return failure(400, b'{"error":{"message":"too long","code":"context_length_exceeded"}}')


class Bench:
    """Attempts over scripted providers. `answer` and `open` are one call each."""

    def __init__(
        self,
        *candidates: Candidate,
        answer_bytes_max: int = 1_000,
        dialect: Callable[[Endpoint, Clock], Dialect] = OpenAIOpenAI,
        budget: RetryBudget | None = None,
        gate: Callable[[str], Gate | None] = lambda provider: None,
        probe: Callable[[str, str], Probe | None] = lambda provider, model: None,
        **steps: Any,
    ) -> None:
        self.transport = ScriptedTransport(**steps)
        self.observer = KeepingObserver()
        self.trail = Trail()
        self.plan = Plan(candidates=candidates or tuple(candidate(name) for name in steps), seed=1)
        self.watch = CallWatch(TIMEOUTS.total)
        self.budget = budget or RetryBudget()
        self.attempts = Attempts(
            self.transport,
            {
                name: dialect(Endpoint(id=name, base_url=f"https://{name}.test/v1", api_key="sk-secret-1"), LoopClock())
                for name in steps
            },
            answer_bytes_max=answer_bytes_max,
            clock=LoopClock(),
            observer=self.observer,
            repeats=Repeats(self.budget, lambda: 0.5),
            ways=Ways(gate, probe),
        )

    async def answer(self) -> bytes:
        """The provider's answer. Leaves nothing open, whatever comes of it."""
        try:
            got = await self.attempts.answer(asked(), self.plan, self.trail, self.watch)
        finally:
            assert self.transport.leaks() == []
        assert self.trail.asking is not None
        return bytes(got.fields["choices"])

    async def open(self) -> OpenStream:
        """A stream. Leaves nothing open but it."""
        got: OpenStream | None = None
        try:
            got = await self.attempts.open(asked(stream=True), self.plan, self.trail, self.watch)
        finally:
            assert len(self.transport.leaks()) == (got is not None)
        return got

    async def refused(self, how: str = "answer") -> TollwayError:
        with pytest.raises(TollwayError) as refused:
            await getattr(self, how)()
        assert self.trail.asking is None
        return refused.value

    async def interrupted(self, how: str = "answer") -> str:
        with pytest.raises(Interrupted) as interrupted:
            await getattr(self, how)()
        return interrupted.value.reason

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        assert [record for record, _ in self.observer.attempts] == self.trail.attempts
        return [(attempt.provider, attempt.outcome) for attempt in self.trail.attempts]


def at(seconds: float, act: Callable[..., object], *args: object) -> None:
    asyncio.get_running_loop().call_later(seconds, act, *args)
