"""Providers and a client that do what a test wrote down: every surprise is an AssertionError.

A step of a provider is an answer, a ProviderFault (nothing was sent), one of them after so many seconds, SILENCE (the
head never comes), or UNCONNECTED (there is never a connection). A read of an answer's body is bytes, an exception, or
SILENCE; after the last the body is at its end.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tollway.domain.answer import AttemptRecord
from tollway.domain.errors import ProviderFault
from tollway.domain.observer import NullObserver
from tollway.domain.seams import HttpRequest, nobody_asks

SILENCE = object()
UNCONNECTED = object()
Read = bytes | Exception | object


def event(json: str) -> bytes:
    """One server-sent event."""
    return b"data: " + json.encode() + b"\n\n"


def chunk(content: str = "", *, finish: str | None = None, index: int = 0, extra: str = "") -> bytes:
    """A chat.completion.chunk of one choice, as OpenAI writes it. `extra`: further members."""
    reason = "null" if finish is None else f'"{finish}"'
    delta = f'{{"content":"{content}"}}' if content else "{}"
    return event(
        f'{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"up",{extra}'
        f'"choices":[{{"index":{index},"delta":{delta},"finish_reason":{reason}}}]}}'
    )


ROLE = event(
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"up",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
)
USAGE = event('{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}')
ERROR = event('{"error":{"message":"out of memory","code":500}}')
DONE = b"data: [DONE]\n\n"


class ScriptedResponse:
    """domain.seams.HttpResponse."""

    def __init__(self, *reads: Read, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        self.reads = list(reads)
        self.closed = 0
        self.read_to_end = False

    async def read(self) -> bytes:
        assert not self.closed, "a closed answer is read"
        if not self.reads:
            self.read_to_end = True
            return b""
        step = self.reads.pop(0)
        if step is SILENCE:
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, bytes)
        return step

    def whole(self) -> bytes | None:
        return None  # it comes read by read

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        while (data := await self.read()) and take(data):
            pass

    def close(self) -> None:
        self.closed += 1


def anew(step: Any) -> Any:
    """A step that may be given to several tests, fresh."""
    if not isinstance(step, ScriptedResponse):
        return step
    return ScriptedResponse(*step.reads, status=step.status, headers=step.headers)


class ScriptedTransport:
    """domain.seams.Transport. Hosts are `<provider>.test`; each has its steps, in order."""

    def __init__(self, **steps: Sequence[ScriptedResponse | ProviderFault | object]) -> None:
        self._steps = {provider: list(of_one) for provider, of_one in steps.items()}
        self.given = [step for of_one in steps.values() for step in of_one if isinstance(step, ScriptedResponse)]
        self.asked: list[str] = []  # providers, in order
        self.requests: list[HttpRequest] = []
        self.dropped = 0  # requests that were cancelled before their head came

    async def send(self, request: HttpRequest, on_sent: Callable[[], object] = nobody_asks) -> ScriptedResponse:
        provider = request.url.removeprefix("https://").partition(".test/")[0]
        self.asked.append(provider)
        self.requests.append(request)
        steps = self._steps[provider]
        assert steps, f"{provider} is asked once more than it answers"
        step = steps.pop(0)
        if step is not UNCONNECTED and not isinstance(step, Exception):
            on_sent()
        if step is SILENCE or step is UNCONNECTED:
            try:
                await asyncio.Event().wait()
            finally:
                self.dropped += 1
        if isinstance(step, tuple):
            seconds, step = step
            await asyncio.sleep(seconds)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, ScriptedResponse)
        return step

    async def aclose(self) -> None:
        raise AssertionError("an attempt does not own the transport")

    def leaks(self) -> list[ScriptedResponse]:
        """Answers that nobody has closed, among those that were given."""
        left = [step for steps in self._steps.values() for step in steps]
        return [response for response in self.given if not response.closed and response not in left]


class KeepingObserver(NullObserver):
    def __init__(self) -> None:
        self.attempts: list[tuple[AttemptRecord, str]] = []
        self.alarms: list[tuple[str, str]] = []
        self.retries: list[tuple[str, str]] = []

    def attempt_ended(self, attempt: AttemptRecord, detail: str) -> None:
        self.attempts.append((attempt, detail))

    def retried(self, provider: str, budget: str) -> None:
        self.retries.append((provider, budget))

    def alarm(self, what: str, detail: str) -> None:
        self.alarms.append((what, detail))


class Wire:
    """ASGI's `send` as servers do it: waits while the client doesn't read, then writes; refuses what makes no sense."""

    at_once = False  # it takes what it can without being waited for, as our own server does

    def __init__(self, *, gone: bool = False) -> None:
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.complete = False
        self.gone = gone
        self.sends = 0
        self.waiting = 0  # sends that wait for the client
        self.waiting_max = 0
        self._reads = asyncio.Event()
        self._reads.set()

    def stall(self) -> None:
        """The client stops reading."""
        self._reads.clear()

    def go_on(self) -> None:
        self._reads.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def write(self, data: bytes) -> bool:
        """domain.waiting.Client.write."""
        if not self.at_once or self.status is None or self.complete or self.gone or not self._reads.is_set():
            return False
        self.parts.append(data)
        return True

    async def __call__(self, message: Mapping[str, Any]) -> None:
        self.sends += 1
        self.waiting += 1
        self.waiting_max = max(self.waiting_max, self.waiting)
        try:
            await self._reads.wait()
        finally:
            self.waiting -= 1
        if self.gone:
            raise OSError("the client is gone")
        if message["type"] == "http.response.start":
            assert self.status is None, "an answer is started once"
            self.status = message["status"]
            self.headers = dict(message["headers"])
            assert len(self.headers) == len(message["headers"]), "no header is sent twice"
            return
        assert message["type"] == "http.response.body"
        assert self.status is not None, "the head comes first"
        assert not self.complete, "nothing comes after the end"
        self.parts.append(message["body"])
        self.complete = not message.get("more_body", False)
